"""Tests of single slices across any axis."""

import numpy as np
import pytest

from segarena.errors import ConfigError
from segarena.score.metrics import METRICS, score

ACROSS = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (1, 2, 0)}
NEEDED = {"tolerance_mm": 1, "width_mm": 1, "worst_mm": 9}
EVERY_METRIC = [
    {"name": m.name} | {k: v for k, v in NEEDED.items() if k in m.parameters}
    for m in METRICS.values()
    if m.needs in {"labels", "surfaces"}
]


def discs():
    """Return two discs of radius 10 pixels, 4 pixels apart, in a slice of 40 x 40."""
    y, x = np.ogrid[:40, :40]
    both = [((y - 19) ** 2 + (x - at) ** 2 <= 100)[None].astype(np.uint8) for at in (17, 21)]
    return both[0], both[1]


@pytest.mark.parametrize("axes", [ACROSS["coronal"], ACROSS["sagittal"]], ids=["y", "x"])
@pytest.mark.parametrize("metric", EVERY_METRIC, ids=lambda metric: metric["name"])
def test_a_slice_has_the_same_values_across_any_axis(metric, axes):
    """Whichever axis has length 1, a metric sees the same slice with the same spacing in plane."""
    truth, answer = discs()
    spacing_mm = (5.0, 0.5, 0.8)
    turned = [labels.transpose(axes) for labels in (truth, answer)]
    expected = score(truth, answer, spacing_mm, [metric])
    assert score(*turned, [spacing_mm[axis] for axis in axes], [metric]) == expected


def test_a_sagittal_slice_is_measured_by_its_contours():
    """Discs 4 mm apart: the distance of the contours is 4 mm, not that of slabs."""
    truth, answer = (labels.transpose(ACROSS["sagittal"]) for labels in discs())
    (hd95,) = score(truth, answer, (1, 1, 3), [{"name": "HD95"}])
    assert hd95.value == pytest.approx(4)


def test_a_slab_stays_a_slab():
    """With `dimensions: 3` the faces of a slice are surface too, across any axis."""
    truth, answer = discs()
    slab = [{"name": "NSD", "tolerance_mm": 1, "dimensions": 3}]
    expected = score(truth, answer, (1, 1, 1), slab)[0].value
    flat = score(truth, answer, (1, 1, 1), [{"name": "NSD", "tolerance_mm": 1}])[0].value
    assert expected > flat + 0.5
    for axes in ACROSS.values():
        found = score(truth.transpose(axes), answer.transpose(axes), (1, 1, 1), slab)[0].value
        assert found == pytest.approx(expected, abs=1e-12)


def test_a_row_of_voxels_is_a_slice_across_the_first_axis_of_length_1():
    """A row along z, y or x is a slice of one row; its length is along its own spacing."""
    truth, answer = np.zeros((2, 30), np.uint8)
    truth[5:15] = answer[8:18] = 1
    for axis in range(3):
        shape, spacing_mm = [1, 1, 1], [1.0, 1.0, 1.0]
        shape[axis], spacing_mm[axis] = 30, 0.5
        pair = truth.reshape(shape), answer.reshape(shape)
        (hd,) = score(*pair, spacing_mm, [{"name": "HD"}])
        assert hd.value == pytest.approx(1.5)


def test_a_volume_is_not_measured_as_a_slice():
    """`dimensions: 2` of a volume is refused with the shape."""
    labels = np.ones((2, 3, 4), np.uint8)
    with pytest.raises(ConfigError, match=r"HD: dimensions is 2, .*\(2, 3, 4\); write auto"):
        score(labels, labels, (1, 1, 1), [{"name": "HD", "dimensions": 2}])
