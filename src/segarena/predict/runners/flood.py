"""A bound on the processes of a call whose runtime has none of its own: Apptainer's.

Root's processes are bounded by a control group below our own (`pids`, version 1 or 2); a plain
user's by `prlimit --nproc`, which counts all of the user's, so it is what runs now and as many
more. Where neither can be had, a look ten times a second is all that there is.
"""

import contextlib
import os
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_OF_THE_RUNTIME = 64
"""Threads and processes that the runtime itself may need beside those of the call."""

_LONGEST_END_SECONDS = 5.0


@contextlib.contextmanager
def bounded(processes: int) -> Iterator[list[str]]:
    """Yield the words to put before a command, so that it has at most so many processes."""
    most = processes + _OF_THE_RUNTIME
    if os.geteuid() != 0:
        least = _running(os.geteuid()) + most
        hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        allowed = least if hard == resource.RLIM_INFINITY else min(least, hard)
        prlimit = shutil.which("prlimit")
        yield [prlimit, f"--nproc={allowed}"] if prlimit else []
        return
    group = _group(most)
    if group is None:
        yield []
        return
    try:
        yield ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs")]
    finally:
        _remove(group)


def _group(most: int) -> Path | None:
    """Return a new control group with a bound, or None where none can be made."""
    for line in _OWN.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in {"pids", ""}:
            continue
        parent = _GROUPS / controllers / path.strip("/")
        group = parent / f"segarena-{os.getpid()}-{time.monotonic_ns()}"
        with contextlib.suppress(OSError):
            group.mkdir()
            try:
                (group / "pids.max").write_text(str(most))
                return group
            except OSError:
                group.rmdir()
    return None


def _remove(group: Path) -> None:
    """Remove a group as soon as its last process is gone, which is at once after a kill."""
    ends = time.monotonic() + _LONGEST_END_SECONDS
    while True:
        try:
            group.rmdir()
            return
        except OSError:
            if time.monotonic() > ends:
                return  # an empty directory of the kernel's that binds nobody
            time.sleep(0.01)


def _running(user: int) -> int:
    """Return how many processes and threads a user has."""
    count = 0
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and process.stat().st_uid == user:
                count += sum(1 for _ in (process / "task").iterdir())
    return count
