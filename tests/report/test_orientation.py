"""Which way is which, worked out by hand from affines, against ITK-SNAP's radiological display.

There, the patient's right is on the left of axial and coronal planes, anterior is at the top of
axial planes and on the left of sagittal ones, superior is at the top of the others. So a shown
volume begins, on its three axes, at the superior, the anterior and the right end.
"""

import math

import nibabel
import numpy as np
import pytest

from segarena.case import Place, Truth
from segarena.prepare.volume import header_bytes
from segarena.report.orientation import orientation_of

SHAPE = (4, 5, 6)  # (z, y, x) of the file
COS, SIN = math.cos(math.radians(20)), math.sin(math.radians(20))


def truth_of(columns: list[list[float]], *, code: int = 1, place: Place | None = None) -> Truth:
    """A truth whose file's x, y, z run along directions given as (right, anterior, superior)."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(columns).T
    header = nibabel.Nifti1Header()
    header.set_sform(affine, code=code)
    return Truth(
        np.zeros(SHAPE, np.uint8), affine=affine, nifti_header=header_bytes(header), place=place
    )


@pytest.mark.parametrize(
    ("columns", "corner"),
    [
        # The voxel of the file, as (z, y, x), that is the most superior, anterior and right one.
        pytest.param([[1, 0, 0], [0, 1, 0], [0, 0, 1]], (3, 4, 5), id="RAS"),
        pytest.param([[-1, 0, 0], [0, 1, 0], [0, 0, 1]], (3, 4, 0), id="LAS"),
        pytest.param([[-1, 0, 0], [0, -1, 0], [0, 0, 1]], (3, 0, 0), id="LPS"),
        pytest.param([[0, -1, 0], [0, 0, 1], [1, 0, 0]], (3, 4, 0), id="PSR"),
        pytest.param([[0, 0, -2], [0.5, 0, 0], [0, 3, 0]], (3, 4, 0), id="IRA, anisotropic"),
        pytest.param(
            [[1, 0, 0], [0, COS, SIN], [0, -SIN, COS]], (3, 4, 5), id="RAS, tilted by 20°"
        ),
        pytest.param(
            [[0, -COS, SIN], [0, SIN, COS], [1, 0, 0]], (3, 4, 0), id="PSR, tilted by 20°"
        ),
    ],
)
def test_shown_volume_begins_superior_anterior_right(columns, corner) -> None:
    """The corner that is superior, anterior and right is shown first on every axis."""
    volume = np.zeros(SHAPE, np.uint8)
    volume[corner] = 1
    orientation = orientation_of(truth_of(columns))
    shown = orientation.turned(volume)
    assert shown[0, 0, 0] == 1
    assert orientation.point(corner, shown.shape) == (0, 0, 0)
    assert orientation.letters == (("S", "I"), ("A", "P"), ("R", "L"))


def test_planes_of_psr_are_called_by_what_they_show() -> None:
    """Slices of a file whose axes are P, S and R: those across its z (R) are the sagittal ones."""
    orientation = orientation_of(truth_of([[0, -1, 0], [0, 0, 1], [1, 0, 0]]))
    assert orientation.order == (1, 2, 0)  # S is the file's y, A its x, R its z
    assert orientation.turned(np.zeros(SHAPE)).shape == (5, 6, 4)
    assert [orientation.name(axis) for axis in range(3)] == [
        "axial plane",
        "coronal plane",
        "sagittal plane",
    ]


def test_every_voxel_is_shown_where_its_point_is() -> None:
    """Clicks and voxels move together, whatever the axes."""
    orientation = orientation_of(truth_of([[0, -1, 0], [0, 0, 1], [1, 0, 0]]))
    volume = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    shown = orientation.turned(volume)
    for point in np.ndindex(SHAPE):
        assert shown[orientation.point(point, shown.shape)] == volume[point]


def test_colour_stays_last() -> None:
    """The channels of an RGB volume are not turned."""
    orientation = orientation_of(truth_of([[0, -1, 0], [0, 0, 1], [1, 0, 0]]))
    assert orientation.turned(np.zeros((*SHAPE, 3))).shape == (5, 6, 4, 3)


def test_oblique_is_the_largest_angle() -> None:
    """Two axes tilted by 20 degrees are 20 degrees off; straight ones are not off at all."""
    tilted = orientation_of(truth_of([[1, 0, 0], [0, COS, SIN], [0, -SIN, COS]]))
    assert tilted.oblique_degrees == pytest.approx(20)
    assert orientation_of(truth_of([[1, 0, 0], [0, 1, 0], [0, 0, 1]])).oblique_degrees == 0


def test_slice_of_a_volume_keeps_its_directions() -> None:
    """A slice across the file's y (A in RAS) has the axes y, z, x: it is a coronal plane."""
    place = Place(SHAPE, axis=1, index=2)
    orientation = orientation_of(truth_of([[1, 0, 0], [0, 1, 0], [0, 0, 1]], place=place))
    assert orientation.order == (1, 0, 2)
    flat = np.zeros((1, 4, 6), np.uint8)  # (y, z, x)
    flat[0, 3, 5] = 1  # superior, right
    assert orientation.turned(flat)[0, 0, 0] == 1
    assert orientation.turned(flat).shape == (4, 1, 6)


@pytest.mark.parametrize(
    "truth",
    [
        pytest.param(Truth(np.zeros(SHAPE, np.uint8)), id="nothing known"),
        pytest.param(Truth(np.zeros(SHAPE, np.uint8), affine=np.eye(4)), id="ready-made .npz, PNG"),
        pytest.param(truth_of([[-1, 0, 0], [0, 1, 0], [0, 0, 1]], code=0), id="no form code"),
    ],
)
def test_without_a_placed_affine_there_are_no_letters(truth: Truth) -> None:
    """Nothing says how the patient lay: shown as stored, and no plane has an anatomical name."""
    orientation = orientation_of(truth)
    volume = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    assert orientation.letters is None
    assert (orientation.turned(volume) == volume).all()
    assert orientation.name(0) == "plane across z"
