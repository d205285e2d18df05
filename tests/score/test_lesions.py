"""Tests of the metrics of instances, on drawn masks and by trying all matchings."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from segarena.errors import ConfigError
from segarena.score.metrics import check, score

ORACLES = Path(__file__).parents[1] / "data" / "metrics"
ANY = {"match": "overlap", "assign": "any"}


def drawn(*lines):
    """Return a slice from lines of text; a digit is a label, anything else is background."""
    ids = [[int(sign) if sign.isdecimal() else 0 for sign in line] for line in lines]
    return np.array([ids], np.uint8)


def value(truth, answer, name, spacing_mm=(1, 1, 1), labels=(1,), **parameters):
    (found, *_) = score(truth, answer, spacing_mm, [{"name": name, **parameters}], labels=labels)
    return found.value


def values(truth, answer, names, **parameters):
    return [value(truth, answer, name, **parameters) for name in names.split()]


TRUTH = drawn("11..11....", "11..11....")
ONE_RIGHT_ONE_FALSE = drawn("11......11", "11......11")


def test_one_found_one_missed_one_false():
    """F1, precision and recall are a half, what was found is perfect, so PQ is a half."""
    names = "F1 RQ LesionPrecision LesionRecall PQ SQ DSC_TP LesionFP LesionFN"
    expected = [0.5, 0.5, 0.5, 0.5, 0.5, 1, 1, 1, 1]
    assert values(TRUTH, ONE_RIGHT_ONE_FALSE, names) == expected


def test_the_threshold_itself_counts_unless_strict():
    """An IoU of exactly a half is a match with `at_least: 0.5`, not with `strict`."""
    truth, answer = drawn("1111"), drawn("11..")
    assert value(truth, answer, "F1") == 1
    assert value(truth, answer, "F1", strict=True) == 0
    assert value(truth, answer, "F1", at_least=0.51) == 0


def test_an_answer_in_two_parts():
    """One part matches and the other is false, or both are merged: 4 and 4 of 10 voxels."""
    truth, answer = drawn("1111111111"), drawn("1111..1111")
    names = "F1 LesionFP DSC_TP SQ"
    assert values(truth, answer, names, at_least=0.3) == [2 / 3, 1, 8 / 14, 4 / 10]
    for assign in ("many_to_one", "any"):
        found = values(truth, answer, names, at_least=0.3, assign=assign)
        assert found == [1, 0, 16 / 18, 8 / 10]


def test_an_answer_over_two_lesions():
    """One answer finds both with `any`, and one of them where it may be matched but once."""
    truth, answer = drawn("11...11"), drawn("1111111")
    names = "LesionRecall LesionPrecision F1"
    assert values(truth, answer, names, **ANY) == [1, 1, 1]
    assert values(truth, answer, names, match="overlap") == pytest.approx([1 / 2, 1, 2 / 3])


def test_the_matching_is_the_largest_not_the_greedy_one():
    """The pair of the largest IoU is given up where that makes two pairs of one."""
    truth = drawn("11111111112222")
    answer = drawn("33334444444400")
    assert value(truth, answer, "F1", instances="labels", at_least=0.15) == 1
    assert value(truth, answer, "LesionFN", instances="labels", at_least=0.45) == 1


def best_matching(truth, answer, at_least):
    """Return pairs and sum of IoU of the best one-to-one matching, by trying all."""
    one, other = np.unique(truth[truth > 0]), np.unique(answer[answer > 0])
    iou = np.zeros((len(one), len(other)))
    for row, column in np.ndindex(iou.shape):
        t, a = truth == one[row], answer == other[column]
        iou[row, column] = np.count_nonzero(t & a) / np.count_nonzero(t | a)
    if iou.shape[0] > iou.shape[1]:
        iou = iou.T
    tried = []
    for chosen in itertools.permutations(range(iou.shape[1]), iou.shape[0]):
        matched = iou[range(iou.shape[0]), chosen]
        tried.append((int((matched >= at_least).sum()), matched[matched >= at_least].sum()))
    return max(tried)


@pytest.mark.parametrize("at_least", [0.05, 0.2, 0.5])
def test_matchings_equal_the_best_of_all(at_least):
    """On random maps F1 and SQ are those of the most pairs, and among these of the largest IoU."""
    random = np.random.default_rng(3)
    for _ in range(20):
        one, other = random.integers(1, 5, (2, 2, 4, 4)).astype(np.uint8)
        truth, answer = (np.kron(m, np.ones((1, 2, 2), np.uint8)) for m in (one, other))
        number, total = best_matching(truth, answer, at_least)
        sizes = len(np.unique(truth)) + len(np.unique(answer))
        given = {"instances": "labels", "at_least": at_least}
        assert value(truth, answer, "F1", **given) == pytest.approx(2 * number / sizes)
        mean = total / number if number else 0
        assert value(truth, answer, "SQ", **given) == pytest.approx(mean)


def test_an_answer_of_noise_is_matched_without_a_table_of_all_pairs():
    """Every second voxel is an instance: as many pairs as lesions, and all the rest is false."""
    truth, answer = np.zeros((2, 200, 10, 200), np.uint8)
    truth[::4] = 1
    answer[::2, ::2, ::2] = 1
    found = values(truth, answer, "LesionFN LesionFP", match="overlap")
    assert found == [0, 100 * 5 * 100 - 50]


def test_ids_need_not_agree_and_the_case_has_one_value():
    """With `instances: labels` the ids of the answer are its own, and each label has the value."""
    truth, answer = drawn("11.22.33"), drawn("77.99...")
    scores = score(truth, answer, (1, 1, 1), [{"name": "F1", "instances": "labels"}])
    assert [(s.label, s.value) for s in scores] == [(1, 0.8), (2, 0.8), (3, 0.8)]


def test_volumes_of_false_and_missed_components():
    """A component counts as a whole or not at all, and connectivity decides what one is."""
    truth, answer = np.zeros((2, 3, 3, 9), np.uint8)
    truth[0, 0, 0] = truth[2, 2, 5:8] = 1
    answer[0, 0, 0] = answer[1, 1, 1] = answer[0, 2, 8] = 1
    spacing_mm = (5, 10, 2)
    given = {"spacing_mm": spacing_mm}
    assert value(truth, answer, "FPVolume", connectivity=26, **given) == pytest.approx(0.1)
    assert value(truth, answer, "FPVolume", connectivity=18, **given) == pytest.approx(0.2)
    assert value(truth, answer, "FNVolume", connectivity=18, **given) == pytest.approx(0.3)


def test_lesions_whose_dilations_touch_are_one():
    """Two voxels with three between them are two lesions at dilation 1, one at dilation 2."""
    truth, answer = drawn("1....1"), drawn("1.....")
    given = {"smallest_mm3": 0}
    assert value(truth, answer, "LesionDSC", dilation=1, **given) == pytest.approx(1 / 2)
    assert value(truth, answer, "LesionDSC", dilation=2, **given) == pytest.approx(2 / 3)
    assert value(truth, answer, "LesionFN", dilation=1, **ANY) == 1
    assert value(truth, answer, "LesionFN", dilation=2, **ANY) == 0


def test_an_answer_beside_a_lesion_belongs_to_it_within_the_dilation():
    """An answer that shares no voxel with a lesion is not false if it touches its dilation."""
    truth, answer = drawn("11....."), drawn("...1...")
    assert value(truth, answer, "LesionFP", dilation=2, **ANY) == 0
    assert value(truth, answer, "LesionFP", dilation=1, **ANY) == 1
    assert value(truth, answer, "LesionDSC", dilation=2) == 0


def test_the_smallest_lesions_do_not_count():
    """A lesion of `smallest_mm3` or less is neither missed nor found, its answer not false."""
    truth, answer = drawn("111...1", "......."), drawn("111...1", ".......")
    assert value(truth, answer, "LesionDSC", smallest_mm3=1) == 1
    half = drawn("111....", ".......")
    assert value(truth, half, "LesionFN", smallest_mm3=1, **ANY) == 0
    assert value(truth, half, "LesionFN", smallest_mm3=0.5, **ANY) == 1
    assert value(truth, drawn("......1", "......."), "LesionFP", smallest_mm3=1, **ANY) == 0


def test_where_all_lesions_are_too_small_the_rule_of_two_empty_sides_counts():
    """Nothing is left to measure: nan, or what the protocol says for two empty sides."""
    truth, answer = drawn("1...."), drawn("....1")
    missed = drawn(".....")
    assert math.isnan(value(truth, missed, "LesionDSC", smallest_mm3=5))
    assert value(truth, missed, "LesionDSC", smallest_mm3=5, empty="brats2023") == 1
    assert value(truth, missed, "LesionHD95", smallest_mm3=5, worst_mm=9, empty="brats2023") == 0
    assert value(truth, answer, "LesionDSC", smallest_mm3=5, empty="brats2023") == 0


def test_missed_and_false_lesions_are_as_far_as_can_be():
    """Lesion-wise HD95 is the mean of 0 for the one found, and the worst for the two others."""
    given = {"worst_mm": 30}
    assert value(TRUTH, ONE_RIGHT_ONE_FALSE, "LesionHD95", **given) == pytest.approx(20)
    moved = drawn(".11.11....", ".11.11....")
    assert value(TRUTH, moved, "LesionHD95", worst_mm=30) == pytest.approx(0.5)
    assert value(TRUTH, moved, "LesionHD95", worst_mm=0.25) == pytest.approx(0.125)


def test_dice_per_region():
    """Each lesion is measured with the answer's voxels nearest to it; ties go to the first."""
    truth = drawn("11.........1", "............")
    answer = drawn("11....1.....", "............")
    # The voxel in the middle is 5 from both, so it is a false one of the first lesion.
    assert value(truth, answer, "CCDSC") == pytest.approx((4 / 5 + 0) / 2)
    nearer = drawn("11.....1...1", "............")
    assert value(truth, nearer, "CCDSC") == pytest.approx((1 + 2 / 3) / 2)


def test_surfaces_of_what_was_found_alone():
    """NSD and MASD of the matched are those of each pair by itself, whatever else is there."""
    truth = drawn("1111......11", "1111......11")
    answer = drawn(".1111.......", ".1111.......")
    alone = drawn("1111........", "1111........")
    nsd = value(alone, answer, "NSD", tolerance_mm=0.5)
    assert 0 < nsd < 1
    given = {"at_least": 0.5}
    assert value(truth, answer, "NSD_TP", tolerance_mm=0.5, **given) == pytest.approx(nsd)
    masd = value(alone, answer, "MASD", points="voxels")
    found = value(truth, answer, "MASD_TP", points="voxels", **given)
    assert found == pytest.approx(masd)
    missed = {"at_least": 0.9, "tolerance_mm": 0.5}
    assert value(truth, answer, "NSD_TP", **missed) == 0
    assert value(truth, answer, "MASD_TP", at_least=0.9) == math.inf


def test_a_lesion_of_one_slice_in_a_volume_is_three_dimensional():
    """A flat lesion in a volume has a surface above and below, as the whole volume's metric has."""
    truth, answer = np.zeros((2, 5, 6, 6), np.uint8)
    truth[2, 1:4, 1:4], answer[2, 1:4, 1:5] = 1, 1
    for name, found in (("NSD", "NSD_TP"), ("MASD", "MASD_TP")):
        given = {"tolerance_mm": 0.4} if name == "NSD" else {}
        assert value(truth, answer, found, **given) == value(truth, answer, name, **given)


COUNTED = "LesionFP LesionFN FPVolume FNVolume"


def test_an_empty_answer():
    """Nothing is found: shares are 0, distances infinite or the worst, all lesions are missed."""
    empty = np.zeros_like(TRUTH)
    names = "F1 LesionPrecision LesionRecall PQ SQ DSC_TP LesionDSC CCDSC"
    assert values(TRUTH, empty, names) == [0] * 8
    assert value(TRUTH, empty, "LesionHD95", worst_mm=30) == 30
    assert value(TRUTH, empty, "MASD_TP") == math.inf
    assert values(TRUTH, empty, COUNTED) == [0, 2, 0, pytest.approx(0.008)]


def test_an_empty_truth():
    """All instances of the answer are false; recall has no meaning."""
    empty = np.zeros_like(TRUTH)
    assert values(empty, TRUTH, "F1 LesionPrecision PQ LesionDSC") == [0, 0, 0, 0]
    assert math.isnan(value(empty, TRUTH, "LesionRecall"))
    assert value(empty, TRUTH, "LesionHD95", worst_mm=30) == 30
    assert values(empty, TRUTH, COUNTED) == [2, 0, pytest.approx(0.008), 0]


def test_both_empty():
    """Shares and distances have no meaning, counts and volumes are 0."""
    empty = np.zeros_like(TRUTH)
    names = "F1 LesionPrecision LesionRecall PQ SQ DSC_TP LesionDSC CCDSC MASD_TP"
    assert all(math.isnan(found) for found in values(empty, empty, names))
    assert values(empty, empty, COUNTED) == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"match": "overlap", "at_least": 0.5}, r"at_least: has no effect with `match: overlap`"),
        (
            {"instances": "labels", "connectivity": 6},
            r"connectivity: has no effect with `instances",
        ),
        ({"dilation": 1.5}, r"dilation: is 1.5; a whole number is expected"),
        ({"dilation": -1}, r"dilation: is -1; a number from 0 is expected"),
        ({"connectivity": 8}, r"connectivity: is 8; one of 26, 18, 6 is expected"),
        ({"at_least": 50}, r"at_least: is 50; at most 1 is expected"),
    ],
)
def test_what_does_not_go_together_is_named(parameters, message):
    """A parameter that has no effect, or cannot be, is rejected with its key."""
    with pytest.raises(ConfigError, match=message):
        check([{"name": "F1", **parameters}])


@pytest.mark.parametrize(
    ("case", "expected"), [("ms", 0.619719386100769), ("ms_aniso", 0.6608269214630127)]
)
def test_surfaces_by_region_are_those_of_cc_metrics(case, expected):
    """CC-Metrics with monai 1.6.1 (single precision), a threshold of one voxel on MS lesions."""
    with np.load(ORACLES / "cases.npz") as cases:
        truth, answer = cases[f"{case}_truth"], cases[f"{case}_answer"]
    found = value(truth, answer, "CCNSD", tolerance_mm=1, points="voxels")
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_component_without_an_answer_in_its_region_counts_zero():
    """One of two lesions is perfect, the other has nothing near it; a false voxel counts once."""
    truth, answer = drawn("11.....11"), drawn("11.......")
    given = {"tolerance_mm": 0.1}
    assert value(truth, answer, "CCNSD", **given) == 1 / 2
    assert value(truth, truth, "CCNSD", **given) == 1
    assert value(truth, drawn("........."), "CCNSD", **given) == 0
