"""Tests of the consensus of several raters, against SimpleITK's and by hand."""

from pathlib import Path

import numpy as np
import pytest

from segarena.prepare.raters import majority, staple

ORACLES = Path(__file__).parents[1] / "data" / "metrics" / "raters.npz"


@pytest.mark.parametrize("case", ["bubil_D1_B01", "bubil_D1_B22", "prob4"])
def test_consensus_of_real_raters_is_that_of_simpleitk(case):
    """STAPLE (one label) and MultiLabelSTAPLE of SimpleITK 2.5.7 give the same maps."""
    with np.load(ORACLES) as known:
        maps, by_majority, by_staple = (
            known[f"{case}_{name}"] for name in ("raters", "majority", "staple")
        )
    assert np.array_equal(majority(list(maps)), by_majority)
    assert np.array_equal(staple(list(maps)), by_staple)


def test_a_tie_is_background():
    """Of two raters both must agree, of four more than two."""
    one, other = np.array([[[1, 1, 0, 2]]]), np.array([[[1, 0, 0, 1]]])
    assert majority([one, other]).tolist() == [[[1, 0, 0, 0]]]
    assert majority([one, one, other, other]).tolist() == [[[1, 0, 0, 0]]]
    assert majority([one, one, other]).tolist() == [[[1, 1, 0, 2]]]


def test_a_rater_alone_is_the_consensus():
    """With one rater both ways give that map."""
    one = np.zeros((3, 8, 9), np.uint16)
    one[1, 2:5, 3:7], one[2, 6, 6] = 300, 2
    assert np.array_equal(majority([one]), one)
    assert np.array_equal(staple([one]), one)


def test_nothing_marked_is_background():
    """Raters that mark nothing agree on background."""
    nothing = np.zeros((2, 3, 4), np.uint8)
    assert not staple([nothing, nothing]).any()
    assert not majority([nothing, nothing]).any()


def test_staple_believes_who_agrees():
    """Two raters that agree outvote a third that marks at random, and neither changes the shape."""
    truth = np.zeros((1, 40, 40), np.uint8)
    truth[0, 10:30, 10:30] = 1
    noise = (np.random.default_rng(0).random(truth.shape) < 0.5).astype(np.uint8)
    assert np.array_equal(staple([truth, noise, truth]), truth)
