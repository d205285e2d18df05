"""A run that is stopped ends at once, in one line, with nothing left at work."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from arena import PREDICT, Arena

# Says who it is, and is in no hurry for as long as a file is there.
WAITS = """
import os, pathlib, time
folder = pathlib.Path({folder!r})
(folder / "pids" / str(os.getpid())).touch()
while (folder / "wait").exists():
    time.sleep(0.1)
"""


@pytest.fixture
def waiting(empty_arena: Arena, tmp_path: Path) -> Arena:
    """A run of two sessions that would take for ever."""
    (tmp_path / "pids").mkdir()
    (tmp_path / "wait").touch()
    empty_arena.add_protocol(time={"seconds_per_label": 600, "on_overtime": "warn"})
    empty_arena.add_case("one")
    for name in ("ada", "bob"):
        # Two programs: of one program under two names only one is asked.
        program = f"# {name}\n{WAITS.format(folder=str(tmp_path))}{PREDICT}"
        empty_arena.add_submission(name, program)
    return empty_arena


def _pids(arena: Arena) -> list[int]:
    return [int(path.name) for path in (arena.folder / "pids").iterdir()]


@pytest.mark.parametrize(
    ("number", "to_all"),
    [
        (signal.SIGINT, True),
        (signal.SIGINT, False),
        (signal.SIGTERM, False),
        (signal.SIGTERM, True),
    ],
    ids=["Ctrl-C", "SIGINT to the head", "SIGTERM to the head", "SIGTERM to all"],
)
def test_a_stopped_run_ends_at_once_in_one_line(waiting: Arena, number: int, to_all: bool):
    """No trace, no program left, and the same command goes on."""
    log = waiting.folder / "printed.txt"
    with log.open("w") as printed:
        head = subprocess.Popen(
            waiting.command(),
            env=waiting.environment(),
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while len(_pids(waiting)) < 2:
            assert head.poll() is None, log.read_text()
            time.sleep(0.1)
        before = log.read_text()
        (os.killpg if to_all else os.kill)(head.pid, number)
        assert head.wait(timeout=300) != 0  # the sessions wait for ever
    finally:
        if head.poll() is None:
            os.killpg(head.pid, signal.SIGKILL)
    printed = log.read_text().removeprefix(before)
    assert printed.splitlines()[-1] == "segarena: stopped; run the same command to continue"
    assert "Traceback" not in printed
    assert "Error" not in printed
    assert len(printed.splitlines()) <= 3
    while any(map(psutil.pid_exists, _pids(waiting))):  # killed, but perhaps not gone yet
        time.sleep(0.1)
    (waiting.folder / "wait").unlink()
    waiting.run("results/score/short/ada/one.csv")
