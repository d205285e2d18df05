"""Tests of what a series of interactions means."""

import math

import pytest

from segarena.score.curves import Reached, auc, harmful, interactions_to_reach, regret


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


def test_regret_is_the_largest_drop_below_the_best_so_far():
    """The best may come before and after; a drop to 0.4 from 0.7 counts, not that from 0.5."""
    assert regret([0.5, 0.7, 0.6, 0.4, 0.9, 0.8]) == pytest.approx(0.3)
    assert regret([0.1, 0.2, 0.2]) == 0
    assert regret([0.3]) == 0


def test_regret_of_distances_is_a_rise():
    """Where smaller is better the series gets worse as it rises; from infinity it only improves."""
    assert regret([math.inf, 4, 9, 2], larger_is_better=False) == 5


def test_missing_values_have_no_regret():
    """A value that is not known is neither the best nor a drop."""
    assert regret([math.nan, 0.5, math.nan, 0.4]) == pytest.approx(0.1)


def test_harmful_is_the_share_of_interactions_that_made_it_worse():
    """Two of four steps go down; a step that changes nothing does no harm."""
    assert harmful([0.5, 0.4, 0.4, 0.3, 0.9]) == 0.5
    assert harmful([3, 5, 4], larger_is_better=False) == 0.5
    assert harmful([0.5]) == 0
