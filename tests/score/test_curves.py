"""Tests of what a series of interactions means."""

import math

import pytest

from segarena.score.curves import Reached, auc, interactions_to_reach


def test_auc_of_a_constant_series_is_its_length():
    """Five interactions of value 1 have an area of 4: unit steps between them."""
    assert auc([1.0] * 5) == 4


def test_auc_leaves_out_the_interactions_before_auc_from():
    """The box at interaction 1 is not in an area that begins at interaction 2."""
    assert auc([0.9, 0.0, 0.5, 1.0], auc_from=2) == pytest.approx(0.25 + 0.75)


def test_auc_of_one_interaction_is_zero():
    """A single interaction has no area."""
    assert auc([0.7]) == 0


def test_interactions_to_reach_counts_from_one():
    """The first interaction at or above the target is counted, also where it falls again."""
    assert interactions_to_reach([0.5, 0.8, 0.7], 0.8) == Reached(2, True)


def test_interactions_to_reach_of_a_distance():
    """Where smaller is better the target is reached from above."""
    assert interactions_to_reach([9.0, 2.0], 2.5, larger_is_better=False) == Reached(2, True)


def test_never_reached_counts_all_interactions_and_says_so():
    """A series that never reaches the target counts all its interactions."""
    assert interactions_to_reach([0.1, math.nan, 0.3], 0.8) == Reached(3, False)
