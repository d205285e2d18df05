"""From one value per case to a ranking of the algorithms, by every scheme the field uses.

A ranking is computed for many samples of the cases at once, because a bootstrap asks for thousands:
the full table is simply the sample that holds every case once, so the numbers in the leaderboard
and those in its uncertainty cannot come from different code. The schemes and their numbers are
those of challengeR (Wiesenfarth et al. 2021, doi:10.1038/s41598-021-82017-6).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from segarena.masks import kernel
from segarena.rank import ties
from segarena.rank.signed_rank import beaten, better_p

SCHEMES = (
    "mean_then_rank",
    "median_then_rank",
    "rank_then_mean",
    "rank_then_median",
    "test_then_rank",
    "test_then_rank_holm",
)
# Samples are worked on in blocks of about this many (case, sample) cells, to bound the memory.
BLOCK_CELLS = 1_000_000


@dataclass(frozen=True)
class Task:
    """The settled values of one task, (cases, algorithms), NaN where an answer is missing."""

    name: str
    cases: tuple[str, ...]
    algorithms: tuple[str, ...]
    values: np.ndarray


def tasks(table: pd.DataFrame) -> list[Task]:
    """Return the tasks of a table with the columns task, algorithm, case, value, sorted by name.

    An algorithm takes part in a task where it has at least one row; the cases it has no row for
    are missing. Cases and algorithms are sorted.
    """
    found = []
    for name, rows in table.groupby("task", sort=True, observed=True):
        wide = rows.pivot(index="case", columns="algorithm", values="value")
        found.append(
            Task(
                name=str(name),
                cases=tuple(wide.index),
                algorithms=tuple(wide.columns),
                values=ties.settled(wide.to_numpy(dtype=float)),
            )
        )
    return found


def ranks(
    table: pd.DataFrame,
    *,
    larger_is_better: bool,
    alpha: float = 0.05,
    missing_counts_as: float | None = None,
) -> pd.DataFrame:
    """Return score and rank of every algorithm in every task under every scheme.

    `table` has the columns task, algorithm, case, value; the answer has scheme, task, algorithm,
    score, rank. A missing value counts as `missing_counts_as`, or as `fill_missing` says unless
    given; rank_then_mean and rank_then_median put it last in its case instead. An algorithm without
    any answer is last under every scheme. Ties share the smallest rank.
    """
    parts = []
    for task in tasks(table):
        found = sample_places(
            task.values,
            np.arange(len(task.cases))[None],
            larger_is_better=larger_is_better,
            alpha=alpha,
            missing_counts_as=missing_counts_as,
        )
        for scheme, (score, rank) in found.items():
            parts.append(
                pd.DataFrame(
                    {
                        "scheme": scheme,
                        "task": task.name,
                        "algorithm": task.algorithms,
                        "score": score[0],
                        "rank": rank[0],
                    }
                )
            )
    columns = ["scheme", "task", "algorithm", "score", "rank"]
    if not parts:
        return pd.DataFrame(columns=columns)
    whole = pd.concat(parts, ignore_index=True)
    order = whole["scheme"].map(SCHEMES.index)
    return whole.loc[order.sort_values(kind="stable").index, columns].reset_index(drop=True)


def sample_places(
    values: np.ndarray,
    samples: np.ndarray,
    *,
    larger_is_better: bool,
    alpha: float,
    missing_counts_as: float | None = None,
    counted: np.ndarray | None = None,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the scores and the ranks, each (samples, algorithms), by each scheme.

    `values` is (cases, algorithms), settled, with NaN where an answer is missing; `samples` is
    (samples, n) case indices, a case as often as the sample holds it. `counted`: bool (cases,), the
    cases that count in a sample; all unless given. A sample without any ties everyone.
    """
    filled = fill_missing(
        values, larger_is_better=larger_is_better, missing_counts_as=missing_counts_as
    )
    by_case = case_ranks(values, larger_is_better=larger_is_better)
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {scheme: [] for scheme in SCHEMES}
    step = max(1, BLOCK_CELLS // max(1, samples.shape[1]))
    for start in range(0, len(samples), step):
        weights = sample_weights(samples[start : start + step], len(values))
        if counted is not None:
            weights *= counted[:, None]
        absent = weights.T @ ~np.isnan(values) == 0
        found = _scores(filled, by_case, weights, larger_is_better=larger_is_better, alpha=alpha)
        sizes = _sizes(filled, weights)
        for scheme, score in found.items():
            signed = score if smaller_first(scheme, larger_is_better) else -score
            rank = ties.ranks(signed, sizes.get(scheme), last=absent if absent.any() else None)
            parts[scheme].append((score, rank))
    empty = np.zeros((0, values.shape[1]))
    return {
        scheme: (
            np.concatenate([empty, *(score for score, _ in blocks)]),
            np.concatenate([empty.astype(int), *(rank for _, rank in blocks)]),
        )
        for scheme, blocks in parts.items()
    }


def smaller_first(scheme: str, larger_is_better: bool) -> bool:
    """Say whether the smaller score of a scheme is the better one."""
    if scheme.startswith("rank_then_"):
        return True
    return not larger_is_better and not scheme.startswith("test_")


def fill_missing(
    values: np.ndarray, *, larger_is_better: bool, missing_counts_as: float | None = None
) -> np.ndarray:
    """Return `values` with every missing answer counted as `missing_counts_as`.

    Unless given it is the worst value that anyone has, and 0 (or 1 where smaller is better) if that
    is worse still: 0 and 1 are challengeR's, for metrics between the two.
    """
    if missing_counts_as is None:
        known = values[~np.isnan(values)]
        if larger_is_better:
            missing_counts_as = min(0.0, known.min(initial=0.0))
        else:
            missing_counts_as = max(1.0, known.max(initial=1.0))
    return np.where(np.isnan(values), missing_counts_as, values)


def case_ranks(values: np.ndarray, *, larger_is_better: bool) -> np.ndarray:
    """Return the ranks within each case, (cases, algorithms).

    Missing answers share the place after the last rank given, as in challengeR; where all are
    missing they share the first.
    """
    signed = -values if larger_is_better else values
    missing = np.isnan(signed)
    found = rankdata(np.where(missing, np.inf, signed), method="min", axis=1).astype(float)
    last = np.where(missing, 0, found).max(axis=1, initial=0, keepdims=True)
    return np.where(missing, last + 1, found)


def consensus(
    ranks: pd.DataFrame, *, over: str, weights: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Return the consensus over several rankings: the (weighted) mean rank, ranked.

    `ranks` has the columns scheme, `over` (the tasks, or the metrics), algorithm and rank. An
    algorithm that is absent from one of the rankings is put after its last place. The answer has
    scheme, algorithm, score and rank.
    """
    parts = []
    for scheme, rows in ranks.groupby("scheme", sort=False, observed=True):
        wide = rows.pivot(index="algorithm", columns=over, values="rank")
        wide = wide.fillna(wide.notna().sum() + 1)
        weight = None if weights is None else [weights[name] for name in wide.columns]
        score = np.average(wide.to_numpy(dtype=float), axis=1, weights=weight)
        rank = ties.ranks(score[None])[0]
        parts.append(
            pd.DataFrame(
                {"scheme": str(scheme), "algorithm": wide.index, "score": score, "rank": rank}
            )
        )
    columns = ["scheme", "algorithm", "score", "rank"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _scores(
    filled: np.ndarray,
    by_case: np.ndarray,
    weights: np.ndarray,
    *,
    larger_is_better: bool,
    alpha: float,
) -> dict[str, np.ndarray]:
    # The score of a test is the share of the others that an algorithm is significantly better than.
    p = better_p(filled, weights, larger_is_better=larger_is_better)
    others = max(1, filled.shape[1] - 1)
    return {
        "mean_then_rank": _means(filled, weights),
        "median_then_rank": _medians(filled, weights),
        "rank_then_mean": _means(by_case, weights),
        "rank_then_median": _medians(by_case, weights),
        "test_then_rank": (p < alpha).sum(axis=2) / others,
        "test_then_rank_holm": beaten(p, alpha) / others,
    }


def _sizes(filled: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    # Values of both signs cancel: what is left is as noisy as what it was left of.
    if (filled >= 0).all():
        return {}
    size = np.abs(filled)
    return {
        "mean_then_rank": _means(size, weights),
        "median_then_rank": _medians(size, weights),
    }


def _means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean of each column of `values` (cases, columns) in each sample."""
    return _weighted_sums(values, weights) / np.maximum(weights.sum(axis=0), 1)[:, None]


def _medians(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the median of each column of `values` (cases, columns) in each sample."""
    order = np.argsort(values, axis=0, kind="stable")
    return _weighted_medians(values, order, np.ascontiguousarray(weights.T))


@kernel
def _weighted_sums(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sums (samples, columns), added in the order of the cases on every machine.

    What each addition rounds off is carried along (Kahan), so that equal values have their mean.
    """
    cases, columns = values.shape
    sums = np.zeros((columns, weights.shape[1]))
    lost = np.zeros((columns, weights.shape[1]))
    for case in range(cases):
        for column in range(columns):
            value = values[case, column]
            for sample in range(weights.shape[1]):
                term = weights[case, sample] * value - lost[column, sample]
                total = sums[column, sample] + term
                lost[column, sample] = (total - sums[column, sample]) - term
                sums[column, sample] = total
    return sums.T


@kernel
def _weighted_medians(values: np.ndarray, order: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the medians (samples, columns); weights: (samples, cases). `order` sorts columns."""
    samples, columns = len(weights), values.shape[1]
    found = np.zeros((samples, columns))
    for sample in range(samples):
        half = weights[sample].sum() / 2
        if half == 0:
            continue
        for column in range(columns):
            held, at = 0.0, 0
            while held < half:
                held += weights[sample, order[at, column]]
                at += 1
            middle = values[order[at - 1, column], column]
            if held == half:  # an even number: half way to the next one that the sample holds
                while weights[sample, order[at, column]] == 0:
                    at += 1
                middle = (middle + values[order[at, column], column]) / 2
            found[sample, column] = middle
    return found


def sample_weights(samples: np.ndarray, cases: int) -> np.ndarray:
    """Return how often each sample holds each case, (cases, samples)."""
    shifted = samples + cases * np.arange(len(samples))[:, None]
    counts = np.bincount(shifted.ravel(), minlength=cases * len(samples))
    return np.ascontiguousarray(counts.reshape(len(samples), cases).T, dtype=float)
