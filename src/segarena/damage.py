"""Results that a power loss or a hand has cut, found before anything is built on them.

Snakemake goes by a file's time, and a file that was emptied or cut may have its old one. At the end
of a run the size and time of every result are noted; before the next plan is made each result is
held against them. Results of the last, killed run are not noted; those are looked into instead.
What is damaged is set aside, so that Snakemake misses it and has it made again.
"""

import contextlib
import fcntl
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segarena.errors import EngineError
from segarena.files import read_json, read_lines, write_json

STAGES = ("prepare", "prompt", "predict", "score", "rank", "report", "archive")
FOLDER = Path(".snakemake/segarena")
NOTED, DAMAGED = FOLDER / "sizes.json", FOLDER / "damaged"
# A file of an output that is a folder is made again with all of it.
FOLDERS = (
    "rank/*/stability",
    "report/*/data",
    "report/*/answers/*",
    "report/*/errors/*",
    "report/*/viewer/answers/*",
    "report/*/viewer/prompts/*",
)


def note_sizes(results: Path = Path("results"), noted: Path = NOTED) -> None:
    """Note the size and time of every result."""
    sizes = {
        name: [entry.st_size, entry.st_mtime_ns]
        for name, entry in (
            (str(path.relative_to(results)), path.stat()) for path in _files(results)
        )
    }
    write_json(noted, sizes)


def move_damaged(
    results: Path = Path("results"), noted: Path = NOTED, damaged_folder: Path = DAMAGED
) -> list[str]:
    """Move damaged results under `damaged_folder` and return their names, sorted."""
    known = _noted(noted)
    damaged = {
        _output(path.relative_to(results))
        for path in _files(results)
        if _is_damaged(path, known.get(str(path.relative_to(results))))
    }
    for name in damaged:
        target = damaged_folder / name
        if target.is_dir():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(results / name, target)
    return sorted(map(str, damaged))


def report_damaged(lock: Path) -> None:
    """Set damaged results aside and print that, unless a run holds `lock` and is writing some."""
    damaged = [] if is_locked(lock) else move_damaged()
    if damaged:
        print(
            f"segarena: {len(damaged)} result(s) were emptied or cut and are made again "
            f"({', '.join(damaged[:3])}{', …' if len(damaged) > 3 else ''}; see {DAMAGED})",
            file=sys.stderr,
        )


def is_locked(path: Path) -> bool:
    """Return whether a run holds this lock: what it is writing just now is nobody else's matter."""
    with contextlib.suppress(OSError), path.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _files(results: Path) -> Iterator[Path]:
    """Yield the results; no hidden files, which are no results, and no logs, which may be empty."""
    for stage in STAGES:
        for folder, folders, names in os.walk(results / stage):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                if not name.startswith(".") and not name.endswith(".log"):
                    yield Path(folder, name)


def _noted(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, EngineError):
        return dict(read_json(path))
    return {}


def _is_damaged(path: Path, noted: list[int] | None) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:  # a dangling link, or gone by now
        return False
    if found.st_size == 0:
        return True
    if noted is not None and noted[1] == found.st_mtime_ns:
        return noted[0] != found.st_size
    return not _looks_complete(path)


def _looks_complete(path: Path) -> bool:
    """Return whether a file ends as files of its kind do."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix in {".csv", ".tsv"}:
            read_lines(path)
        elif path.suffix in {".npz", ".zip"}:
            with zipfile.ZipFile(path):
                pass
    except (ValueError, EngineError, zipfile.BadZipFile):
        return False
    return True


def _output(name: Path) -> Path:
    """Return the output that a result is part of: itself, or the folder that is made as a whole."""
    for parent in name.parents:
        if any(
            parent.match(folder) and len(parent.parts) == folder.count("/") + 1
            for folder in FOLDERS
        ):
            return parent
    return name
