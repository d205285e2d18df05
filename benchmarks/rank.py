"""How long a bootstrap of the ranking takes: 1,000 samples, 20 teams, 1,000 cases, all schemes.

Run: python benchmarks/rank.py [--bootstraps N] [--teams N] [--cases N]. Prints the wall and CPU
seconds of the ranking in every sample and of the whole assessment (with leave-one-case-out and
tables), and the peak memory of the process. The target is 20 s and 2 GB on 2 cores.
"""

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from segarena.rank.aggregate import SCHEMES, sample_places
from segarena.rank.stability import draw, stability


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstraps", type=int, default=1000)
    parser.add_argument("--teams", type=int, default=20)
    parser.add_argument("--cases", type=int, default=1000)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    skill = np.linspace(0, 0.05, given.teams)
    values = np.clip(rng.normal(0.7, 0.15, (given.cases, given.teams)) + skill, 0, 1)
    values[rng.random(values.shape) < 0.01] = np.nan
    samples = draw(given.cases, bootstraps=given.bootstraps, seed=1, name="t")

    def rank_all() -> None:
        sample_places(values, samples, larger_is_better=True, alpha=0.05)

    table = (
        pd.DataFrame(values)
        .rename_axis(index="case", columns="algorithm")
        .stack(future_stack=True)
        .rename("value")
        .reset_index()
        .assign(task="t")
    )
    size = f"{given.bootstraps} x {len(SCHEMES)} schemes x {given.teams} x {given.cases}"
    measure(f"ranks in every sample, {size}", rank_all)
    measure(
        "the same with leave-one-case-out and tables",
        lambda: stability(table, larger_is_better=True, seed=1, bootstraps=given.bootstraps),
    )


def measure(name: str, run: Callable[[], object]) -> None:
    """Run once and print the seconds and the process's peak memory so far."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{name}: {wall:.1f} s wall, {cpu:.1f} s CPU, peak {peak_gb:.2f} GB")


if __name__ == "__main__":
    main()
