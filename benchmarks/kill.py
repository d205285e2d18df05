"""Kill a run at random moments, many times in a row, and see whether its tables are still right.

    python benchmarks/kill.py [--times 50] [--base-image IMAGE]

With --base-image (an image with Python and numpy that the engine at DOCKER_HOST knows) submissions
run in containers, otherwise as processes. Each time a run is started in the same folder and killed
after a random while by SIGTERM or SIGKILL, its whole group or the main process alone. A run that
ends before is compared with an undisturbed one, running times aside, and its results are removed,
so that there is always something to disturb.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "workflow"), str(ROOT / "tests" / "engines")]

from arena import Arena, new_arena  # noqa: E402
from test_accidents import SLOW, filled, tables  # noqa: E402


def main() -> int:
    """Return 0 where every finished run gave the tables of the undisturbed one."""
    parser = argparse.ArgumentParser(description="Kill a run at random moments.")
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--base-image", default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        quiet, disturbed = (_arena(Path(folder, name), given.base_image) for name in "ab")
        started = time.monotonic()
        quiet.run()
        seconds = time.monotonic() - started
        finished = _disturb(disturbed, given.times, seconds, tables(quiet))
        disturbed.run()
        same = tables(disturbed) == tables(quiet)
    print(f"{given.times} kills, {finished} runs finished between them, tables the same: {same}")
    return 0 if same else 1


def _arena(folder: Path, base_image: str) -> Arena:
    folder.mkdir()
    arena = filled(new_arena(folder), SLOW)
    if base_image:
        arena.config |= {"runtime": "docker", "base_image": base_image}
    return arena


def _disturb(arena: Arena, times: int, seconds: float, expected: object) -> int:
    draw = random.Random(2025)
    finished = 0
    for number in range(times):
        how = draw.choice([signal.SIGTERM, signal.SIGKILL])
        alone = draw.random() < 0.3
        wait = draw.uniform(0, seconds)
        process = subprocess.Popen(
            arena.command(),
            env=arena.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            (os.kill if alone else os.killpg)(process.pid, how)
            _ended(process)
            print(f"{number + 1}: {how.name} after {wait:.1f} s{', main process' * alone}")
            continue
        assert code == 0, "a run that was not disturbed has failed"
        assert tables(arena) == expected, "a run that was killed before gave other tables"
        finished += 1
        shutil.rmtree(arena.work / "results")
    return finished


def _ended(process: subprocess.Popen) -> None:
    """Wait for a run to end; once in a while Snakemake never does after a SIGTERM."""
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        print("   it did not end within 60 s: SIGKILL")
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
