"""The documentation: short lines, links that lead somewhere, and commands that run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "config", "config/protocols")
    for path in (ROOT / folder).glob("*.md")
    if path.name != "CHANGELOG.md"
)
WIDTH = 120


@pytest.mark.parametrize("page", PAGES)
def test_lines_are_short_enough_to_read_side_by_side(page: str) -> None:
    """No line is longer than 120 characters, but for rows of tables, which cannot be wrapped."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    long = [i for i, x in enumerate(lines, 1) if len(x) > WIDTH and not x.startswith("|")]
    assert long == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    """Every relative link names a file or folder of the repository."""
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    gone = [t for t in targets if ":" not in t and not (ROOT / page).parent.joinpath(t).exists()]
    assert gone == []


COMMANDS = [
    words
    for line in (ROOT / "docs/README.md").read_text(encoding="utf-8").splitlines()
    if (words := shlex.split(line))[:1] == [".venv/bin/segarena"]
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[1])
def test_the_tutorials_commands_take_these_arguments(words: list[str], tmp_path: Path) -> None:
    """No command of the tutorials is refused for an argument that it does not have."""
    known = [sys.executable, "-m", "segarena.cli", words[1], "--help"]
    printed = subprocess.run(known, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert [word for word in words if word.startswith("--") and word not in printed] == []


def test_the_participants_example_passes_its_check(tmp_path: Path) -> None:
    """The check that the participant's tutorial starts with ends with exit code 0."""
    (words,) = [words for words in COMMANDS if words[1] == "check" and "process" in words]
    command = [sys.executable, "-m", "segarena.cli", *words[1:]]
    command[4] = str(ROOT / command[4])
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
