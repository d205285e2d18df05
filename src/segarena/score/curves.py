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

    values: one a interaction, from interaction 1. n values have an area of at most n - 1; a single
    one has none. It is summed in the order of the interactions, as the reference does.
    """
    pairs = itertools.pairwise(values[auc_from - 1 :])
    return sum((before + after) / 2 for before, after in pairs)


def final(values: Sequence[float]) -> float:
    """Return the value after the last interaction."""
    return values[-1]


def best(values: Sequence[float], *, larger_is_better: bool = True) -> float:
    """Return the best value of a series; nan only where all are."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return math.nan
    return max(known) if larger_is_better else min(known)


def interactions_to_reach(
    values: Sequence[float], target: float, *, larger_is_better: bool = True
) -> Reached:
    """Return the interactions needed to reach a value (the NoC of clicks, NoC@q)."""
    for interaction, value in enumerate(values, start=1):
        if value >= target if larger_is_better else value <= target:
            return Reached(interaction, True)
    return Reached(len(values), False)
