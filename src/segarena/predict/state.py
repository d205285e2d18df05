"""What a call leaves for the next one on the same case: its files in outputs and beside its input.

The reference evaluation has one inputs and one outputs folder for all interactions, and submissions
use that: they write a file at the first click and read it at the second. Under `state: case` the
files of a call are packed when it has ended and unpacked before the next one, so a session, a job
per interaction and a run that was resumed all show a submission the same.

Only regular files and folders are kept; a link, a fifo or a device is not. Names are a stranger's:
they are only ever joined to folders of ours, and nothing is followed on the way.
"""

import hashlib
import itertools
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from segarena.errors import EngineError
from segarena.files import atomic_write
from segarena.provenance import json_digest

PLACES = ("inputs", "outputs")

_LONGEST_NAME = 2000


class StateLost(EngineError):
    """The files that a call has left are needed and no longer there."""


@dataclass(frozen=True)
class _Entry:
    name: str
    path: Path
    status: os.stat_result

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_program(self) -> bool:
        return not self.is_folder and bool(self.status.st_mode & 0o111)


def pack(
    path: Path, folder: Path, input_name: str, *, most_files: int, most_bytes: int
) -> tuple[str, list[str]]:
    """Pack what a call has left in FOLDER/inputs and FOLDER/outputs; return its digest and names.

    input_name: the input itself, which is made again for each call. The digest is of names,
    contents and whether a file can be executed; "" where nothing was left. Raises ValueError, with
    a message for the team, where it is more than the limits allow.
    """
    left = (entry for entry in _entries(folder) if entry.name != f"inputs/{input_name}")
    entries = list(itertools.islice(left, most_files + 1))
    size = sum(entry.status.st_size for entry in entries if not entry.is_folder)
    if len(entries) > most_files:
        raise ValueError(f"more than {most_files:,} files")
    if size > most_bytes:
        raise ValueError(f"{size:,} bytes, of which {most_bytes:,} are allowed")
    if not entries:
        return "", []
    listed = []
    with atomic_write(path) as tmp, tarfile.open(tmp, "w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            member = tarfile.TarInfo(entry.name)
            member.mtime = entry.status.st_mtime_ns / 1e9
            # Everybody may use what everybody's program left: users differ between runtimes.
            member.mode = 0o777 if entry.is_folder or entry.is_program else 0o666
            digest = ""
            if entry.is_folder:
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            else:
                member.size = entry.status.st_size
                with open(entry.path, "rb", opener=_without_links) as file:
                    hashing = _Hashing(file)
                    tar.addfile(member, cast(IO[bytes], hashing))
                    digest = hashing.hexdigest()
            listed.append([entry.name, entry.is_program, digest])
    return json_digest(listed), [entry.name for entry in entries]


def unpack(path: Path, folder: Path) -> None:
    """Put what `pack` has packed into FOLDER/inputs and FOLDER/outputs, with its times.

    Raises StateLost where the file is gone or damaged.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                tar.extract(member, folder, filter=_as_packed)
    except (FileNotFoundError, tarfile.TarError) as error:
        raise StateLost(
            "the files that the submission left at the interaction before are gone "
            f"({error}); ask it again from the first interaction: `segarena forget TEAM CASE`"
        ) from error


def mark(path: Path) -> tuple[int, ...]:
    """Return what changes when a file is written: inode, size and time; () where there is none."""
    try:
        status = path.lstat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _entries(folder: Path) -> Iterator[_Entry]:
    """Yield the files and folders that a call has left, each folder before what is in it.

    Raises ValueError where a path is too long to be used.
    """
    waiting = list(reversed(PLACES))
    while waiting:
        name = waiting.pop()
        if len(name) > _LONGEST_NAME:
            raise ValueError("a file in very many folders")
        for path in sorted((folder / name).iterdir()):
            entry = _Entry(f"{name}/{path.name}", path, path.lstat())
            if entry.is_folder:
                waiting.append(entry.name)
            if entry.is_folder or stat.S_ISREG(entry.status.st_mode):
                yield entry


def _as_packed(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Check a member as tarfile's own filter does, but keep its mode."""
    checked = tarfile.data_filter(member, folder)
    return checked.replace(mode=member.mode, deep=False)


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


class _Hashing:
    """A file that hashes what is read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.hashed = file, hashlib.sha256()

    def read(self, size: int) -> bytes:
        chunk = self.file.read(size)
        self.hashed.update(chunk)
        return chunk

    def hexdigest(self) -> str:
        return self.hashed.hexdigest()
