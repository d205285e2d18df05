"""Let random changes happen to a run, and see whether it always gives what an empty folder gives.

    python benchmarks/changes.py [--sequences 200] [--changes 3] [--first 1]

Each sequence starts from a copy of a finished run. After each change the workflow runs once; after
the last one its results are compared with those of a run in an empty folder, byte for byte without
measured times, and the calls of all its runs are looked through for one that was made twice. The
changes are in tests/workflow/sequences.py.
"""

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "workflow"))

from sequences import Season  # noqa: E402


def main() -> int:
    """Print a line per sequence and the counts; return 0 where nothing was wrong."""
    parser = argparse.ArgumentParser(description="Random changes to a run.")
    parser.add_argument("--sequences", type=int, default=200)
    parser.add_argument("--changes", type=int, default=3)
    parser.add_argument("--first", type=int, default=1, help="seed of the first sequence")
    given = parser.parse_args()
    kinds: Counter[str] = Counter()
    wrong = kills = calls = 0
    with tempfile.TemporaryDirectory() as folder:
        base = Season(Path(folder, "base"), 0)
        for seed in range(given.first, given.first + given.sequences):
            season = Season(Path(folder, str(seed)), seed, base)
            happened = [season.step() for _ in range(given.changes)]
            faults = season.faults()
            print(seed, "; ".join(happened), faults or "as an empty folder", flush=True)
            kinds.update(season.kinds)
            wrong += bool(faults)
            kills += season.kills
            calls += len(season.calls(season.works)) - len(season.calls(base.works))
            shutil.rmtree(season.folder)
    print(
        f"{given.sequences} sequences, {sum(kinds.values())} changes, {kills} kills, {calls} calls"
    )
    print(", ".join(f"{kind}: {n}" for kind, n in sorted(kinds.items())))
    print(f"sequences with a difference or a call made twice: {wrong}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
