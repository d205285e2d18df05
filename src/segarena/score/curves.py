"""What a series of interactions means: how good, how soon.

The metric never steers the interactions; these numbers are derived from the finished series.
"""

import itertools
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
