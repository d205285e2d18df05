"""Tests of the rule `largest_error` on figures drawn by hand, and against the plain version."""

import sys
from pathlib import Path

import numpy as np
import pytest

from segarena.prompt import clicks
from segarena.prompt.clicks import largest_error

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def click(truth, answer):
    (found,) = largest_error(truth, answer, seed=42)
    return found


def test_no_error_means_no_click():
    """A label without an error is passed over, in its place."""
    truth = np.array([[[1, 1, 2, 2, 0]]], np.uint8)
    answer = np.array([[[1, 1, 2, 0, 0]]], np.uint8)
    assert largest_error(truth, answer, seed=42) == [None, (0, 0, 3, "fg")]


def test_a_single_missing_voxel_is_clicked():
    """One voxel of error is its own centre."""
    truth = np.zeros((3, 3, 3), np.uint8)
    truth[2, 0, 1] = 1
    assert click(truth, np.zeros_like(truth)) == (2, 0, 1, "fg")


def test_the_centre_of_an_excess_is_a_background_click():
    """A 5 x 5 x 5 cube in excess is clicked in its middle."""
    truth, answer = np.zeros((2, 9, 9, 30), np.uint8)
    truth[4, 4, 25:28] = 1
    answer[4, 4, 25:28] = 1
    answer[2:7, 2:7, 3:8] = 1
    assert click(truth, answer) == (4, 4, 5, "bg")


def test_an_error_at_the_border_ends_there():
    """Outside the image is no error, so a figure in the corner has its centre where it would be."""
    truth = np.zeros((9, 9, 9), np.uint8)
    truth[:3, :3, :3] = 1
    assert click(truth, np.zeros_like(truth)) == (1, 1, 1, "fg")


def test_of_two_equal_errors_the_first_is_clicked():
    """Errors of the same size are taken in the order of their first voxel."""
    truth = np.zeros((3, 3, 20), np.uint8)
    truth[:, :, 10:13] = truth[:, :, 2:5] = 1
    assert click(truth, np.zeros_like(truth)) == (1, 1, 3, "fg")


def test_errors_that_share_a_corner_are_one():
    """Two pairs joined across a corner outweigh a run of three."""
    truth = np.zeros((4, 4, 12), np.uint8)
    truth[0, 0, 0:2] = truth[1, 1, 2:4] = 1
    truth[3, 3, 8:11] = 1
    found = click(truth, np.zeros_like(truth))
    assert found[:3] in {(0, 0, 0), (0, 0, 1), (1, 1, 2), (1, 1, 3)}


def test_the_largest_error_counts_voxels_not_depth():
    """A long thin error is larger than a deep small one."""
    truth = np.zeros((5, 5, 40), np.uint8)
    truth[1:4, 1:4, 1:4] = 1
    truth[2, 2, 8:40] = 1
    assert click(truth, np.zeros_like(truth))[2] >= 8


def test_a_truth_without_background_keeps_its_lowest_label():
    """The lowest label is not taken for background where there is none."""
    truth = np.array([[[1, 2, 2]]], np.uint8)
    answer = np.array([[[2, 2, 2]]], np.uint8)
    assert largest_error(truth, answer, seed=42) == [(0, 0, 0, "fg"), (0, 0, 0, "bg")]


def test_labels_beyond_255_are_not_cut():
    """Label 257 answered as 1 is missing, and label 1 is in excess there."""
    truth = np.array([[[1, 0, 257]]], np.uint16)
    answer = np.array([[[1, 0, 1]]], np.uint8)
    assert largest_error(truth, answer, seed=42) == [(0, 0, 2, "bg"), (0, 0, 2, "fg")]


def test_a_truth_without_labels_has_no_clicks():
    """Nothing to find means nothing to say."""
    empty = np.zeros((2, 2, 2), np.uint8)
    assert largest_error(empty, empty + 1, seed=42) == []


def test_clicks_are_plain_numbers():
    """Clicks go into JSON and into pickles that every numpy reads."""
    truth = np.ones((2, 2, 2), np.uint8)
    assert [type(value) for value in click(truth, truth * 0)] == [int, int, int, str]


def test_the_draw_depends_on_the_seed_alone():
    """Among equal voxels the seed decides, and every call draws anew."""
    truth = np.ones((1, 1, 200), np.uint8)
    answer = np.zeros_like(truth)
    assert click(truth, answer) == click(truth, answer)
    places = {largest_error(truth, answer, seed=seed)[0][2] for seed in range(8)}
    assert len(places) > 1


@pytest.fixture
def fuzz(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import fuzz

    yield fuzz
    for name in ("fuzz", "reference"):
        sys.modules.pop(name, None)


def test_random_pairs_equal_the_plain_version(fuzz):
    """Clicks and DSC equal, NSD within 1e-12, on 150 random pairs (10,000 in benchmarks/)."""
    found = {seed: fuzz.differences(fuzz.random_pair(seed)) for seed in range(150)}
    assert {seed: differences for seed, differences in found.items() if differences} == {}


@pytest.mark.parametrize("shape", [(2, 2, 2), (1, 2, 2), (7, 7, 7), (8, 9, 3), (3, 16, 31)])
def test_the_halved_branch_on_solid_figures(fuzz, monkeypatch, shape):
    """Thin boxes lose their rim of zeros when halved, some all of it; clicks stay the same."""
    import reference

    monkeypatch.setattr(clicks, "LARGEST_VOLUME", 1)
    truth = np.zeros(np.array(shape) + 4, np.uint8)
    truth[tuple(slice(1, n + 1) for n in shape)] = 1
    empty = np.zeros_like(truth)
    assert click(truth, empty) == reference.click(truth == 1, empty == 1, largest_volume=1)


def lesion_click(truth, answer):
    """Return the click of rule `lesions` on maps of one slice, from lines of digits."""
    truth, answer = (
        np.array([[[int(sign) for sign in line] for line in lines.split()]], np.uint8)
        for lines in (truth, answer)
    )
    labels = [1]
    seen = clicks.lesion_by_lesion(truth, answer, labels)
    (found,) = largest_error(truth, seen, seed=42, labels=labels)
    return found


def test_missed_lesions_come_first_the_largest_of_them_before_the_others():
    """A large lesion that is found in part waits until the small missed ones are found."""
    truth = "1111111110010011"
    assert lesion_click(truth, "1000000000000000") in {(0, 0, 14, "fg"), (0, 0, 15, "fg")}
    assert lesion_click(truth, "1000000000000010") == (0, 0, 11, "fg")


def test_false_lesions_come_second():
    """Once every lesion is touched, what is false as a whole is clicked as background."""
    assert lesion_click("1110000001000", "1000001000000") == (0, 0, 9, "fg")
    assert lesion_click("1110000001000", "1000001001000") == (0, 0, 6, "bg")


def test_then_the_largest_error_is_clicked():
    """With every lesion touched and none false it is the rule largest_error."""
    assert lesion_click("1111100000100", "1000000000100") in {(0, 0, 2, "fg"), (0, 0, 3, "fg")}
    assert lesion_click("1110", "1110") is None


def test_lesions_of_one_label_hide_no_error_of_another():
    """Each label has its own lesions; a lesion taken for another label is missed and false."""
    truth = np.array([[[1, 1, 0, 2, 2, 0, 2, 2, 2]]], np.uint8)
    answer = np.array([[[1, 0, 0, 1, 1, 0, 2, 0, 0]]], np.uint8)
    seen = clicks.lesion_by_lesion(truth, answer, [1, 2])
    one, two = largest_error(truth, seen, seed=42, labels=[1, 2])
    assert two in {(0, 0, 3, "fg"), (0, 0, 4, "fg")}
    assert one is None or one[3] == "bg"
