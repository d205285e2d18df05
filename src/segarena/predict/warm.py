"""A submission that stays: one container for the interactions of one case, never longer.

`sh serve.sh` is started once, with the mounts and limits of a call. All talk is by files that are
renamed into place, so that no runtime, entry point or printing library is in the way:

    outputs/ready        the program makes it when it can answer
    inputs/K/CASE.npz    the question of interaction K, as a fresh container would read it
    outputs/K/CASE.npz   the answer
    inputs/end           the program has five seconds to leave

If it dies or is killed, the next question starts a new one, so nothing may depend on its memory.
While it runs it could change what we look at. So its inputs are read-only, nothing in its outputs
is followed, and an answer is copied before it is read.
"""

import contextlib
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from segarena.errors import EngineError
from segarena.predict.runners import Image, Limits, Outcome, Serving, calls_prefix, run

LEAVE_SECONDS = 5.0

_FASTEST_LOOK, _SLOWEST_LOOK = 0.001, 0.02
_LONGEST_LIFE_SECONDS = 30 * 86400.0
_TIMED_OUT = "timed out"


@dataclass(frozen=True)
class WarmAnswer:
    """How one question went. answer: the copy of what came back, which may be missing.

    start_seconds: from the container's start until it was ready, 0 where it ran before. is_ready:
    whether it came so far that it was asked. printed: what it has printed until now.
    """

    answer: Path
    outcome: Outcome
    start_seconds: float
    is_ready: bool
    printed: bytes


class WarmContainer:
    """The container of one case; it is started with the first question, and ends with the block."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._serving = Serving()
        self._outcome: Outcome | None = None
        self._error: BaseException | None = None
        self._folder = Path()

    def __enter__(self) -> "WarmContainer":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def ask(
        self,
        image: Image,
        name: str,
        number: int,
        write_input: Callable[[Path], None],
        limits: Limits,
        start_seconds: float,
    ) -> WarmAnswer:
        """Ask one question and wait for its answer.

        name: of the input and the answer. number: of the interaction. start_seconds: the time that
        a start may take; limits.seconds: that of the answer. Raises EngineError where the engine
        fails.
        """
        took = 0.0
        if self._thread is None or not self._thread.is_alive():
            self.end()
            self._start(image, limits)
            took, is_ready = self._wait(self._folder / "outputs" / "ready", start_seconds)
            if not is_ready:
                return WarmAnswer(self._folder / "none", self._ended(0.0), took, False, self._log())
        asked = self._put(name, number, write_input)
        answer = self._folder / "outputs" / str(number) / name
        seconds, is_there = self._wait(answer, limits.seconds, since=asked)
        copy = self._folder / f"{number}.npz"
        if is_there:
            _copy(self._folder / "outputs", str(number), name, copy, limits.output_bytes)
            peak = self._serving.monitor and self._serving.monitor.peak_memory_bytes
            outcome = Outcome(0, seconds, seconds, peak_memory_bytes=peak)
        else:
            outcome = self._ended(seconds)
        return WarmAnswer(copy, outcome, took, True, self._log())

    def end(self) -> None:
        """Ask the program to leave, kill it where it does not, and remove its folder."""
        if self._thread is None:
            return
        if self._thread.is_alive():
            with contextlib.suppress(OSError):
                (self._folder / "inputs" / "end").touch()
            self._thread.join(LEAVE_SECONDS)
            self._serving.stop = self._serving.stop or "ended"
            self._thread.join()
        self._thread = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, image: Image, limits: Limits) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix=calls_prefix(Path.cwd())))
        for name, mode in (("inputs", 0o755), ("outputs", 0o777)):
            (self._folder / name).mkdir()
            (self._folder / name).chmod(mode)
        self._serving, self._outcome, self._error = Serving(), None, None
        places = (self._folder / name for name in ("inputs", "outputs", "log"))
        lasting = replace(limits, seconds=_LONGEST_LIFE_SECONDS)
        arguments = (image, *places, lasting, self._serving)
        self._thread = threading.Thread(target=self._run, args=arguments)
        self._thread.start()

    def _run(self, *arguments: object) -> None:
        try:
            self._outcome = run(*arguments)  # type: ignore[arg-type]
        except BaseException as error:
            self._error = error  # raised by whoever waits

    def _put(self, name: str, number: int, write_input: Callable[[Path], None]) -> float:
        """Put a question into its place and return when."""
        part = self._folder / "question"
        write_input(part)
        part.chmod(0o644)
        there = self._folder / "inputs" / str(number)
        there.mkdir(exist_ok=True)
        there.chmod(0o755)
        outputs = self._folder / "outputs" / str(number)
        with contextlib.suppress(FileExistsError):
            outputs.mkdir()
        with contextlib.suppress(OSError):  # the program may have made something else of it
            handle = os.open(outputs, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                os.fchmod(handle, 0o777)
            finally:
                os.close(handle)
        part.replace(there / name)
        return time.monotonic()

    def _wait(self, path: Path, limit: float, since: float | None = None) -> tuple[float, bool]:
        """Wait for a file; return the seconds that it took and whether it is there.

        It counts from the container's start, or from `since`. A program that takes longer than the
        limit is killed; one that has ended is waited for no longer.
        """
        assert self._thread is not None
        pause = _FASTEST_LOOK
        while True:
            begun = since if since is not None else self._serving.started
            seconds = time.monotonic() - begun if begun else 0.0
            running = self._thread.is_alive()
            if os.path.lexists(path):
                return seconds, True
            if not running:
                return seconds, False
            if seconds > limit:
                self._serving.stop = _TIMED_OUT
                self._thread.join()
                return seconds, False
            time.sleep(pause)
            pause = min(pause * 1.1, _SLOWEST_LOOK)

    def _ended(self, seconds: float) -> Outcome:
        """Return how the container has ended, with the seconds of the question it ended at."""
        if self._error is not None:
            raise self._error
        assert self._outcome is not None
        return replace(self._outcome, seconds=seconds, own_seconds=seconds)

    def _log(self) -> bytes:
        """Return the end of what has been printed until now."""
        log, monitor = self._folder / "log", self._serving.monitor
        if monitor is not None and not log.exists():  # it is written at the end
            return bytes(monitor.printed.so_far())
        return log.read_bytes() if log.exists() else b""


def _copy(outputs: Path, folder: str, name: str, copy: Path, most_bytes: int) -> None:
    """Copy OUTPUTS/FOLDER/NAME without following a link; nothing is copied of what is no file.

    Raises EngineError where the disk fails.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        place = os.open(outputs / folder, flags | os.O_DIRECTORY)
        try:
            handle = os.open(name, flags, dir_fd=place)
        finally:
            os.close(place)
    except OSError:
        return
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return
        try:
            with copy.open("wb") as written:
                left = most_bytes + 1  # one more is refused by whoever reads it
                while left and (chunk := file.read(min(left, 1 << 20))):
                    written.write(chunk)
                    left -= len(chunk)
        except OSError as error:
            raise EngineError(f"{copy}: cannot be written ({error}); make room") from error
