"""Is one submission better than another on the same cases? Paired tests and effect sizes.

The signed-rank test is written here, though scipy has one, because a bootstrap needs it for every
pair of submissions in every sample: the sorting is done once per pair, and a sample is then only a
weight per case. The tests hold it equal to scipy's. Holm's adjustment stands here because it is
needed for every sample at once as well.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtr

PAIRWISE_COLUMNS = [
    "task",
    "algorithm",
    "other",
    "cases",
    "p",
    "p_holm",
    "significant",
    "mean_advantage",
    "median_advantage",
    "share_better",
    "rank_biserial",
]


def signed_rank_p(differences: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the one-sided signed-rank p-values of every sample: above zero, and below zero.

    `differences` is (cases,), `weights` (cases, samples): how often a sample holds each case.
    Normal approximation with continuity and tie correction, zeros dropped (Wilcoxon 1945): R's
    wilcox.test(exact = FALSE) and scipy's wilcoxon(method="asymptotic", correction=True). Where no
    difference is left there is no evidence, and both are 1.
    """
    nonzero = np.flatnonzero(differences)
    order = nonzero[np.argsort(np.abs(differences[nonzero]), kind="stable")]
    if order.size == 0:
        return np.ones(weights.shape[1]), np.ones(weights.shape[1])
    size = np.abs(differences[order])
    starts = np.flatnonzero(np.r_[True, size[1:] != size[:-1]])
    held = weights[order]
    positive = held * (differences[order] > 0)[:, None]
    if starts.size < size.size:
        held = np.add.reduceat(held, starts, axis=0)
        positive = np.add.reduceat(positive, starts, axis=0)
    n = held.sum(axis=0)
    mean_rank = np.cumsum(held, axis=0)
    mean_rank -= (held - 1) / 2
    rank_sum = np.einsum("ij,ij->j", positive, mean_rank)
    ties = np.einsum("ij,ij,ij->j", held, held, held) - n
    middle = n * (n + 1) * 0.25
    spread = np.sqrt((n * (n + 1) * (2 * n + 1) - ties / 2) / 24)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (rank_sum - middle) / spread
        above, below = ndtr(-(z - 0.5 / spread)), ndtr(z + 0.5 / spread)
    return np.where(n > 0, above, 1.0), np.where(n > 0, below, 1.0)


def better_p(values: np.ndarray, weights: np.ndarray, *, larger_is_better: bool) -> np.ndarray:
    """Return p (samples, algorithms, algorithms): is the row's algorithm better than the column's?

    `values` is (cases, algorithms) without gaps, `weights` (cases, samples). The diagonal is 1.
    """
    signed = values if larger_is_better else -values
    count = values.shape[1]
    p = np.ones((weights.shape[1], count, count))
    for a, b in itertools.combinations(range(count), 2):
        p[:, a, b], p[:, b, a] = signed_rank_p(signed[:, a] - signed[:, b], weights)
    return p


def holm(p: np.ndarray) -> np.ndarray:
    """Return Holm's adjusted p-values of every sample's ordered pairs (Holm 1979).

    `p` is (samples, algorithms, algorithms); the diagonal is no test and stays 1.
    """
    samples, count, _ = p.shape
    pairs = ~np.eye(count, dtype=bool)
    tests = p[:, pairs]
    order = np.argsort(tests, axis=1)
    steps = np.take_along_axis(tests, order, axis=1) * np.arange(tests.shape[1], 0, -1)
    adjusted = np.empty_like(tests)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(steps, axis=1), axis=1)
    full = np.ones((samples, count, count))
    full[:, pairs] = np.minimum(adjusted, 1)
    return full


def effect_sizes(differences: np.ndarray) -> dict[str, float]:
    """Return how much better the first of two algorithms is, from its advantage on each case.

    `rank_biserial`: the matched-pairs rank-biserial correlation (Kerby 2014), the share of the rank
    sum for the first less the share against it, from -1 to 1 and 0 without a difference.
    `share_better`: the share of cases on which it is better, a tie counting half.
    """
    from scipy.stats import rankdata

    left = differences[differences != 0]
    ranks = rankdata(np.abs(left))
    total = ranks.sum()
    return {
        "mean_advantage": float(differences.mean()),
        "median_advantage": float(np.median(differences)),
        "share_better": float(np.mean(differences > 0) + np.mean(differences == 0) / 2),
        "rank_biserial": float((ranks * np.sign(left)).sum() / total) if total else 0.0,
    }


def pairwise_table(
    task: str,
    algorithms: Sequence[str],
    values: np.ndarray,
    *,
    larger_is_better: bool,
    alpha: float,
) -> pd.DataFrame:
    """Return a row per ordered pair: is `algorithm` better than `other`, and by how much?

    `values` is (cases, algorithms) without gaps. Advantages are positive where `algorithm` is
    better, whatever the metric's direction. `significant` is p_holm < alpha.
    """
    p = better_p(values, np.ones((len(values), 1)), larger_is_better=larger_is_better)
    adjusted = holm(p)
    signed = values if larger_is_better else -values
    rows = [
        {
            "task": task,
            "algorithm": algorithms[a],
            "other": algorithms[b],
            "cases": len(values),
            "p": p[0, a, b],
            "p_holm": adjusted[0, a, b],
            "significant": bool(adjusted[0, a, b] < alpha),
            **effect_sizes(signed[:, a] - signed[:, b]),
        }
        for a, b in itertools.permutations(range(len(algorithms)), 2)
    ]
    return pd.DataFrame(rows, columns=PAIRWISE_COLUMNS)
