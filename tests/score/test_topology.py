"""Tests of centre lines and of Betti numbers, on tubes, blobs and random shapes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import euler_number

from segarena.score.metrics import score
from segarena.score.topology import centre_line

BOTH = [{"name": "clDice"}, {"name": "clDice", "thinning": "skimage", "as": "skimage"}]
TOPOLOGY = [{"name": f"{name}Error"} for name in ("Betti0", "Betti1", "Betti2", "Euler")]


def measured(truth, answer, metrics, spacing_mm=(1, 1, 1)):
    scores = score(truth.astype(np.uint8), answer.astype(np.uint8), spacing_mm, metrics, labels=[1])
    return [s.value for s in scores]


def betti(mask):
    """Return components, tunnels and cavities by scipy's components and skimage's Euler number."""
    mask = np.pad(mask, 1)
    components = ndimage.label(mask, np.ones((3, 3, 3)))[1]
    cavities = ndimage.label(~mask)[1] - 1
    return components, components + cavities - euler_number(mask, connectivity=3), cavities


def cells_of(line, shape):
    cells = np.zeros([2 * n + 1 for n in shape], bool)
    cells[tuple(line.T)] = True
    return cells


def shapes(*, smallest, largest, seed):
    """Yield random masks, from noise to smooth blobs, with a clear margin of one voxel."""
    random = np.random.default_rng(seed)
    for number in range(40):
        noise = random.standard_normal(random.integers(smallest, largest, 3))
        yield np.pad(ndimage.gaussian_filter(noise, (0.5, 1, 1.5)[number % 3]) > 0, 1)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("width", range(1, 7))
def test_a_tube_of_any_width_keeps_its_length(width, axis):
    """The line of a straight tube of 24 voxels is at least 24 - width voxels long, at most 25."""
    tube = np.zeros((28, width + 2, width + 2), bool)
    tube[2:26, 1:-1, 1:-1] = True
    line = centre_line(np.moveaxis(tube, 0, axis))
    cells = np.unique(line[:, axis])
    assert len(line) == len(cells)
    assert 24 - width <= len(cells) / 2 <= 25


def test_line_and_mask_have_the_same_topology():
    """The line has as many components, tunnels and cavities as the mask, on 40 random shapes."""
    for mask in shapes(smallest=3, largest=14, seed=0):
        assert betti(cells_of(centre_line(mask), mask.shape)) == betti(mask)


def test_every_component_has_a_piece_of_the_line_in_it():
    """Each cell of the line touches a voxel of its component, and no component is without."""
    for mask in shapes(smallest=3, largest=14, seed=1):
        components, number = ndimage.label(mask, np.ones((3, 3, 3)))
        low, high = (centre_line(mask) - 1) // 2, centre_line(mask) // 2
        touched = {int(n) for corner in (low, high) for n in components[tuple(corner.T)]} - {0}
        assert touched == set(range(1, number + 1))


def test_a_vessel_of_even_width_that_is_missed_halves_the_share():
    """Two vessels of one length, 3 x 3 and 4 x 4, the second missed: about 2/3, not 1."""
    truth, answer = np.zeros((2, 30, 8, 16), np.uint8)
    truth[3:27, 2:5, 2:5] = answer[3:27, 2:5, 2:5] = 1
    truth[3:27, 2:6, 9:13] = 1
    doubled, skimage = measured(truth, answer, BOTH)
    assert doubled == pytest.approx(2 / 3, abs=0.02)
    assert skimage == 1  # the missed vessel has no line there


@pytest.mark.parametrize("width", [2, 3, 4, 5, 6])
def test_an_invented_vessel_costs_precision(width):
    """An answer that adds a vessel as long as the true one has a precision of about a half."""
    truth, answer = np.zeros((2, 30, 10, 20), np.uint8)
    truth[3:27, 2:5, 2:5] = answer[3:27, 2:5, 2:5] = 1
    answer[3:27, 2 : 2 + width, 9 : 9 + width] = 1
    assert measured(truth, answer, BOTH[:1]) == [pytest.approx(2 / 3, abs=0.04)]


@pytest.mark.parametrize("half", [0, 0.5])
@pytest.mark.parametrize("radius", [1, 2, 4, 8])
def test_an_invented_ball_lowers_cldice(radius, half):
    """A false ball beside a true tube counts, centred on a voxel or between voxels."""
    truth = np.zeros((30, 24, 40), bool)
    truth[3:27, 2:5, 2:5] = True
    z, y, x = np.ogrid[:30, :24, :40]
    away = (z - 14 - half) ** 2 + (y - 12 - half) ** 2 + (x - 26 - half) ** 2
    (value,) = measured(truth, truth | (away <= radius**2), BOTH[:1])
    assert 0.3 < value < 1


def test_an_answer_within_the_truth_has_no_false_line():
    """A line one voxel wide anywhere in a tube of 2 x 2 is found as a whole: precision 1."""
    truth, answer = np.zeros((2, 30, 6, 6), np.uint8)
    truth[3:27, 2:4, 2:4] = 1
    answer[3:27, 2, 3] = 1
    assert measured(truth, answer, BOTH[:1]) == [1]


def test_masks_that_share_no_voxel_have_no_common_line():
    """Voxels that touch at a corner share no line."""
    truth, answer = np.zeros((2, 4, 4, 4), np.uint8)
    truth[0, 0, 0] = truth[1, 1, 1] = 1
    answer[0, 1, 1] = answer[1, 0, 0] = 1
    assert measured(truth, answer, BOTH[:1]) == [0]


def test_a_tube_that_ends_at_the_edge_of_the_volume_has_a_line():
    """A tube of even width that fills the volume is its own perfect answer, and has a length."""
    tube = np.ones((20, 4, 4), np.uint8)
    half = tube.copy()
    half[10:] = 0
    assert measured(tube, tube, BOTH[:1]) == [1]
    assert measured(tube, half, BOTH[:1]) == [pytest.approx(2 / 3, abs=0.06)]


def test_spacing_does_not_change_centre_lines():
    """Lines are found on the voxels, whatever their size."""
    truth, answer = np.zeros((2, 30, 8, 16), np.uint8)
    truth[3:27, 2:6, 2:6] = 1
    answer[3:20, 2:6, 3:7] = 1
    assert measured(truth, answer, BOTH) == measured(truth, answer, BOTH, (5, 0.5, 0.7))


def test_a_ring_a_hollow_ball_and_two_balls_by_hand():
    """A ring has a tunnel, a hollow cube a cavity; each differs from a solid cube by one."""
    solid = np.zeros((9, 9, 9), np.uint8)
    solid[2:7, 2:7, 2:7] = 1
    ring, hollow, two = solid.copy(), solid.copy(), solid.copy()
    ring[:, 4, 4] = 0
    hollow[4, 4, 4] = 0
    two[0, 0, 0] = 1
    assert measured(solid, ring, TOPOLOGY) == [0, 1, 0, 1]
    assert measured(solid, hollow, TOPOLOGY) == [0, 0, 1, 1]
    assert measured(solid, two, TOPOLOGY) == [1, 0, 0, 1]
    assert measured(ring, two, TOPOLOGY) == [1, 1, 0, 2]


def test_a_cavity_that_opens_at_the_edge_of_the_volume_is_none():
    """What is beyond the image is outside, so a hole in the first plane belongs to it."""
    solid = np.ones((5, 5, 5), np.uint8)
    pit, cavity = solid.copy(), solid.copy()
    pit[0, 2, 2] = 0
    cavity[2, 2, 2] = 0
    assert measured(solid, pit, TOPOLOGY) == [0, 0, 0, 0]
    assert measured(solid, cavity, TOPOLOGY) == [0, 0, 1, 1]


def test_a_slice_has_holes_and_no_cavities():
    """A disc with two holes has two tunnels more than one without, across any axis."""
    disc = np.ones((1, 9, 11), np.uint8)
    holes = disc.copy()
    holes[0, 2, 3] = holes[0, 6, 7] = 0
    for axes in ((0, 1, 2), (1, 0, 2), (1, 2, 0)):
        pair = disc.transpose(axes), holes.transpose(axes)
        assert measured(*pair, TOPOLOGY) == [0, 2, 0, 2]


@given(st.integers(0, 2**32 - 1))
def test_betti_numbers_of_random_masks(seed):
    """Errors equal the difference of scipy's and scikit-image's numbers, over rows of words too."""
    random = np.random.default_rng(seed)
    shape = random.choice([3, 5, 70], 3)
    truth, answer = random.random((2, *shape)) < random.choice([0.2, 0.6, 0.9])
    one, other = betti(truth), betti(answer)
    expected = [abs(a - b) for a, b in zip(one, other, strict=True)]
    expected.append(abs(one[0] - one[1] + one[2] - other[0] + other[1] - other[2]))
    assert measured(truth, answer, TOPOLOGY) == expected
