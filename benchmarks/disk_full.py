"""Fill a disk at random moments of a run, and see whether it says so and loses nothing.

    python benchmarks/disk_full.py [--times 20] [--seed 2025]

As root: the folder of a small run, its results and its TMPDIR are small disks in memory. Each time
one of them is filled to its last byte after a random while. The run must end without a
traceback and say what to do; once there is room again, the same command goes on from there.
A run that ends well is compared with an undisturbed one, running times aside.
"""

import argparse
import collections
import contextlib
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kill import SLOW, TARGET, empty, filled, small_arena, tables

DISKS = (".", "results", "tmp")
_ENDS_SECONDS = 240


def main() -> int:
    """Return 0 where every finished run gave the tables of the undisturbed one."""
    parser = argparse.ArgumentParser(description="Fill a disk at random moments.")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=2025)
    given = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as mounted:
        quiet, disturbed = (small_arena(Path(folder, name)) for name in "ab")
        started = time.monotonic()
        quiet.run(TARGET)
        seconds = time.monotonic() - started
        expected = tables(quiet)
        for name in DISKS:
            _mount(disturbed.folder_of(name), mounted)
        filled(disturbed, SLOW)
        draw = random.Random(given.seed)
        for number in range(given.times):
            disk = draw.choice(DISKS)
            what = _disturbed(
                disturbed, disturbed.work / disk, draw.uniform(min(4, seconds), seconds)
            )
            if what == "ended well":
                assert tables(disturbed) == expected, "a full disk changed a table"
                empty(disturbed)
            counts[f"{disk} full: {what}"] += 1
            print(f"{number + 1}: {disk} full: {what}", flush=True)
        disturbed.run(TARGET)
        same = tables(disturbed) == expected
    print(f"{given.times} times: {dict(sorted(counts.items()))}; same tables at the end: {same}")
    return 0 if same else 1


def _mount(folder: Path, mounted: contextlib.ExitStack) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m", "none", folder], check=True)
    mounted.callback(subprocess.run, ["umount", "--lazy", folder], check=True)


def _disturbed(arena, disk: Path, wait: float) -> str:  # type: ignore[no-untyped-def]
    """Start a run, fill a disk after a while, make room when it has ended; say how it ended."""
    ballast, printed = disk / "ballast", arena.folder / "printed.txt"
    with printed.open("w") as file:
        process = subprocess.Popen(
            arena.command(TARGET),
            env={**arena.environment(), "TMPDIR": str(arena.work / "tmp")},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=wait)
        _fill(ballast)
        code = process.wait(timeout=_ENDS_SECONDS)
    finally:
        ballast.unlink(missing_ok=True)
    if code == 0:
        return "ended well"
    text = printed.read_text()
    assert "Traceback" not in text, text
    assert "segarena: " in text, text
    assert "make room" in text, text
    return "said so"


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x")


if __name__ == "__main__":
    sys.exit(main())
