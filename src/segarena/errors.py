"""Every error that SegArena raises on purpose.

A message is one line for the person who has to act on it: what happened, to which file, and what
to do. `exit_code` is what the command line returns; a submission's own failure is not an error but
a result (see `segarena.predict.session`), so no class here stands for one.
"""

import atexit
import contextlib
import errno
import gc
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

DISK_FULL = {errno.ENOSPC, errno.EDQUOT}

_MAKE_ROOM = "make room and run the same command again"


class SegArenaError(Exception):
    """Base class: anything that the caller or the organiser can put right."""

    exit_code = 1


class ConfigError(SegArenaError):
    """A config key, a sheet or a protocol is wrong."""

    exit_code = 2


class CaseError(SegArenaError):
    """An image, a label map or a prepared case cannot be used."""

    exit_code = 3


class SubmissionError(SegArenaError):
    """A submission cannot be used at all: its archive or folder is not what it should be."""

    exit_code = 4


class EngineError(SegArenaError):
    """The infrastructure failed (engine, disk, device); nobody's score may suffer from it."""

    exit_code = 5


def _leave(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # nothing may come between now and the end
    sys.exit(128 + number)


@contextlib.contextmanager
def log_errors(log: str | Path) -> Iterator[None]:
    """Run a rule's work: its errors go to `log` and stderr, SegArena errors without a traceback.

    The process ends after it, so nothing is searched for garbage then: that takes a quarter of a
    second where compiled kernels are loaded. SIGTERM, by which a run is stopped
    (`snakemake_adapter.stop_in_one_line`), ends it without a trace, once its container is removed.
    """
    atexit.register(gc.freeze)
    signal.signal(signal.SIGTERM, _leave)
    path = Path(log)
    if not _written(path, ""):
        print(f"segarena: {path}: no log can be written; {_MAKE_ROOM}", file=sys.stderr)
        sys.exit(EngineError.exit_code)
    try:
        yield
    except Exception as error:
        ours = error if isinstance(error, SegArenaError) else full_disk(error)
        if ours is None:
            name = type(error).__name__
            _written(path, f"error: {name}: {error}\n{traceback.format_exc()}")
            raise
        _written(path, f"error: {ours}\n")
        print(f"segarena: {ours}", file=sys.stderr)
        sys.exit(ours.exit_code)


def full_disk(error: BaseException) -> EngineError | None:
    """Return the error of ours that stands for a full disk, or None where that is not the cause."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in DISK_FULL:
            where = f"{cause.filename}: " if cause.filename else ""
            return EngineError(f"{where}the disk is full ({cause.strerror}); {_MAKE_ROOM}")
        cause = cause.__cause__ or cause.__context__
    return None


def _written(path: Path, text: str) -> bool:
    """Write a log; return False where there is no room for it: its line is on stderr as well."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        if full_disk(error) is None:
            raise
        return False
    return True
