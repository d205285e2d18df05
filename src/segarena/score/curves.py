"""What a series of interactions means: how good, how soon.

The metric never steers the interactions; these numbers are derived from the finished series.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Reached:
    """How many interactions a series took to reach a value; all of them if it never did."""

    interactions: int
    reached: bool


def auc(values: Sequence[float], *, auc_from: int = 1) -> float:
    """Return the area under a series (trapezoids, unit steps) from interaction `auc_from` on.

    values: one per interaction, from interaction 1. n values have an area of at most n - 1; a
    single one has none. It is summed in the order of the interactions, as the reference does.
    """
    pairs = itertools.pairwise(values[auc_from - 1 :])
    return sum((before + after) / 2 for before, after in pairs)


def interactions_to_reach(
    values: Sequence[float], target: float, *, larger_is_better: bool = True
) -> Reached:
    """Return the interactions needed to reach a value (the NoC of clicks, NoC@q)."""
    for interaction, value in enumerate(values, start=1):
        if value >= target if larger_is_better else value <= target:
            return Reached(interaction, True)
    return Reached(len(values), False)


def regret(values: Sequence[float], *, larger_is_better: bool = True) -> float:
    """Return the largest drop of a series below the best value that it had before; 0 at least.

    A series that never gets worse has no regret; one that ends at its best may have had some.
    """
    best_so_far, drop = math.nan, 0.0
    for value in values:
        signed = value if larger_is_better else -value
        if best_so_far > signed:
            drop = max(drop, best_so_far - signed)
        if math.isnan(best_so_far) or signed > best_so_far:
            best_so_far = signed
    return drop


def harmful(values: Sequence[float], *, larger_is_better: bool = True) -> float:
    """Return the share of the interactions after the first that made a series worse; 0 of none."""
    pairs = list(itertools.pairwise(values))
    worse = sum(after < before if larger_is_better else after > before for before, after in pairs)
    return worse / len(pairs) if pairs else 0.0
