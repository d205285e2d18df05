"""Opening an archive that anyone may have made.

Nothing in it is trusted: a member is a plain file with a plain relative name, there is room for all
of them, no text of it is larger than a reader can hold, and they go into a temporary folder.
Nothing is ever unpickled.
"""

import contextlib
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from segarena.archive import contents
from segarena.case import PACKINGS, UNREADABLE
from segarena.errors import ConfigError
from segarena.provenance import file_digest
from segarena.untrusted import CarefulFile, printable

LARGEST_TEXT_BYTES = 64 << 20
"""What a table or a JSON file may have; these are read whole."""

_ARRAYS_AND_PICTURES = {".npz", ".png", ".webp"}
_LARGEST_DIRECTORY_BYTES = 256 << 20
_LEFT_FREE_BYTES = 64 << 20


@contextlib.contextmanager
def unpack(archive: Path) -> Iterator[Path]:
    """Yield a temporary folder with all that is in an archive.

    Raises ConfigError where it is no archive of ours, or a member has no place in one.
    """
    with tempfile.TemporaryDirectory(prefix="segarena-archive-") as name:
        folder = Path(name)
        try:
            with (
                CarefulFile(archive, _LARGEST_DIRECTORY_BYTES) as file,
                zipfile.ZipFile(file) as packed,
            ):
                members = [info for info in packed.infolist() if not info.is_dir()]
                _check(members, archive, room=shutil.disk_usage(folder).free)
                for info in members:
                    _unpack(packed, info, folder)
        except UNREADABLE as error:
            reason = printable(error) or type(error).__name__
            raise ConfigError(f"{archive}: cannot be unpacked: {reason}") from error
        for needed in (contents.FACTS, contents.SUMS):
            if not (folder / needed).is_file():
                raise ConfigError(f"{archive}: no {needed} in it; `snakemake archive` makes one")
        yield folder


def sum_problems(folder: Path) -> list[str]:
    """Return what sha256sums.txt and the folder disagree on, one line each."""
    listed: dict[str, str] = {}
    problems = []
    text = (folder / contents.SUMS).read_bytes().decode("utf-8", errors="replace")
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        if name in listed:
            problems.append(f"{contents.SUMS}: duplicate {name}")
        listed[name] = digest
    there = files_of(folder)
    there.discard(contents.SUMS)
    problems += [f"{name}: missing" for name in sorted(set(listed) - there)]
    problems += [f"{name}: not in {contents.SUMS}" for name in sorted(there - set(listed))]
    problems += [
        f"{name}: its sha256 is not the one in {contents.SUMS}"
        for name in sorted(there & set(listed))
        if file_digest(folder / name) != listed[name]
    ]
    return problems


def files_of(folder: Path) -> set[str]:
    """Return the names of all files of an unpacked archive."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def _check(members: list[zipfile.ZipInfo], archive: Path, *, room: int) -> None:
    seen = set()
    for info in members:
        problem = _problem(info)
        if info.filename in seen:
            problem = "duplicate member"
        if problem:
            raise ConfigError(f"{archive}: {printable(info.filename, 100)}: {problem}")
        seen.add(info.filename)
    needed = sum(info.file_size for info in members)
    if needed + _LEFT_FREE_BYTES > room:
        raise ConfigError(f"{archive}: unpacked it takes {needed:,} bytes, {room:,} are free")


def _problem(info: zipfile.ZipInfo) -> str:
    """Return why a member has no place in an archive, or nothing."""
    name = info.filename
    parts = PurePosixPath(name).parts
    mode = info.external_attr >> 16
    plain = bool(parts) and not name.startswith("/") and "\\" not in name and name.isprintable()
    if not plain or ".." in parts or ":" in parts[0] or name != "/".join(parts):
        return "unsafe member name"
    if "\0" in info.orig_filename:
        return "unsafe member name"
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "no regular file"
    if info.compress_type not in PACKINGS:
        return "packed in a way that SegArena does not use"
    text = PurePosixPath(name).suffix not in _ARRAYS_AND_PICTURES
    if text and info.file_size > LARGEST_TEXT_BYTES:
        return f"unpacked it takes {info.file_size:,} bytes, too many for a table or text"
    return ""


def _unpack(packed: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path) -> None:
    path = folder / info.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    with packed.open(info) as source, path.open("xb") as target:
        shutil.copyfileobj(source, target)
