"""Tests of surfaces, with areas and distances in closed form."""

import math

import numpy as np
import pytest

from segarena.score import surface
from segarena.score.metrics import score
from segarena.score.surface import element_areas

SPACING_MM = (3.0, 0.5, 0.75)


def box_map(shape, low, high):
    labels = np.zeros(shape, np.uint8)
    labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    return labels


def value(truth, answer, metric, spacing_mm=SPACING_MM):
    (found,) = score(truth, answer, spacing_mm, [metric])
    return found.value


def surface_area(labels, spacing_mm):
    padded = np.pad(labels, 1).astype(int)
    code = np.zeros(np.array(padded.shape) - 1, int)
    bit = 128
    d, h, w = code.shape
    for z in (0, 1):
        for y in (0, 1):
            for x in (0, 1):
                code += bit * padded[z : z + d, y : y + h, x : x + w]
                bit //= 2
    return element_areas(spacing_mm)[code].sum()


def test_a_single_voxel_has_the_area_of_an_octahedron():
    """Eight corner triangles, each an eighth of the three faces taken together as a vector."""
    z, y, x = SPACING_MM
    expected = math.hypot(y * x, z * x, z * y)
    assert surface_area(np.ones((1, 1, 1), int), SPACING_MM) == pytest.approx(expected)


def test_a_box_has_faces_bevelled_edges_and_cut_corners():
    """Faces lose half a voxel at each side; edges are bevelled at 45 degrees, corners cut."""
    (z, y, x), (d, h, w) = SPACING_MM, (3, 4, 5)
    faces = 2 * ((h - 1) * (w - 1) * y * x + (d - 1) * (w - 1) * z * x + (d - 1) * (h - 1) * z * y)
    edges = 2 * (
        (d - 1) * z * math.hypot(y, x)
        + (h - 1) * y * math.hypot(z, x)
        + (w - 1) * x * math.hypot(z, y)
    )
    corners = math.hypot(y * x, z * x, z * y)
    found = surface_area(np.ones((d, h, w), int), SPACING_MM)
    assert found == pytest.approx(faces + edges + corners)


def test_two_voxels_across_a_corner_are_two_surfaces():
    """Voxels that share only a corner have the area of both, whatever their common code."""
    labels = np.zeros((2, 2, 2), int)
    labels[0, 0, 0] = labels[1, 1, 1] = 1
    z, y, x = SPACING_MM
    expected = 2 * math.hypot(y * x, z * x, z * y)
    assert surface_area(labels, SPACING_MM) == pytest.approx(expected)


def test_inside_out_has_the_same_area():
    """A code and its complement have the same area; all or nothing has none."""
    areas = element_areas(SPACING_MM)
    assert areas[0] == areas[255] == 0
    assert (areas[1:255] > 0).all()
    assert (areas == areas[::-1]).all()


def test_nsd_of_a_voxel_moved_within_the_tolerance_is_one():
    """A tolerance that is exactly the shift accepts the whole surface."""
    truth = box_map((5, 5, 9), (2, 2, 2), (3, 3, 3))
    answer = box_map((5, 5, 9), (2, 2, 4), (3, 3, 5))
    assert value(truth, answer, {"name": "NSD", "tolerance_mm": 1.5}) == 1


def test_nsd_counts_the_near_side_alone():
    """Two voxels two apart: with a tolerance of one step only the sides that face each other."""
    truth = box_map((5, 5, 9), (2, 2, 2), (3, 3, 3))
    answer = box_map((5, 5, 9), (2, 2, 4), (3, 3, 5))
    assert value(truth, answer, {"name": "NSD", "tolerance_mm": 0.8}) == pytest.approx(0.5)


def test_nsd_of_an_empty_answer_is_zero():
    """No answer has nothing within the tolerance."""
    truth = box_map((5, 5, 5), (1, 1, 1), (3, 3, 3))
    assert value(truth, np.zeros_like(truth), {"name": "NSD", "tolerance_mm": 99}) == 0


def test_nsd_with_a_tolerance_per_label():
    """Each label is measured with its own tolerance, the others with the default."""
    truth = box_map((5, 5, 9), (2, 2, 2), (3, 3, 3))
    truth[0, 0, 0] = 2
    answer = np.roll(truth, 2, axis=2)
    metric = {"name": "NSD", "tolerance_mm": {1: 1.5, "default": 0.5}}
    first, second = score(truth, answer, SPACING_MM, [metric])
    assert (first.value, second.value) == (1, 0)


def test_nsd_with_very_small_voxels_equals_that_of_bits(monkeypatch):
    """A tolerance of too many voxels for bits is measured by distances, with the same result."""
    truth = box_map((3, 40, 99), (1, 3, 4), (2, 20, 30))
    answer = box_map((3, 40, 99), (1, 9, 50), (2, 39, 98))
    metric = {"name": "NSD", "tolerance_mm": 8.5}
    by_distances = value(truth, answer, metric, (0.25, 0.25, 0.25))
    monkeypatch.setattr(surface, "WIDEST", 64)
    monkeypatch.setattr(surface, "MOST_ROWS", 100_000)
    surface._ball.cache_clear()
    assert 0 < by_distances < 1
    assert value(truth, answer, metric, (0.25, 0.25, 0.25)) == by_distances
    surface._ball.cache_clear()


def test_nsd_with_a_tolerance_beyond_the_image_is_one():
    """Nothing in an image of a few micrometres is further than 2 mm from anything else."""
    truth = box_map((4, 4, 4), (0, 0, 0), (1, 1, 1))
    answer = box_map((4, 4, 4), (3, 3, 3), (4, 4, 4))
    assert value(truth, answer, {"name": "NSD", "tolerance_mm": 2}, (1e-5, 4e-6, 4e-6)) == 1


def test_a_slice_is_measured_by_its_contour():
    """A 3 x 4 figure moved by one along x: its long sides and half its corners coincide."""
    truth = box_map((1, 9, 12), (0, 2, 2), (1, 5, 6))
    answer = np.roll(truth, 1, axis=2)
    y, x = 2.0, 1.0
    corners, short, long = 4 * math.hypot(y, x) / 2, 2 * 2 * y, 2 * 3 * x
    expected = (2 * long + corners) / (2 * (corners + short + long))
    found = value(truth, answer, {"name": "NSD", "tolerance_mm": 0.5}, (9, y, x))
    assert found == pytest.approx(expected)


def test_a_slice_taken_for_a_slab_counts_its_faces():
    """With `dimensions: 3` the two faces of the slab are surface too, so the shift weighs less."""
    truth = box_map((1, 9, 12), (0, 2, 2), (1, 5, 6))
    answer = np.roll(truth, 1, axis=2)
    metric = {"name": "NSD", "tolerance_mm": 0.5}
    contour = value(truth, answer, metric, (9, 2, 1))
    slab = value(truth, answer, metric | {"dimensions": 3}, (9, 2, 1))
    assert contour != pytest.approx(slab, abs=1e-3)


def test_distances_between_two_voxels():
    """Voxels five apart along x: corners are four or five steps away, in equal shares."""
    truth = box_map((3, 3, 9), (1, 1, 1), (2, 2, 2))
    answer = box_map((3, 3, 9), (1, 1, 6), (2, 2, 7))
    step = SPACING_MM[2]
    assert value(truth, answer, {"name": "HD"}) == pytest.approx(5 * step)
    assert value(truth, answer, {"name": "HD95"}) == pytest.approx(5 * step)
    assert value(truth, answer, {"name": "HD95", "percentile": 50}) == pytest.approx(4 * step)
    assert value(truth, answer, {"name": "ASSD"}) == pytest.approx(4.5 * step)
    assert value(truth, answer, {"name": "MASD"}) == pytest.approx(4.5 * step)


def test_assd_pools_both_surfaces_and_masd_weighs_them_alike():
    """A far speck in a small answer moves the mean of the directions more than the pooled mean."""
    truth = box_map((3, 3, 30), (1, 1, 1), (2, 2, 2))
    answer = truth.copy()
    answer[1, 1, 21] = 1
    one = {"points": "voxels"}
    assert value(truth, answer, {"name": "ASSD"} | one, (1, 1, 1)) == pytest.approx(20 / 3)
    assert value(truth, answer, {"name": "MASD"} | one, (1, 1, 1)) == pytest.approx(10 / 2)


def test_hd95_conventions_differ_as_stated():
    """Nine far points among eleven: pooled and per direction, stepped and interpolated."""
    truth = box_map((1, 1, 30), (0, 0, 0), (1, 1, 1))
    answer = truth.copy()
    answer[0, 0, 10:19:2] = 1
    voxels = {"name": "HD95", "points": "voxels", "percentile": 60}
    spacing = (1, 1, 1)
    # truth to answer: [0]; answer to truth: [0, 10, 12, 14, 16, 18]
    assert value(truth, answer, voxels, spacing) == 14
    assert value(truth, answer, voxels | {"pooling": "pooled"}, spacing) == 14
    assert value(truth, answer, voxels | {"interpolation": "linear"}, spacing) == 14
    linear = voxels | {"interpolation": "linear", "pooling": "pooled"}
    # of 0, 0, 10, 12, 14, 16, 18 the 60th percentile lies 3.6 steps from the first
    assert value(truth, answer, linear, spacing) == pytest.approx(12 + 0.6 * 2)


def test_distances_to_an_empty_answer_are_infinite():
    """HD, HD95, ASSD and MASD know no number for an answer that is not there."""
    truth = box_map((3, 3, 3), (1, 1, 1), (2, 2, 2))
    metrics = [{"name": name} for name in ("HD", "HD95", "ASSD", "MASD")]
    found = score(truth, np.zeros_like(truth), SPACING_MM, metrics)
    assert all(math.isinf(s.value) for s in found)


def test_a_structure_at_the_border_is_closed_there():
    """The image's edge is a surface: a figure in the corner has the area of one in the middle."""
    corner = box_map((9, 9, 9), (0, 0, 0), (2, 2, 2))
    middle = box_map((9, 9, 9), (4, 4, 4), (6, 6, 6))
    other_corner = np.roll(corner, (1, 1, 1), (0, 1, 2))
    other_middle = np.roll(middle, (1, 1, 1), (0, 1, 2))
    metric = {"name": "NSD", "tolerance_mm": 0.6}
    found = value(corner, other_corner, metric)
    assert 0 < found < 1
    assert found == pytest.approx(value(middle, other_middle, metric))
