"""The command line itself: what its help costs, and what it says of words that it does not know."""

import subprocess
import sys
from pathlib import Path

import pytest

from segarena import status
from segarena.cli import COMMANDS, EXIT_CODES, GROUPS, main
from segarena.errors import SegArenaError

_HELP = """
import sys
from segarena.cli import main
try:
    main(["--help"])
except SystemExit:
    print(*(name for name in ("numpy", "pandas", "scipy", "yaml") if name in sys.modules))
"""


def test_help_loads_nothing_that_is_slow_to_load():
    """`segarena --help` imports none of the libraries that take a second."""
    source = Path(__file__).parents[1] / "src"
    done = subprocess.run(
        [sys.executable, "-c", _HELP], capture_output=True, text=True, check=True, cwd=source
    )
    assert done.stdout.splitlines()[-1] == ""


def test_a_command_that_is_none_is_answered_with_those_that_are(
    capsys: pytest.CaptureFixture[str],
):
    """A misspelt command ends with exit code 2 and the names of all commands."""
    with pytest.raises(SystemExit) as ended:
        main(["statsu"])
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert all(name in printed for name in COMMANDS)


def test_a_command_that_is_stopped_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Ctrl-C is no crash: one line, exit code 130, no trace."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status, "status", interrupted)
    assert main(["status"]) == 130
    assert capsys.readouterr().err == "segarena: stopped\n"


def test_help_has_every_command_in_one_group(capsys: pytest.CaptureFixture[str]):
    """By who uses them; each with what it does."""
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(COMMANDS)
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert all(f"  {name:<8} {does}\n" in printed for name, (_, does) in COMMANDS.items())


@pytest.mark.parametrize("words", [["--help"], ["status", "--help"], ["diff", "--help"]])
def test_help_has_the_exit_codes(words: list[str], capsys: pytest.CaptureFixture[str]):
    """Those of all errors, here and with every command."""
    with pytest.raises(SystemExit):
        main(words)
    printed = " ".join(capsys.readouterr().out.split())
    assert EXIT_CODES in printed
    codes = {error.exit_code for error in SegArenaError.__subclasses__()}
    assert all(f"; {code} " in EXIT_CODES for code in codes)
