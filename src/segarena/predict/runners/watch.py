"""What is looked at while a call runs: the size of its outputs, and its memory.

Both are read from outside, from what the kernel says, so that a submission cannot lie about them.
"""

import contextlib
import os
import shutil
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from segarena.errors import EngineError
from segarena.predict.runners import GIB, WORKSPACE, Limits

LOAD_WAITS = (0.5, 2.0)
"""Seconds between three tries of an engine to load an image."""

MOST_FILES_BESIDE = 20_000
"""How many files a call may make beside /tmp and the outputs: an honest program makes few."""

LOG_BYTES = 256 << 10

_MOST_OPENED = 100_000

CGROUPS = Path("/sys/fs/cgroup")


class Filled:
    """The two folders that a call may fill, and what it was given in the inputs."""

    def __init__(self, writable: dict[str, Path], limits: Limits) -> None:
        """Take both out of `writable`, the folders that a call may write by their place in it."""
        self.limits = limits
        self.inputs = writable.pop(f"{WORKSPACE}/inputs", None)  # a warm container's are read-only
        self.outputs = writable.pop(f"{WORKSPACE}/outputs")
        self.given_files, self.given_bytes = (
            use(self.inputs, most_files=sys.maxsize, most_bytes=1 << 60) if self.inputs else (0, 0)
        )

    def excess(self) -> str:
        """Return what is too much in the two folders, as a sentence, or ""."""
        most_files, most_bytes = self.limits.output_files, self.limits.output_bytes
        where = "in the outputs folder"
        files, size = use(self.outputs, most_files=most_files, most_bytes=most_bytes)
        if self.inputs and files <= most_files and size <= most_bytes:
            where = "in outputs and beside the input"
            more = use(
                self.inputs,
                most_files=self.given_files + most_files,
                most_bytes=self.given_bytes + most_bytes,
            )
            files += max(more[0] - self.given_files, 0)
            size += max(more[1] - self.given_bytes, 0)
        if files > most_files:
            return f"more than {most_files:,} files {where}"
        return f"more than {readable(most_bytes)} {where}" if size > most_bytes else ""


def excess(outputs: Path, limits: Limits) -> str:
    """Return what is too much in the outputs folder alone, as a sentence, or ""."""
    return Filled({f"{WORKSPACE}/outputs": outputs}, limits).excess()


def use(folder: Path, *, most_files: int, most_bytes: int) -> tuple[int, int]:
    """Return how many files a folder holds and what they take in bytes.

    Space is what the files really take, so a sparse file counts little here. No link is followed,
    and looking ends at the first excess, so a flood of files costs no more than a few.
    """
    files, size = 0, 0
    folders = [folder]
    while folders:
        for path in _entries(folders.pop()):
            try:
                status = path.lstat()
            except OSError:
                continue  # gone since it was listed
            files += 1
            size += status.st_blocks * 512
            if stat.S_ISDIR(status.st_mode):
                folders.append(path)
            if files > most_files or size > most_bytes:
                return files, size
    return files, size


def reopen(*folders: Path) -> None:
    """Let the caller read what a program that ran as the same user has closed or taken away.

    Only what belongs to the caller is opened; no link is followed.
    """
    for folder in folders:
        if folder.is_symlink() or not folder.is_dir():  # only a plain process can do that
            folder.unlink(missing_ok=True)
            folder.mkdir()
    waiting = list(folders)
    for _ in range(_MOST_OPENED):
        if not waiting:
            return
        path = waiting.pop()
        with contextlib.suppress(OSError):
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                if status.st_uid == os.geteuid():
                    path.chmod(status.st_mode | stat.S_IRWXU)
                waiting += _entries(path)
            elif stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                path.chmod(status.st_mode | stat.S_IRUSR)


def machine_memory_bytes() -> int:
    """Return how much memory this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_room(folder: Path, needed_bytes: int) -> None:
    """Raise EngineError where a disk has less room: a full disk must not look like a failure."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise EngineError(
            f"{folder}: the disk has {readable(free)} left, {readable(needed_bytes)} are needed; "
            "make room, run again"
        )


def readable(size: float) -> str:
    """Return a size in bytes for people."""
    return f"{size / GIB:.3g} GiB" if size >= GIB else f"{size / 2**20:.3g} MiB"


def memory_of(pid: int, name: str) -> Callable[[], int | None]:
    """Return a function for the memory in bytes that a container holds now, None if unknown.

    pid: its first process; name: what its control group is called after, so that a process number
    of another machine is not mistaken for ours. Memory that the kernel can take back at any time
    (file cache) does not count; tmpfs (/tmp, /dev/shm) does. Works with control groups v1 and v2.
    """
    file, keys = _memory_file(pid, name)

    def now() -> int | None:
        if file is None:
            return None
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except OSError:
            return None
        values = dict(line.split(" ", 1) for line in lines)
        return sum(int(values.get(key, 0)) for key in keys)

    return now


def _memory_file(pid: int, name: str) -> tuple[Path | None, tuple[str, ...]]:
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None, ()
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if name not in path:
            continue
        if "memory" in controllers.split(","):
            return CGROUPS / "memory" / path.lstrip("/") / "memory.stat", (
                "total_rss",
                "total_shmem",
            )
        if not controllers and (CGROUPS / "cgroup.controllers").exists():
            return CGROUPS / path.lstrip("/") / "memory.stat", ("anon", "shmem")
    return None, ()


def _entries(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for _, entry in zip(range(100_000), entries, strict=False)]
    except OSError:
        return []  # gone, or not ours to read


class Printed:
    """What a container prints, counted while it runs; only the end of it is kept.

    The engine's own log files would take ten times as long for a flood of lines, which disturbs
    whoever is timed on the same machine, and cannot be bounded while they are written.
    """

    def __init__(self, chunks: Iterator[bytes], *gone: type[Exception]) -> None:
        """`gone`: what `chunks` may raise, beside OSError and ValueError, where the engine is."""
        self.size = 0
        self._chunks, self._last = chunks, bytearray()
        self._gone: tuple[type[Exception], ...] = (OSError, ValueError, *gone)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def so_far(self) -> bytes:
        """Return the end of what has been printed until now."""
        return bytes(self._last)

    def last(self) -> bytes:
        """Return the end of what was printed, once the container has ended."""
        self.ended(10)
        return bytes(self._last)

    def ended(self, seconds: float) -> bool:
        """Wait until nothing more is printed, so long at most; return whether that is so."""
        self._thread.join(timeout=seconds)
        return not self._thread.is_alive()

    def _listen(self) -> None:
        # An engine that is gone is noticed by whoever waits for the container.
        with contextlib.suppress(*self._gone):
            for chunk in self._chunks:
                self.size += len(chunk)
                self._last += chunk
                del self._last[:-LOG_BYTES]
