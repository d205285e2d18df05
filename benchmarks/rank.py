"""How long a bootstrap of the ranking takes: 1,000 samples, 20 teams, 1,000 cases, all schemes.

Run: python benchmarks/rank.py [--bootstraps N] [--teams N] [--cases N] [--subgroups]. Prints the
wall and CPU seconds of the ranking in every sample and of the whole assessment (with
leave-one-case-out and tables), and the peak memory of the process. The target is 20 s and 2 GB on 2
cores. --subgroups measures all tables of a leaderboard instead: five metrics, 13 subgroups (5
modalities, 8 structures); its target is 30 CPU seconds for 30 teams.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from segarena.rank.aggregate import SCHEMES, sample_places
from segarena.rank.outputs import rank_scores
from segarena.rank.stability import draw, stability


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstraps", type=int, default=1000)
    parser.add_argument("--teams", type=int, default=20)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--subgroups", action="store_true")
    given = parser.parse_args()
    if given.subgroups:
        measure_leaderboard(given.teams, given.cases, given.bootstraps)
        return
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


def measure_leaderboard(teams: int, cases: int, bootstraps: int) -> None:
    """Measure `rank_scores` on five metrics and 13 subgroups."""
    rng = np.random.default_rng(0)
    names = [f"case_{i:04}" for i in range(cases)]
    metrics = ["DSC_AUC", "NSD_AUC", "DSC_Final", "NSD_Final", "TotalRunningTime"]
    scores = pd.DataFrame(
        [(f"team_{team:02}", case) for team in range(teams) for case in names],
        columns=["submission", "case"],
    )
    skill = scores["submission"].str[-2:].astype(int) * 0.005
    for metric in metrics:
        scores[metric] = np.clip(rng.normal(0.6, 0.15, len(scores)) + skill, 0, 1)
    subgroups = pd.DataFrame(
        [(case, f"modality: {i % 5}") for i, case in enumerate(names)]
        + [(case, f"structure: {i % 8}") for i, case in enumerate(names)],
        columns=["case", "subgroup"],
    )
    with tempfile.TemporaryDirectory() as folder:
        measure(
            f"a leaderboard: {teams} teams x {cases} cases x {len(metrics)} metrics, 13 subgroups",
            lambda: rank_scores(
                scores,
                folder,
                metrics=metrics,
                deciding_scheme="rank_then_mean",
                protocol="p",
                protocol_version=1,
                seed=1,
                subgroups=subgroups,
                bootstraps=bootstraps,
            ),
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
