"""From one value per case to a ranking of the algorithms, by every scheme the field uses.

A ranking is computed for many samples of the cases at once, because a bootstrap asks for thousands:
the full table is simply the sample that holds every case once, so the numbers in the leaderboard
and those in its uncertainty cannot come from different code. The schemes and their numbers are
those of challengeR (Wiesenfarth et al. 2021, doi:10.1038/s41598-021-82017-6).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from segarena.rank.signed_rank import better_p, holm

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
    """The values of one task, (cases, algorithms), NaN where an answer is missing."""

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
                values=wide.to_numpy(dtype=float),
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
    score, rank. A missing value counts as `missing_counts_as`, which is 0 where larger is better
    and 1 where smaller is unless given; rank_then_mean and rank_then_median put it last in its case
    instead. Ties share the smallest rank.
    """
    parts = []
    for task in tasks(table):
        scores = sample_scores(
            task.values,
            np.arange(len(task.cases))[None],
            larger_is_better=larger_is_better,
            alpha=alpha,
            missing_counts_as=missing_counts_as,
        )
        for scheme, score in scores.items():
            rank = sample_ranks(score, smaller_first=smaller_first(scheme, larger_is_better))
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


def sample_scores(
    values: np.ndarray,
    samples: np.ndarray,
    *,
    larger_is_better: bool,
    alpha: float,
    missing_counts_as: float | None = None,
    schemes: Iterable[str] = SCHEMES,
) -> dict[str, np.ndarray]:
    """Return the scores (samples, algorithms) of each scheme in each sample of the cases.

    `values` is (cases, algorithms) with NaN where an answer is missing; `samples` is (samples, n)
    case indices, a case as often as the sample holds it.
    """
    schemes = [scheme for scheme in SCHEMES if scheme in set(schemes)]
    scores = {scheme: np.zeros((len(samples), values.shape[1])) for scheme in schemes}
    filled = fill_missing(
        values, larger_is_better=larger_is_better, missing_counts_as=missing_counts_as
    )
    by_case = case_ranks(values, larger_is_better=larger_is_better)
    step = max(1, BLOCK_CELLS // max(1, samples.shape[1]))
    for start in range(0, len(samples), step):
        block = samples[start : start + step]
        found = _aggregated(filled, by_case, block, schemes)
        if any(scheme.startswith("test_") for scheme in schemes):
            found |= _tested(filled, block, larger_is_better=larger_is_better, alpha=alpha)
        for scheme in schemes:
            scores[scheme][start : start + step] = found[scheme]
    return scores


def sample_ranks(scores: np.ndarray, *, smaller_first: bool) -> np.ndarray:
    """Return the ranks of each row of `scores` (samples, algorithms); ties share the smallest.

    Scores that differ by less than about 1e-12 of the largest are ties: the order in which a mean
    was summed must never decide a place.
    """
    scale = np.abs(scores).max(initial=0.0) or 1.0
    settled = np.round(scores / scale, 12)
    return rankdata(settled if smaller_first else -settled, method="min", axis=1).astype(int)


def smaller_first(scheme: str, larger_is_better: bool) -> bool:
    """Say whether the smaller score of a scheme is the better one."""
    if scheme.startswith("rank_then_"):
        return True
    return not larger_is_better and not scheme.startswith("test_")


def fill_missing(
    values: np.ndarray, *, larger_is_better: bool, missing_counts_as: float | None = None
) -> np.ndarray:
    """Return `values` with every missing answer counted as the worst: 0, or 1 (or as given)."""
    if missing_counts_as is None:
        missing_counts_as = 0.0 if larger_is_better else 1.0
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
        rank = sample_ranks(score[None], smaller_first=True)[0]
        parts.append(
            pd.DataFrame(
                {"scheme": str(scheme), "algorithm": wide.index, "score": score, "rank": rank}
            )
        )
    columns = ["scheme", "algorithm", "score", "rank"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _aggregated(
    filled: np.ndarray, by_case: np.ndarray, block: np.ndarray, schemes: list[str]
) -> dict[str, np.ndarray]:
    sources: dict[str, tuple[np.ndarray, Callable[..., np.ndarray]]] = {
        "mean_then_rank": (filled, np.mean),
        "median_then_rank": (filled, np.median),
        "rank_then_mean": (by_case, np.mean),
        "rank_then_median": (by_case, np.median),
    }
    found = {}
    for scheme, (source, reduce) in sources.items():
        if scheme in schemes:
            columns = [reduce(column[block], axis=1) for column in source.T]
            found[scheme] = np.stack(columns, axis=1)
    return found


def _tested(
    filled: np.ndarray, block: np.ndarray, *, larger_is_better: bool, alpha: float
) -> dict[str, np.ndarray]:
    # The score is the share of the other algorithms that this one is significantly better than.
    weights = sample_weights(block, len(filled))
    p = better_p(filled, weights, larger_is_better=larger_is_better)
    others = max(1, filled.shape[1] - 1)
    return {
        "test_then_rank": (p < alpha).sum(axis=2) / others,
        "test_then_rank_holm": (holm(p) < alpha).sum(axis=2) / others,
    }


def sample_weights(samples: np.ndarray, cases: int) -> np.ndarray:
    """Return how often each sample holds each case, (cases, samples)."""
    shifted = samples + cases * np.arange(len(samples))[:, None]
    counts = np.bincount(shifted.ravel(), minlength=cases * len(samples))
    return np.ascontiguousarray(counts.reshape(len(samples), cases).T, dtype=float)
