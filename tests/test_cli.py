"""The command line itself: what its help costs, and what it says of words that it does not know."""

import subprocess
import sys
from pathlib import Path

import pytest

from segarena import status
from segarena.cli import COMMANDS, main

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
