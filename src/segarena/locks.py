"""Locks that end with their process, also on storage that has none.

Lustre without `-o flock` and some NFS answer that they know no locks. There a name of this machine
(an abstract socket) replaces it: it keeps processes of one machine apart, which is what
docs/cluster.md asks for on such storage.
"""

import contextlib
import errno
import fcntl
import hashlib
import socket
import time
from pathlib import Path
from typing import IO

UNKNOWN = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
"""What a file system answers that has no locks."""

_POLL_SECONDS = 0.2

Lock = IO[str] | socket.socket


def held(path: Path, file: IO[str], *, wait: bool) -> Lock | None:
    """Return what holds an exclusive lock on an open file until it is closed; None if it is held.

    wait: until whoever has the lock gives it up.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return file
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno not in UNKNOWN:
            raise
    return _held_here(path, wait=wait)


def _held_here(path: Path, *, wait: bool) -> socket.socket | None:
    """Return a socket whose name stands for a path on this machine; None if another has it."""
    name = f"\0segarena-{hashlib.sha256(str(path.resolve()).encode()).hexdigest()}"
    while True:
        lock = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError):
            lock.bind(name)
            return lock
        lock.close()
        if not wait:
            return None
        time.sleep(_POLL_SECONDS)
