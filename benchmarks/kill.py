"""Kill a run at random moments, many times in a row, and see whether its tables are still right.

    python benchmarks/kill.py [--times 50] [--seed 2025] [--base-image IMAGE] [--kinds main,group]

With --base-image (an image with Python and numpy that the engine at DOCKER_HOST knows) submissions
run in containers, otherwise as processes. Each time a run is started in the same folder and
disturbed after a random while. What is killed, by SIGTERM or SIGKILL:

- main: Snakemake's process alone; the jobs at work go on without it
- group: the run with all its processes, as a closed terminal does
- worker: one job at work
- container: a container of the run, as somebody else's `docker kill` does (with --base-image)

A run that ends well is compared with an undisturbed one, running times aside, and its results and
answers are removed, so that there is always something to disturb. Where a worker or a container was
killed, the run may end with an error; its line must say what to do.
"""

import argparse
import collections
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "workflow"), str(ROOT / "tests" / "engines")]

from arena import Arena, new_arena  # noqa: E402
from test_accidents import SLOW, containers, filled, tables  # noqa: E402

# All tables; the report, half of a run's time, is left out.
TARGET = "results/rank/short/leaderboard.csv"
KINDS = ("main", "group", "worker", "container")
_ENDS_SECONDS = 120


def main() -> int:
    """Return 0 where every finished run gave the tables of the undisturbed one."""
    parser = argparse.ArgumentParser(description="Kill a run at random moments.")
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=2025)
    parser.add_argument("--base-image", default="")
    parser.add_argument("--kinds", default="")
    given = parser.parse_args()
    usual = KINDS if given.base_image else KINDS[:-1]
    kinds = given.kinds.split(",") if given.kinds else usual
    with tempfile.TemporaryDirectory() as folder:
        quiet, disturbed = (small_arena(Path(folder, name), given.base_image) for name in "ab")
        started = time.monotonic()
        quiet.run(TARGET)
        seconds = time.monotonic() - started
        expected = tables(quiet)
        draw = random.Random(given.seed)
        counts: collections.Counter[str] = collections.Counter()
        for number in range(given.times):
            what = _disturbed(disturbed, draw, seconds, kinds)
            if "ended well" in what:
                assert tables(disturbed) == expected, "a run that was killed gave other tables"
                empty(disturbed)
            counts[what] += 1
            print(f"{number + 1}: {what}", flush=True)
        disturbed.run(TARGET)
        same = tables(disturbed) == expected
    summary = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    print(f"{given.times} times: {summary}; the tables at the end are the same: {same}")
    return 0 if same else 1


def small_arena(folder: Path, base_image: str = "") -> Arena:
    """Return an arena of a case and a submission that takes a third of a second a call."""
    folder.mkdir()
    arena = filled(new_arena(folder), SLOW)
    if base_image:
        arena.config |= {"runtime": "docker", "base_image": base_image}
    return arena


def empty(arena: Arena) -> None:
    """Remove what a run has made, its answers as well."""
    for name in ("results", "store"):
        for path in (arena.work / name).glob("*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _disturbed(arena: Arena, draw: random.Random, seconds: float, kinds: list[str]) -> str:
    """Start a run and kill a part of it; return what became of it."""
    kind, how = draw.choice(kinds), draw.choice([signal.SIGTERM, signal.SIGKILL])
    wait = draw.uniform(0, seconds)
    printed = arena.folder / "printed.txt"
    with printed.open("w") as file:
        process = subprocess.Popen(
            arena.command(TARGET),
            env=arena.environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=wait)
    killed = _kill(arena, process, kind, how, draw)
    code = _ended(process)
    if code == 0:
        return f"{kind} killed, and ended well all the same" if killed else "ended well"
    assert killed, f"a run that was not disturbed has failed:\n{printed.read_text()}"
    if kind in {"worker", "container"}:
        assert "error(s) stopped this run" in printed.read_text(), printed.read_text()
    return f"{kind} killed"


def _kill(
    arena: Arena, process: subprocess.Popen, kind: str, how: signal.Signals, draw: random.Random
) -> bool:
    """Kill a part of a run as soon as there is one; return False where the run had ended."""
    while process.poll() is None:
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if kind == "group":
                os.killpg(process.pid, how)
                return True
            if kind == "main":
                os.kill(process.pid, how)
                return True
            if kind == "worker" and (jobs := _jobs(process.pid)):
                draw.choice(jobs).send_signal(how)
                return True
            if kind == "container" and _kill_a_container(arena):
                return True
        time.sleep(0.1)
    return False


def _jobs(pid: int) -> list[psutil.Process]:
    """Return the scripts at work, not the shells that started them."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            words = child.cmdline()
            if ".snakemake/scripts/" in " ".join(words) and "-c" not in words:
                found.append(child)
    return found


def _kill_a_container(arena: Arena) -> bool:
    import docker

    with contextlib.closing(docker.APIClient(base_url=os.environ["DOCKER_HOST"])) as client:
        for container in containers(arena):
            with contextlib.suppress(docker.errors.APIError):  # it has ended, or has not begun
                client.kill(container)
                return True
    return False


def _ended(process: subprocess.Popen) -> int:
    """Wait for a run to end, and return its exit code; a Snakemake that hangs is killed."""
    try:
        return process.wait(timeout=_ENDS_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"   it did not end within {_ENDS_SECONDS} s: SIGKILL")
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


if __name__ == "__main__":
    sys.exit(main())
