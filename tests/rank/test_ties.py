import numpy as np
import pytest
from scipy.stats import rankdata

from segarena.rank import ties


def test_settled_takes_the_smallest_of_each_group():
    """Values that differ in the last bits become the smallest of them; others, and NaN, stay."""
    values = np.array([[0.1 + 0.2, 0.3], [np.nan, 0.3 + 1e-11]])
    expected = np.array([[0.3, 0.3], [np.nan, 0.3 + 1e-11]])
    np.testing.assert_array_equal(ties.settled(values), expected)


def test_settled_holds_each_pair_against_its_own_size():
    """Beside 1e18 the values 3 and 4 stay apart, and 1e18 and its neighbour do not."""
    near = np.nextafter(1e18, 2e18)
    assert ties.settled(np.array([3.0, 4.0, near, 1e18])).tolist() == [3, 4, 1e18, 1e18]


@pytest.mark.parametrize(("largest", "equal"), [(0.9, True), (1e18, True), (1e-10, False)])
def test_near_zero_the_largest_value_counts(largest, equal):
    """1e-16 is 0 beside values of ordinary size, and is not where all values are tiny."""
    found = ties.settled(np.array([0.0, 1e-16, largest]))
    assert (found[0] == found[1]) == equal


def test_tiny_values_stay_apart():
    """Likelihoods of 1e-50 and 2e-50 are no noise."""
    assert ties.settled(np.array([1e-50, 2e-50])).tolist() == [1e-50, 2e-50]


def test_settled_of_nothing():
    """An empty table and one without any value come back as they are."""
    assert ties.settled(np.zeros((0, 3))).shape == (0, 3)
    assert np.isnan(ties.settled(np.full((2, 2), np.nan))).all()


def test_differences_of_the_same_size_are_equal():
    """0.3 - 0.2 and 0.2 - 0.1 are both a tenth, though floats say 0.09999999999999998 and 0.1."""
    found = ties.differences(np.array([0.3, 0.1, 0.5]), np.array([0.2, 0.2, 0.5]))
    assert found[0] == -found[1] != 0
    assert found[2] == 0


@pytest.mark.parametrize("seed", range(5))
def test_ranks_equal_scipys(seed):
    """Of numbers that are equal or well apart the ranks are those of scipy's rankdata."""
    scores = np.random.default_rng(seed).integers(0, 6, (40, 7)) / 7
    expected = rankdata(scores, method="min", axis=1)
    np.testing.assert_array_equal(ties.ranks(scores), expected)


def test_ranks_put_the_last_behind_all_others():
    """Who is marked as last shares the place after the others, whatever its score."""
    last = np.array([[True, False, False, True]])
    assert ties.ranks(np.array([[0.0, 2, 1, 5]]), last=last).tolist() == [[3, 2, 1, 3]]
    assert ties.ranks(np.array([[0.0, 2]]), last=np.ones((1, 2), bool)).tolist() == [[1, 1]]


def test_ranks_of_one_and_of_none():
    """One column is first in every row, and no rows have no ranks."""
    assert ties.ranks(np.array([[3.0], [1.0]])).tolist() == [[1], [1]]
    assert ties.ranks(np.zeros((0, 4))).shape == (0, 4)
