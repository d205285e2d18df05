"""`segarena new`: a submission to start from, which passes `segarena check` as it is.

templates/common has what all of them share, templates/NAME what is different: the model, what it
needs, and what the README says of it. Of a file that both have, the template's own is taken.
"""

import argparse
import re
import shlex
import string
from pathlib import Path
from typing import Any

from segarena.errors import ConfigError
from segarena.submissions import NAME
from segarena.untrusted import printable

TEMPLATES = Path(__file__).with_name("templates")
NAMES = ("numpy", "torch", "monai", "nninteractive", "litemedsam")

_ABOUT, _README = "about.md", "README.md"


def add_parser(subparsers: Any) -> None:
    """Add `new` to the sub-commands of `segarena`."""
    parser = subparsers.add_parser(
        "new",
        description="Make a folder with a submission that works, to start from: a Dockerfile, the "
        "programs, a test and a README (docs/submission.md has the whole contract).",
    )
    parser.add_argument("folder", type=Path, metavar="MY_TEAM", help="the folder to make")
    parser.add_argument("--template", choices=NAMES, default="numpy", help="the model (numpy)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the folder and say what to do next; returns the exit code."""
    folder = arguments.folder
    create(folder, arguments.template)
    shown = printable(shlex.quote(str(folder)))
    print(f"made {shown}; next: segarena check {shown} --runtime process, and see its README.md")
    return 0


def create(folder: Path, template: str) -> None:
    """Write a template's files into a new or empty folder; raises ConfigError where that fails."""
    team = folder.resolve().name
    shown = printable(folder)
    if not NAME.fullmatch(team):
        raise ConfigError(
            f"{shown}: invalid name for a submission; use letters A-Z, digits, '.', '_' and '-'"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"{shown} is not empty; name a folder that does not exist yet")
        for name, path in _files(template).items():
            content = path.read_bytes()
            if name == _README:
                content = _readme(content.decode(), folder, team, template).encode()
            (folder / name).write_bytes(content)
    except OSError as error:
        where = printable(error.filename or folder)
        raise ConfigError(f"{where}: cannot be made: {error.strerror}; name another one") from error


def _files(template: str) -> dict[str, Path]:
    """Return the files of a template by name."""
    places = (TEMPLATES / "common", TEMPLATES / template)
    files = {path.name: path for place in places for path in place.iterdir() if path.is_file()}
    return {name: files[name] for name in sorted(files) if name != _ABOUT}


def _readme(text: str, folder: Path, team: str, template: str) -> str:
    """Return the README of a team: its name, the tag of its image, and what its template is."""
    about = (TEMPLATES / template / _ABOUT).read_text(encoding="utf-8")
    # A tag is of small letters, with single separators between them.
    tag = re.sub(r"[^a-z0-9]+", "-", team.lower()).strip("-")
    quoted = shlex.quote(folder.name or team)
    return string.Template(text).substitute(team=team, folder=quoted, tag=tag, about=about)
