"""Set the clock of a run at random moments, and see whether its tables are still right.

    python benchmarks/clock.py [--times 20] [--seed 2025] [--base-image IMAGE]

Needs a C compiler: a small library shows the processes of a run another time of day; no clock of
the machine is set. Containers and their engine keep the true time, so the run and the
engine differ as with an engine in a virtual machine. Monotonic time is left alone, as the kernel
leaves it when a clock is set. Twice in each run, after random whiles, the clock jumps by seconds,
hours or days, ahead or back. Every run must end well, with the tables of an undisturbed one,
running times aside, and no call may be taken for one that ran out of time or was killed.
"""

import argparse
import contextlib
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kill import TARGET, empty, small_arena, tables

from segarena.files import read_json

LIBRARY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset(void) {
    const char *path = getenv("CLOCK_FILE");
    char text[32] = {0};
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
    close(file);
    return atol(text);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += offset();
    return failed;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int failed = syscall(SYS_gettimeofday, now, zone);
    if (!failed && now) now->tv_sec += offset();
    return failed;
}
time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}
"""
"""Shows another time of day; the file that CLOCK_FILE names holds by how many seconds."""

JUMPS = (-86_400 * 400, -86_400, -3_600, -90, -20, 20, 90, 3_600, 86_400, 86_400 * 400)


def main() -> int:
    """Return 0 where every run gave the tables of the undisturbed one."""
    parser = argparse.ArgumentParser(description="Set the clock of a run at random moments.")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=2025)
    parser.add_argument("--base-image", default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        quiet, disturbed = (small_arena(Path(folder, name), given.base_image) for name in "ab")
        started = time.monotonic()
        quiet.run(TARGET)
        seconds = time.monotonic() - started
        expected = tables(quiet)
        draw = random.Random(given.seed)
        jumps = 0
        while jumps < given.times:
            jumped = []
            with _clock(Path(folder)) as (environment, set_to):
                process = _started(disturbed, environment)
                for _ in range(2):
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(timeout=draw.uniform(0, seconds / 2))
                    if process.poll() is None:
                        jumped.append(draw.choice(JUMPS))
                        set_to(jumped[-1])
                code = process.wait()
            jumps += len(jumped)
            print(f"{jumps}: jumps of {jumped} s: exit code {code}", flush=True)
            assert code == 0, (disturbed.folder / "printed.txt").read_text()
            assert tables(disturbed) == expected, "a clock changed a table"
            records = [read_json(path) for path in disturbed.path("predict").glob("*/*/*/*.json")]
            assert {record["status"] for record in records} == {"ok"}, records
            assert all(0 <= record["own_seconds"] <= record["seconds"] for record in records)
            empty(disturbed)
    print(f"{jumps} jumps of the clock: all runs ended well, and the tables are the same")
    return 0


@contextlib.contextmanager
def _clock(folder: Path):  # type: ignore[no-untyped-def]
    """Yield the environment of a run with a clock of its own, and what sets that clock."""
    source, library, seconds = (folder / name for name in ("clock.c", "clock.so", "clock"))
    source.write_text(LIBRARY)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)

    def set_to(offset: int) -> None:
        aside = seconds.with_suffix(".new")
        aside.write_text(str(offset))
        aside.replace(seconds)

    set_to(0)
    yield {"LD_PRELOAD": str(library), "CLOCK_FILE": str(seconds)}, set_to


def _started(arena, environment: dict[str, str]) -> subprocess.Popen:  # type: ignore[no-untyped-def]
    with (arena.folder / "printed.txt").open("w") as file:
        return subprocess.Popen(
            arena.command(TARGET),
            env={**arena.environment(), **environment},
            stdout=file,
            stderr=subprocess.STDOUT,
        )


if __name__ == "__main__":
    sys.exit(main())
