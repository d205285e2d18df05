"""What is in the folder of submissions: nothing there is ignored without a word.

A team that is missing on a leaderboard is worse than a run that does not start. So whatever is
meant as a submission and is none stops the run, with what to do; an upload that is still on its
way, and files that are something else, are noted and do not. Hidden files are the system's own.
"""

import os
import re
from pathlib import Path

from segarena.errors import ConfigError

ARCHIVE_SUFFIXES = (".tar.gz", ".tar.zst", ".tar.xz", ".tgz", ".tar")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
PROGRAM = "predict.sh"
_UPLOADING = (
    *(".part", ".partial", ".filepart", ".crdownload", ".opdownload", ".download", ".tmp"),
    *(".temp", ".upload", ".uploading", ".incomplete", ".inprogress"),
)
_OTHER_ARCHIVES = (
    *(".zip", ".7z", ".rar", ".gz", ".bz2", ".tbz", ".tbz2", ".xz", ".txz", ".zst", ".tzst"),
    *(".lz4", ".lzma", ".z", ".sif", ".simg", ".img", ".iso", ".oci", ".docker"),
)
_KINDS = ", ".join(ARCHIVE_SUFFIXES)


def look_through(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the submissions of a folder by name, and notes on what else is there, one line each.

    Submissions are docker archives and folders with a predict.sh. Raises ConfigError, a line for
    each problem, for what is meant as a submission and cannot be one, for a name given twice or
    that cannot stand in a path, and for a folder that holds no submission.
    """
    found: dict[str, Path] = {}
    problems: list[str] = []
    notes: list[str] = []
    for path in sorted(folder.iterdir()):
        if _is_uploading(path):
            notes.append(f"{_shown(path)}: an upload that is not finished; it is not used")
        elif not path.name.startswith("."):
            try:
                name = _name(path)
                _check_name(name, path, found)
                found[name] = path
            except _NoSubmissionError as error:
                notes.append(f"{_shown(path)}: {error}")
            except ConfigError as error:
                problems.append(f"{_shown(path)}: {error}")
            except OSError as error:
                problems.append(f"{_shown(path)}: cannot be read: {error.strerror}")
    if not found and not problems:
        problems.append(f"{folder}: no submission here (NAME{{{_KINDS}}} or NAME/{PROGRAM})")
    if problems:
        usable = [f"{folder}: usable are {', '.join(found)}"] if found else []
        raise ConfigError("\n".join([*problems, *notes, *usable]))
    return found, notes


class _NoSubmissionError(Exception):
    """Something else than a submission, which does no harm."""


def _is_uploading(path: Path) -> bool:
    name = path.name.lower()
    if name.startswith("."):  # as rsync and others call a file until it is whole
        return not name.startswith("._") and any(
            f"{suffix}." in name for suffix in ARCHIVE_SUFFIXES
        )
    if _archive_suffix(path):  # a browser makes an empty file of the final name
        growing = any(path.with_name(path.name + suffix).exists() for suffix in _UPLOADING)
        return growing and path.is_file() and path.stat().st_size == 0
    return name.endswith(_UPLOADING)


def _archive_suffix(path: Path) -> str:
    name = path.name.lower()
    return next((suffix for suffix in ARCHIVE_SUFFIXES if name.endswith(suffix)), "")


def _name(path: Path) -> str:
    """Return a submission's name; ConfigError, or _NoSubmissionError, where it is none."""
    suffix = _archive_suffix(path)
    if path.is_symlink() and not path.exists():
        raise ConfigError(f"a link to {str(path.readlink())!r}, which is not there; remove it")
    if path.is_dir():
        if suffix:
            raise ConfigError(f"a folder with the ending of an archive; rename it without {suffix}")
        if (path / PROGRAM).is_file():
            return path.name
        raise _no_submission(path)
    if not path.is_file():
        raise _NoSubmissionError("neither a file nor a folder; it is ignored")
    if suffix:
        if not os.access(path, os.R_OK):
            raise ConfigError("no permission to read it; chmod a+r helps")
        return path.name[: -len(suffix)]
    if path.name.lower() == PROGRAM:
        raise ConfigError("put it into a folder with the submission's name")
    if path.name.lower().endswith(_OTHER_ARCHIVES):
        raise ConfigError(f"not a kind of archive that can be read; give one of {_KINDS}")
    raise _NoSubmissionError("no submission; it is ignored")


def _no_submission(folder: Path) -> Exception:
    """Return what is wrong with a folder without a predict.sh."""
    inside = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    if not inside:
        return _NoSubmissionError(f"an empty folder; put {PROGRAM} into it, or remove it")
    for path in inside:
        if path.name == PROGRAM:
            return ConfigError(f"{PROGRAM} is not a file, or a link to nothing")
        if path.name.lower() in {PROGRAM, f"{PROGRAM}.txt"}:
            return ConfigError(f"rename {_shown(path.name)} in it to {PROGRAM}")
        if _archive_suffix(path):
            return ConfigError(f"an archive in a folder; move {_shown(path.name)} out of it")
    deeper = sorted([*folder.glob(f"*/{PROGRAM}"), *folder.glob(f"*/*/{PROGRAM}")])
    if deeper:
        place = _shown(deeper[0].parent.relative_to(folder))
        return ConfigError(f"a folder in a folder; move what is in {place}/ up into it")
    return _NoSubmissionError(f"a folder without {PROGRAM}; it is ignored")


def _check_name(name: str, path: Path, found: dict[str, Path]) -> None:
    if not NAME.fullmatch(name):
        raise ConfigError("invalid name, rename it: use letters A-Z, digits, '.', '_' and '-'")
    if name in found:
        raise ConfigError(f"a second submission of the name {name!r}; rename one")
    for other in found:
        if name.lower() == other.lower():
            raise ConfigError(f"differs from {other!r} only in upper and lower case; rename one")


def _shown(path: str | Path) -> str:
    # A stranger chose this name; nothing in it may steer a terminal.
    return "".join(letter if letter.isprintable() else "?" for letter in str(path))
