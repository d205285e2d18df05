"""Every error that SegArena raises on purpose.

A message is one line for the person who has to act on it: what happened, to which file, and what
to do. `exit_code` is what the command line returns; a submission's own failure is not an error but
a result (see `segarena.predict.session`), so no class here stands for one.
"""

import atexit
import contextlib
import gc
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path


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
    """Run a rule's work: its errors go to `log` and to stderr, ours as one line without a trace.

    The process ends after it, so nothing is searched for garbage then: that takes a quarter of a
    second where compiled kernels are loaded. SIGTERM, by which a run is stopped
    (`snakemake_adapter.stop_in_one_line`), ends it without a trace, once its container is removed.
    """
    atexit.register(gc.freeze)
    signal.signal(signal.SIGTERM, _leave)
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("", encoding="utf-8")
    try:
        yield
    except SegArenaError as error:
        path.write_text(f"error: {error}\n", encoding="utf-8")
        print(f"segarena: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        trace = traceback.format_exc()
        path.write_text(f"error: {type(error).__name__}: {error}\n{trace}", encoding="utf-8")
        raise
