"""Files that are whole or absent.

Every file between stages is written beside its place and then renamed, so a killed job or a full
disk never leaves half a file that a later run takes for a whole one.
"""

import contextlib
import functools
import itertools
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from segarena.errors import DISK_FULL, EngineError

_FEW_LINES = 1000


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; rename it to `path` when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    tmp = Path(name)
    try:
        yield tmp
        _to_disk(tmp)
        tmp.chmod(0o666 & ~_umask())
        tmp.replace(path)
    except OSError as error:
        if error.errno in DISK_FULL and not error.filename:  # a write does not name its file
            error.filename = str(path)
        raise
    finally:
        tmp.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as JSON with stable key order, one top-level key a line (small diffs)."""
    with atomic_write(path) as tmp:
        tmp.write_text(_json_text(value), encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Return what a JSON file holds; EngineError where it was cut short or edited."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise _incomplete(path) from error


def read_lines(path: str | Path) -> list[str]:
    """Return the lines of a text file; EngineError where the last one has no end."""
    text = Path(path).read_text(encoding="utf-8")
    if not text.endswith("\n"):
        raise _incomplete(path)
    return text.splitlines(keepends=True)


def _incomplete(path: str | Path) -> EngineError:
    return EngineError(f"{path}: not a whole file; delete it and run again")


def remembered(path: str | Path, cache: str | Path, make: Callable[[Path], Any]) -> Any:
    """Return `make(path)`, a JSON value; made again only when the file is another.

    The file is known by its size, time and inode. cache: see `remembered_as`.
    """
    path = Path(path)
    return remembered_as(str(path.resolve()), mark(path), cache, lambda: make(path))


def mark(path: Path) -> list[int]:
    """Return what a file is known by: its size, time and inode."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def remembered_as(name: str, mark: Any, cache: str | Path, make: Callable[[], Any]) -> Any:
    """Return `make()`, a JSON value that has a name; made again only when the mark is another.

    cache: a file with a line per value. A process reads each line once and adds one for each value
    that it makes, so n values cost n steps. Several threads and processes may use it at a time; a
    line that is damaged is made again.
    """
    memory = _memory(Path(cache).resolve())
    entry = memory.entries().get(name)
    if entry is None or entry["mark"] != mark:
        entry = {"mark": mark, "value": make()}
        memory.add(name, entry)
    return entry["value"]


class _Memory:
    """The entries of a cache file, read on where it has grown; a name's last line counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._forget()

    def _forget(self) -> None:
        self._seen = (0, 0, 0)  # inode, size and time of the file as it was read
        self._offset = self._lines = 0
        self._entries: dict[str, Any] = {}

    def entries(self) -> dict[str, Any]:
        """Return all entries by name, with what other processes have added."""
        with self._lock:
            try:
                stat = self._path.stat()
            except FileNotFoundError:
                self._forget()
                return self._entries
            seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if seen != self._seen:
                if seen[0] != self._seen[0] or seen[1] <= self._seen[1]:
                    self._forget()  # another file, or changed otherwise than by adding
                self._read_on()
                self._seen = seen
            return self._entries

    def _read_on(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._offset)
            added = file.read()
        added = added[: added.rfind(b"\n") + 1]  # the rest is still being written
        self._offset += len(added)
        for line in filter(None, added.split(b"\n")):
            self._lines += 1
            digest, _, text = line.partition(b" ")
            if digest == _line_digest(text):
                name, entry = json.loads(text)
                self._entries[name] = entry

    def add(self, name: str, entry: dict[str, Any]) -> None:
        """Add an entry, here and in the file."""
        with self._lock:
            self._entries[name] = entry
            if self._lines > 2 * len(self._entries) + _FEW_LINES:
                with atomic_write(self._path) as tmp:  # most of its lines count no more
                    tmp.write_bytes(b"".join(itertools.starmap(_line, self._entries.items())))
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                file.write(_line(name, entry))  # in one call: lines of two processes do not mix


_memory = functools.cache(_Memory)


def _line(name: str, entry: dict[str, Any]) -> bytes:
    """Return an entry's line; it begins with an end of line, as the one before may be cut short."""
    text = json.dumps([name, entry]).encode()
    return b"\n%b %b\n" % (_line_digest(text), text)


def _line_digest(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)


def _json_text(value: Any) -> str:
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False) + "\n"
    lines = (f" {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _to_disk(path: Path) -> None:
    """Wait until the disk has a file's content, or a power loss could leave its name without it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
