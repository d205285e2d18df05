"""Is one submission better than another on the same cases, and by how much?

A p-value alone says little with many cases, so each pair also gets effect sizes. The
critical-difference diagram shows the Nemenyi test.
"""

import itertools
import math

import numpy as np
import pandas as pd
from scipy.special import ndtr
from scipy.stats import rankdata

from segarena.rank.aggregate import Task, fill_missing, tasks
from segarena.rank.signed_rank import better_p, holm
from segarena.rank.ties import differences

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
    "share_tied",
    "rank_biserial",
    "p_nemenyi",
]


def pairwise(
    table: pd.DataFrame,
    *,
    larger_is_better: bool,
    alpha: float = 0.05,
    missing_counts_as: float | None = None,
) -> pd.DataFrame:
    """Return a row per task and ordered pair: is `algorithm` better than `other`, and by how much?

    `table` has the columns task, algorithm, case, value. `p` is that of the one-sided paired
    signed-rank test, `p_holm` adjusted over all ordered pairs of the task, and `significant` is
    p_holm < alpha. Advantages are positive where `algorithm` is better, whatever the metric's
    direction. `p_nemenyi` is that of the two-sided Nemenyi test after Friedman. A missing value
    counts as the worst, as in test_then_rank.
    """
    parts = []
    for task in tasks(table):
        values = fill_missing(
            task.values, larger_is_better=larger_is_better, missing_counts_as=missing_counts_as
        )
        signed = values if larger_is_better else -values
        parts += _pairs(task, signed, alpha)
    return pd.DataFrame(parts, columns=PAIRWISE_COLUMNS)


def mean_ranks(table: pd.DataFrame, *, larger_is_better: bool) -> pd.DataFrame:
    """Return the mean rank over the cases of each task: task, algorithm, mean_rank.

    Ties share their average rank and missing answers are last: Friedman's ranks, which the Nemenyi
    test compares.
    """
    parts = []
    for task in tasks(table):
        signed = -task.values if larger_is_better else task.values
        ranks = rankdata(np.where(np.isnan(signed), np.inf, signed), axis=1)
        parts.append(
            pd.DataFrame(
                {"task": task.name, "algorithm": task.algorithms, "mean_rank": ranks.mean(axis=0)}
            )
        )
    columns = ["task", "algorithm", "mean_rank"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def effect_sizes(differences: np.ndarray) -> dict[str, float]:
    """Return how much better the first of two algorithms is, from its advantage on each case.

    `rank_biserial`: the matched-pairs rank-biserial correlation (Kerby 2014), the share of the rank
    sum for the first less the share against it, from -1 to 1 and 0 without a difference.
    It leaves ties out, so it is 1 where a single case differs: read it with `share_tied`, the share
    of the cases on which both are equal. `share_better`: the share of cases on which the first is
    better, a tie counting half.
    """
    left = differences[differences != 0]
    sizes = np.sort(np.abs(left))
    ranks = sum(np.searchsorted(sizes, np.abs(left), side) for side in ("left", "right")) + 1.0
    total = ranks.sum()
    return {
        "mean_advantage": float(differences.mean()),
        "median_advantage": float(np.median(differences)),
        "share_better": float(np.mean(differences > 0) + np.mean(differences == 0) / 2),
        "share_tied": float(np.mean(differences == 0)),
        "rank_biserial": float((ranks * np.sign(left)).sum() / total) if total else 0.0,
    }


def _other_way(sizes: dict[str, float]) -> dict[str, float]:
    """Return the effect sizes of the second algorithm over the first."""
    turned = {name: 0.0 - value for name, value in sizes.items()}
    return turned | {
        "share_better": 1 - sizes["share_better"],
        "share_tied": sizes["share_tied"],
    }


def nemenyi_p(signed: np.ndarray) -> np.ndarray:
    """Return the Nemenyi p-values (algorithms, algorithms) of values (cases, algorithms).

    1 everywhere for a single algorithm, which has nobody to differ from. After Demsar, Statistical
    comparisons of classifiers over multiple data sets, JMLR 7, 2006, section 3.2.2.
    """
    n, k = signed.shape
    if k < 2:
        return np.ones((k, k))
    mean_ranks = rankdata(signed, axis=1).mean(axis=0)
    distance = np.abs(mean_ranks[:, None] - mean_ranks) / math.sqrt(k * (k + 1) / (6 * n))
    p = _range_sf(distance * math.sqrt(2), k)
    np.fill_diagonal(p, 1)
    return p


def _range_sf(distances: np.ndarray, k: int) -> np.ndarray:
    """Return how likely the range of k standard normals is above each distance.

    scipy's studentized_range.sf without degrees of freedom, for all at once: the trapezoid rule
    is exact to rounding for a smooth function that fades on both sides.
    """
    step = 0.05
    least = np.arange(-9.0, 9.0, step)  # the smallest of the k, the others in [least, least + d]
    between = ndtr(least + distances[..., None]) - ndtr(least)
    density = np.exp(-(least**2) / 2) / math.sqrt(2 * math.pi)
    return np.clip(1 - k * (density * between ** (k - 1)).sum(axis=-1) * step, 0, 1)


def _pairs(task: Task, signed: np.ndarray, alpha: float) -> list[dict[str, object]]:
    p = better_p(signed, np.ones((len(signed), 1)), larger_is_better=True)
    adjusted, nemenyi = holm(p)[0], nemenyi_p(signed)
    sizes = {}
    for a, b in itertools.combinations(range(len(task.algorithms)), 2):
        sizes[a, b] = effect_sizes(differences(signed[:, a], signed[:, b]))
        sizes[b, a] = _other_way(sizes[a, b])
    return [
        {
            "task": task.name,
            "algorithm": task.algorithms[a],
            "other": task.algorithms[b],
            "cases": len(signed),
            "p": p[0, a, b],
            "p_holm": adjusted[a, b],
            "significant": bool(adjusted[a, b] < alpha),
            **sizes[a, b],
            "p_nemenyi": nemenyi[a, b],
        }
        for a, b in itertools.permutations(range(len(task.algorithms)), 2)
    ]
