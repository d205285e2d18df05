"""Tests of metrics of shared voxels and of shape, on figures counted manually."""

import math

import numpy as np
import pytest

from segarena.score.metrics import METRICS, score

SPACING_MM = (2.0, 1.0, 1.0)
MEASURED = {
    name: metric for name, metric in METRICS.items() if metric.needs in {"labels", "surfaces"}
}


def measured(truth, answer, *metrics, labels=None):
    names = [{"name": m} if isinstance(m, str) else m for m in metrics]
    return [s.value for s in score(truth, answer, SPACING_MM, names, labels=labels)]


def row(*values):
    return np.array([[values]], np.uint8)


def test_shared_voxels_by_hand():
    """Four voxels of truth, three of answer, two shared."""
    found = measured(
        row(1, 1, 1, 1, 0), row(0, 0, 1, 1, 1), "DSC", "IoU", "Precision", "Recall", "RVE"
    )
    assert found == pytest.approx([4 / 7, 2 / 5, 2 / 3, 2 / 4, 1 / 4])


def test_labels_are_matched_by_value():
    """A label that the answer has under another number is missing; others stay apart."""
    assert measured(row(1, 1, 3, 3), row(2, 2, 3, 3), "DSC") == [0, 1]


def test_labels_beyond_255_are_not_cut():
    """Label 257 is not label 1."""
    truth = np.array([[[1, 1, 257, 257]]], np.uint16)
    assert measured(truth, row(1, 1, 1, 1), "DSC") == [pytest.approx(2 * 2 / 6), 0]


def test_a_truth_without_background_keeps_its_lowest_label():
    """The lowest label is not taken for background where there is none."""
    assert measured(row(1, 2), row(1, 1), "DSC") == [pytest.approx(2 / 3), 0]


def test_a_truth_without_labels_gives_no_scores():
    """Nothing to find means nothing to score."""
    assert measured(row(0, 0), row(1, 0), "DSC", "IoU") == []


def test_boundary_iou_of_a_thick_square_leaves_out_its_inside():
    """A 5 x 5 square and its rim: the rims of width 1 are the same, so 1; the DSC is not."""
    truth = np.zeros((1, 7, 7), np.uint8)
    truth[0, 1:6, 1:6] = 1
    answer = truth.copy()
    answer[0, 3, 3] = 0
    rim = {"name": "BoundaryIoU", "width_mm": 1}
    # the hole makes its four neighbours rim as well: 16 shared of 20
    assert measured(truth, truth, rim) == [1]
    assert measured(truth, answer, rim) == [pytest.approx(16 / 20)]


def test_boundary_iou_takes_the_image_edge_for_outside():
    """A mask that fills the image has a rim along its edge."""
    truth = np.ones((1, 5, 5), np.uint8)
    answer = truth.copy()
    answer[0, 0, 0] = 0
    rim = {"name": "BoundaryIoU", "width_mm": 1}
    # 16 of 16 on the edge less the corner; no new rim, for its neighbours are on the edge
    assert measured(truth, answer, rim) == [pytest.approx(15 / 16)]


def test_boundary_iou_with_widths_in_voxels_by_hand():
    """A 7 x 7 square less its corner pixel: rims of one and two pixels, counted for both steps."""
    truth = np.zeros((1, 9, 9), np.uint8)
    truth[0, 1:8, 1:8] = 1
    answer = truth.copy()
    answer[0, 1, 1] = 0
    rims = [
        {"name": "BoundaryIoU", "width_voxels": width, "distance": distance, "as": f"{n}"}
        for n, (width, distance) in enumerate(
            [(1, "euclidean"), (1, "chessboard"), (2, "euclidean"), (2, "chessboard")]
        )
    ]
    # rims of the square: 24 and 40; without the corner 23 and 39. In chessboard steps the missing
    # corner adds (2, 2) to the rim of one and (3, 3) to that of two; in Euclidean ones neither.
    expected = [23 / 24, 23 / 25, 39 / 40, 39 / 41]
    assert measured(truth, answer, *rims) == pytest.approx(expected)


def test_boundary_iou_with_a_share_of_the_diagonal():
    """2 % of the diagonal of 100 x 100 pixels is 2.8, so the rim is 3 pixels wide; at least 1."""
    for side, width in ((100, 3), (10, 1)):
        truth = np.zeros((1, side, side), np.uint8)
        truth[0, 1:-1, 1:-1] = 1
        answer = truth.copy()
        answer[0, side // 2 :] = 0
        by_ratio = {"name": "BoundaryIoU", "width_ratio": 0.02, "distance": "chessboard"}
        by_width = by_ratio | {"width_voxels": width, "as": "by_width"}
        del by_width["width_ratio"]
        one, other = measured(truth, answer, by_ratio, by_width)
        assert one == other < 1


def test_boundary_iou_in_voxels_does_not_mind_the_spacing():
    """A width in voxels is the same whatever their size; one in mm is not."""
    truth = np.zeros((5, 9, 9), np.uint8)
    truth[:, 1:8, 1:8] = 1
    answer = truth.copy()
    answer[2, 4, 4] = 0
    rim = [{"name": "BoundaryIoU", "width_voxels": 1}]
    values = {score(truth, answer, (z, 1, 1), rim)[0].value for z in (0.1, 1, 7)}
    assert len(values) == 1


def test_volume_differences_have_a_sign():
    """Voxels of 2 mm3: 3 instead of 4 is -25 % and -0.002 ml, 5 instead of 4 the opposite."""
    found = measured(row(1, 1, 1, 1, 0), row(1, 1, 1, 0, 0), "RVD", "VD_ml")
    assert found == pytest.approx([-0.25, -0.002])
    found = measured(row(1, 1, 1, 1, 0), row(1, 1, 1, 1, 1), "RVD", "VD_ml")
    assert found == pytest.approx([0.25, 0.002])


def test_fbeta_weighs_recall_by_beta():
    """Precision 2/3 and recall 1/2: F2 is 5 * (1/3) / (4 * 2/3 + 1/2); F1 is the DSC."""
    metrics = [{"name": "FBeta", "beta": beta, "as": str(beta)} for beta in (2, 0.5, 1)]
    found = measured(row(1, 1, 1, 1, 0), row(0, 0, 1, 1, 1), *metrics, "DSC")
    expected = [5 / 3 / (8 / 3 + 0.5), 1.25 / 3 / (0.25 * 2 / 3 + 0.5), 4 / 7, 4 / 7]
    assert found == pytest.approx(expected)


def test_centre_distance_is_in_mm():
    """Centres three voxels of 2 mm and four of 1 mm apart, in masks beyond 64 voxels: sqrt(52)."""
    truth, answer = np.zeros((2, 8, 9, 150), np.uint8)
    truth[1, 2, 70:73] = 1
    answer[4, 5:8, 71] = 1
    assert measured(truth, answer, "CentreDistance") == [pytest.approx(math.sqrt(36 + 16))]


def test_cldice_does_not_mind_thickness():
    """A thick line against a thin one along its centre: a perfect centre line, a poor DSC."""
    truth = np.zeros((9, 9, 40), np.uint8)
    truth[3:6, 3:6, 2:38] = 1
    answer = np.zeros_like(truth)
    answer[4, 4, 2:38] = 1
    dsc, cldice = measured(truth, answer, "DSC", "clDice")
    assert dsc == pytest.approx(2 / 10)
    assert cldice == 1


def test_cldice_of_a_line_half_missed():
    """All of the answer's centre line is right, half of the truth's is found: 2/3."""
    truth, answer = np.zeros((2, 1, 3, 40), np.uint8)
    truth[0, 1] = 1
    answer[0, 1, :20] = 1
    assert measured(truth, answer, "clDice") == [pytest.approx(2 / 3)]


def test_cldice_of_a_block_that_thinning_removes():
    """Thinning leaves nothing of some blocks; they are then their own centre line."""
    truth = np.zeros((6, 7, 8), np.uint8)
    truth[1:5, 2:6, 1:7] = 1
    answer = truth.copy()
    answer[4, 5, 6] = 0
    (found,) = measured(truth, answer, "clDice")
    assert 0.9 < found <= 1


def test_components_join_across_corners():
    """Voxels that share a corner are one component, others are not."""
    truth = np.zeros((4, 4, 4), np.uint8)
    truth[0, 0, 0] = truth[1, 1, 1] = 1
    answer = np.zeros_like(truth)
    answer[0, 0, 0] = answer[2, 2, 2] = answer[0, 3, 3] = 1
    assert measured(truth, answer, "Components", "Betti0Error") == [3, 2]


@pytest.mark.parametrize(
    ("truth", "answer", "place"),
    [
        (row(1, 0, 1), row(0, 0, 0), "empty_answer"),
        (row(0, 0, 0), row(1, 0, 1), "empty_truth"),
        (row(0, 0, 0), row(0, 0, 0), "both_empty"),
    ],
)
def test_empty_sides_have_the_values_of_the_catalogue(truth, answer, place):
    """Every metric has its stated value; components are counted as ever."""
    needed = {"tolerance_mm": 1, "width_mm": 1, "worst_mm": 1}
    metrics = [
        {"name": m.name} | {k: v for k, v in needed.items() if k in m.parameters}
        for m in MEASURED.values()
    ]
    found = {s.metric: s.value for s in score(truth, answer, SPACING_MM, metrics, labels=[1])}
    counted = {
        "empty_answer": {"Components": 0, "Betti0Error": 2, "EulerError": 2, "VD_ml": -0.004},
        "empty_truth": {"Components": 2, "Betti0Error": 2, "EulerError": 2, "VD_ml": 0.004},
        "both_empty": {"Components": 0, "Betti0Error": 0, "EulerError": 0, "VD_ml": 0},
    }[place] | {"Betti1Error": 0, "Betti2Error": 0, "LesionDSC": 0, "LesionHD95": 1}
    false, missed = {"empty_answer": (0, 2), "empty_truth": (2, 0), "both_empty": (0, 0)}[place]
    counted |= {"LesionFP": false, "LesionFN": missed}
    counted |= {"FPVolume": false * 0.002, "FNVolume": missed * 0.002}
    for name, metric in MEASURED.items():
        stated = getattr(metric, place)
        expected = counted[name] if stated is None else stated
        assert found[name] == pytest.approx(expected, nan_ok=True), name


def test_identical_masks_are_perfect():
    """The truth as its own answer has the best value of every metric that has one."""
    truth = np.zeros((6, 7, 8), np.uint8)
    truth[1:5, 2:6, 1:7] = 1
    needed = {"tolerance_mm": 1, "width_mm": 1, "worst_mm": 1}
    for metric in MEASURED.values():
        given = {k: v for k, v in needed.items() if k in metric.parameters}
        (found,) = measured(truth, truth.copy(), {"name": metric.name} | given)
        best = {True: metric.range[1], False: metric.range[0], None: 0}[metric.larger_is_better]
        if metric.name != "Components":
            assert found == best, metric.name


def test_a_single_voxel_is_measured_by_every_metric():
    """One voxel against itself moved by one along x: all is finite but what nothing matches."""
    truth, answer = np.zeros((2, 3, 3, 5), np.uint8)
    truth[1, 1, 1] = answer[1, 1, 2] = 1
    metrics = [
        {"name": m.name}
        | {k: 1 for k in ("tolerance_mm", "width_mm", "worst_mm") if k in m.parameters}
        for m in MEASURED.values()
    ]
    found = {s.metric: s.value for s in score(truth, answer, SPACING_MM, metrics)}
    assert {name for name, value in found.items() if not math.isfinite(value)} == {"MASD_TP"}
    assert found["DSC"] == found["clDice"] == 0
    assert found["NSD"] == found["HD"] == 1
