"""How far can a ranking be trusted? The ranks that other draws of the cases would have given.

All submissions see the same drawn cases (a paired bootstrap), because they were compared on the
same cases in the first place. Every draw starts from the seed and the task's name, so a task ranked
alone gets the draws it got among others; the metrics of one leaderboard share theirs, so that the
final rank can be followed through each draw.
"""

import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from segarena.rank.aggregate import SCHEMES, sample_places, tasks
from segarena.rank.leaderboard import SMALLER_IS_BETTER, WORST, worst_value
from segarena.rank.ties import break_ties, settled
from segarena.rank.ties import ranks as places

BOOTSTRAPS = 1000
FINAL = "final"
# Ranks (samples, algorithms) by scheme.
Ranks = dict[str, np.ndarray]


@dataclass(frozen=True)
class Stability:
    """The tables of one assessment, each with the columns scheme and task (agreement: task).

    frequencies: algorithm, rank, count, share of the bootstrap samples.
    intervals: algorithm, rank (on all cases), low and high (95 %), median, share_first.
    taus: sample, tau of each bootstrap ranking against the ranking on all cases.
    leave_one_out: case, tau, largest_change of any rank, first_changed, without that case.
    agreement: scheme, other, tau between the rankings by two schemes on all cases.
    """

    frequencies: pd.DataFrame
    intervals: pd.DataFrame
    taus: pd.DataFrame
    leave_one_out: pd.DataFrame
    agreement: pd.DataFrame

    def labelled(self, column: str, value: str) -> "Stability":
        """Return the same tables with one more column in front, such as the subgroup."""
        tables = (getattr(self, field.name) for field in fields(self))
        return Stability(*(_with_first(table, column, value) for table in tables))


def stability(
    table: pd.DataFrame,
    *,
    larger_is_better: bool,
    seed: int,
    bootstraps: int = BOOTSTRAPS,
    alpha: float = 0.05,
    missing_counts_as: float | None = None,
) -> Stability:
    """Return the stability of the ranking in each task of a task, algorithm, case, value table."""
    parts = []
    for task in tasks(table):

        def rank(samples: np.ndarray, values: np.ndarray = task.values) -> Ranks:
            return _ranks(
                values,
                samples,
                larger_is_better=larger_is_better,
                alpha=alpha,
                missing_counts_as=missing_counts_as,
            )

        draws = draw(len(task.cases), bootstraps=bootstraps, seed=seed, name=task.name)
        parts.append(_assess(task.name, task.algorithms, task.cases, _all_samples(rank, draws)))
    return merge(parts)


def score_stability(
    scores: pd.DataFrame,
    *,
    metrics: Sequence[str],
    seed: int,
    bootstraps: int = BOOTSTRAPS,
    weights: Mapping[str, float] | None = None,
    ties: Sequence[str] = (),
    smaller_is_better: Collection[str] = SMALLER_IS_BETTER,
    worst: Mapping[str, float] = WORST,
    alpha: float = 0.05,
) -> Stability:
    """Return the stability of a leaderboard: by each metric, and of the final rank.

    `scores` is what `leaderboard.complete` returns. The column task holds the metric, or "final"
    for the consensus over the metrics. ties: the metrics that decide among equal final ranks.
    """
    wide = {
        metric: scores.pivot(index="case", columns="submission", values=metric).astype(float)
        for metric in dict.fromkeys([*metrics, *ties])
    }
    first = wide[metrics[0]]
    cases, submissions = tuple(first.index), tuple(first.columns)
    draws = draw(len(cases), bootstraps=bootstraps, seed=seed, name=FINAL)
    found: dict[str, tuple[Ranks, Ranks, Ranks]] = {}
    for metric, table in wide.items():
        counts_as = worst_value(
            scores[metric], metric, smaller_is_better=smaller_is_better, worst=worst
        )

        def rank(
            samples: np.ndarray,
            metric: str = metric,
            values: np.ndarray = settled(table.to_numpy()),  # noqa: B008
            counts_as: float = counts_as,
            counted: np.ndarray = table.notna().any(axis=1).to_numpy(),  # noqa: B008
        ) -> Ranks:
            return _ranks(
                values,
                samples,
                larger_is_better=metric not in smaller_is_better,
                alpha=alpha,
                missing_counts_as=counts_as,
                counted=None if counted.all() or not counted.any() else counted,
            )

        found[metric] = _all_samples(rank, draws)
    weight = None if weights is None else [weights[metric] for metric in metrics]
    decided: list[Ranks] = []
    for kind in range(3):
        ranks = _consensus([found[metric][kind] for metric in metrics], weight)
        others = [found[tie][kind] for tie in ties]
        decided.append(
            {name: break_ties(rank, [by[name] for by in others]) for name, rank in ranks.items()}
        )
    found = {metric: found[metric] for metric in metrics}
    found[FINAL] = (decided[0], decided[1], decided[2])
    return merge([_assess(name, submissions, cases, ranks) for name, ranks in found.items()])


def draw(cases: int, *, bootstraps: int, seed: int, name: str) -> np.ndarray:
    """Return (bootstraps, cases) case indices drawn with replacement from a named seed."""
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return generator.integers(0, cases, size=(bootstraps, cases), dtype=np.int32)


def kendall_taus(ranks: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return Kendall's tau-b of each row of `ranks` (samples, algorithms) with `reference`.

    As scipy's kendalltau, for all rows at once. Where a ranking ties everyone, tau-b has no value:
    1 if the other does so as well, else 0.
    """
    first, second = np.triu_indices(len(reference), k=1)
    order = np.sign(ranks[:, first] - ranks[:, second])
    expected = np.sign(reference[first] - reference[second])
    untied, untied_expected = np.abs(order).sum(axis=1), np.abs(expected).sum()
    scale = np.sqrt(untied * float(untied_expected))
    both_tie = (untied == 0) & (untied_expected == 0)
    with np.errstate(invalid="ignore"):
        return np.where(scale > 0, order @ expected / np.where(scale > 0, scale, 1), both_tie * 1.0)


def merge(parts: Sequence[Stability]) -> Stability:
    """Return the tables of several assessments, one below the other."""
    names = [field.name for field in fields(Stability)]
    if not parts:
        return Stability(*(pd.DataFrame(columns=COLUMNS[name]) for name in names))
    return Stability(
        *(pd.concat([getattr(part, name) for part in parts], ignore_index=True) for name in names)
    )


COLUMNS = {
    "frequencies": ["scheme", "task", "algorithm", "rank", "count", "share"],
    "intervals": ["scheme", "task", "algorithm", "rank", "low", "median", "high", "share_first"],
    "taus": ["scheme", "task", "sample", "tau"],
    "leave_one_out": ["scheme", "task", "case", "tau", "largest_change", "first_changed"],
    "agreement": ["task", "scheme", "other", "tau"],
}


def _ranks(
    values: np.ndarray,
    samples: np.ndarray,
    *,
    larger_is_better: bool,
    alpha: float,
    missing_counts_as: float | None,
    counted: np.ndarray | None = None,
) -> Ranks:
    found = sample_places(
        values,
        samples,
        larger_is_better=larger_is_better,
        alpha=alpha,
        missing_counts_as=missing_counts_as,
        counted=counted,
    )
    return {scheme: rank for scheme, (_, rank) in found.items()}


def _all_samples(
    rank: Callable[[np.ndarray], Ranks], draws: np.ndarray
) -> tuple[Ranks, Ranks, Ranks]:
    # On all cases, in each draw, and without each case; a single case cannot be left out.
    everything = np.arange(draws.shape[1], dtype=np.int32)
    others = everything[:-1] + (everything[:-1] >= everything[:, None])
    if len(everything) == 1:
        others = others[:0]
    return rank(everything[None]), rank(draws), rank(others)


def _consensus(by_metric: list[Ranks], weights: list[float] | None) -> Ranks:
    given = weights or [1.0] * len(by_metric)  # np.average without weights fails on no samples
    return {
        scheme: places(np.average([ranks[scheme] for ranks in by_metric], axis=0, weights=given))
        for scheme in by_metric[0]
    }


def _assess(
    name: str,
    algorithms: Sequence[str],
    cases: Sequence[str],
    found: tuple[Ranks, Ranks, Ranks],
) -> Stability:
    full, drawn, without = found
    keys = [{"scheme": scheme, "task": name} for scheme in full]
    return Stability(
        frequencies=_stack(keys, [_frequencies(algorithms, drawn[s]) for s in full]),
        intervals=_stack(keys, [_intervals(algorithms, full[s][0], drawn[s]) for s in full]),
        taus=_stack(keys, [_taus(full[s][0], drawn[s]) for s in full]),
        leave_one_out=_stack(keys, [_left_out(cases, full[s][0], without[s]) for s in full]),
        agreement=_agreement(name, full),
    )


def _stack(keys: list[dict[str, str]], tables: list[pd.DataFrame]) -> pd.DataFrame:
    stacked = [
        _with_first(_with_first(table, "task", key["task"]), "scheme", key["scheme"])
        for key, table in zip(keys, tables, strict=True)
    ]
    return pd.concat(stacked, ignore_index=True)


def _with_first(table: pd.DataFrame, column: str, value: str) -> pd.DataFrame:
    table = table.copy()
    table.insert(0, column, value)
    return table


def _frequencies(algorithms: Sequence[str], drawn: np.ndarray) -> pd.DataFrame:
    places = np.arange(1, len(algorithms) + 1)
    counts = (drawn[:, :, None] == places).sum(axis=0)
    return pd.DataFrame(
        {
            "algorithm": np.repeat(algorithms, len(places)),
            "rank": np.tile(places, len(algorithms)),
            "count": counts.ravel(),
            "share": counts.ravel() / len(drawn),
        }
    )


def _intervals(algorithms: Sequence[str], full: np.ndarray, drawn: np.ndarray) -> pd.DataFrame:
    # Quantiles that occurred: a rank of 1.475 is no place anyone can have.
    low, median, high = np.quantile(drawn, [0.025, 0.5, 0.975], axis=0, method="inverted_cdf")
    return pd.DataFrame(
        {
            "algorithm": algorithms,
            "rank": full,
            "low": low,
            "median": median,
            "high": high,
            "share_first": (drawn == 1).mean(axis=0),
        }
    )


def _taus(full: np.ndarray, drawn: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"sample": np.arange(1, len(drawn) + 1), "tau": kendall_taus(drawn, full)})


def _left_out(cases: Sequence[str], full: np.ndarray, without: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "case": cases[: len(without)],
            "tau": kendall_taus(without, full),
            "largest_change": np.abs(without - full).max(axis=1),
            "first_changed": ((without == 1) != (full == 1)).any(axis=1),
        }
    )


def _agreement(name: str, full: Ranks) -> pd.DataFrame:
    rows = [
        (name, a, b, kendall_taus(full[a], full[b][0])[0])
        for a in SCHEMES
        for b in SCHEMES
        if a != b
    ]
    return pd.DataFrame(rows, columns=COLUMNS["agreement"])
