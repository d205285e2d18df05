"""The volumes of the viewer: their grid within the budget, and what is in them."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from segarena.case import Place, Truth
from segarena.report import volumes
from segarena.report.volumes import (
    BACKGROUND,
    BOX,
    FOREGROUND,
    grid_of,
    prompts_volume,
    write_image,
    write_labels,
)

AFFINE = np.array([[-10.0, 0, 0, 50], [0, 10, 0, -70], [0, 0, 10, 5], [0, 0, 0, 1]])
GTS = np.zeros((20, 20, 20), np.uint8)
GTS[8:12, 8:12, 8:12] = 3
TRUTH = Truth(GTS, affine=AFFINE)
SPACING_MM = (10.0, 10.0, 10.0)


def test_a_small_case_is_whole() -> None:
    """Within the budget nothing is left out, and nothing is said."""
    grid = grid_of(TRUTH, SPACING_MM, is_placed=True)
    assert (grid.start, grid.stop, grid.step) == ((0, 0, 0), (20, 20, 20), (1, 1, 1))
    assert grid.note() == ""
    assert (grid.affine == AFFINE).all()


def test_a_case_above_the_budget_is_cut_to_its_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A margin of 20 mm is two voxels here: 8 to 12 becomes 6 to 14."""
    monkeypatch.setattr(volumes, "LARGEST_IMAGE_BYTES", 1000)
    grid = grid_of(TRUTH, SPACING_MM, is_placed=True)
    assert (grid.start, grid.stop, grid.step) == ((6, 6, 6), (14, 14, 14), (1, 1, 1))
    assert grid.note() == "cut to the labels with a margin of 20 mm"
    assert (grid.affine @ [0, 0, 0, 1] == AFFINE @ [6, 6, 6, 1]).all()


def test_what_is_still_too_large_is_thinned_along_its_finest_axes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """16 x 16 x 4 voxels of 1 x 1 x 4 mm, at most 300 bytes: every second one in plane."""
    monkeypatch.setattr(volumes, "LARGEST_IMAGE_BYTES", 300)
    truth = Truth(np.ones((4, 16, 16), np.uint8), affine=np.diag([1.0, 1, 4, 1]))
    grid = grid_of(truth, (4.0, 1.0, 1.0), is_placed=True)
    assert grid.step == (1, 2, 2)
    assert grid.cut(truth.gts).shape == (4, 8, 8)
    assert grid.note().endswith("one voxel of 2x2x1 (x, y, z)")
    assert (grid.affine @ [3, 2, 1, 1] == truth.affine @ [6, 4, 1, 1]).all()


def test_colour_counts_threefold(monkeypatch: pytest.MonkeyPatch) -> None:
    """An RGB image of a third of the budget in voxels is whole, one voxel more is not."""
    monkeypatch.setattr(volumes, "LARGEST_IMAGE_BYTES", 300)
    for side, step in ((10, (1, 1, 1)), (11, (1, 1, 2))):
        truth = Truth(np.ones((1, 10, side), np.uint8))
        grid = grid_of(truth, (1.0, 1.0, 0.5), is_placed=False, channels=3)
        assert grid.step == step


def test_files_open_in_nibabel_where_the_case_is(tmp_path: Path) -> None:
    """Image, label map and 4D answers have the voxels (x, y, z) and the affine of the case."""
    grid = grid_of(TRUTH, SPACING_MM, is_placed=True)
    imgs = np.arange(GTS.size, dtype=np.uint16).astype(np.uint8).reshape(GTS.shape)
    write_image(tmp_path / "i.nii.gz", grid, imgs)
    write_labels(tmp_path / "t.nii.gz", grid, [GTS])
    write_labels(tmp_path / "a.nii.gz", grid, [GTS, np.where(GTS, np.uint16(300), 0)])
    image, truth, answers = (nibabel.load(tmp_path / f"{name}.nii.gz") for name in "ita")
    assert (np.asarray(image.dataobj) == imgs.T).all()
    assert (image.affine == AFFINE).all()
    assert (np.asarray(truth.dataobj) == GTS.T).all()
    assert truth.get_data_dtype() == np.uint8
    assert answers.shape == (20, 20, 20, 2)
    assert answers.get_data_dtype() == np.uint16
    assert int(answers.dataobj[9, 9, 9, 1]) == 300


def test_colour_is_written_as_rgb(tmp_path: Path) -> None:
    """The channels of a pixel stay together."""
    imgs = np.zeros((1, 3, 4, 3), np.uint8)
    imgs[0, 1, 2] = (1, 2, 3)
    grid = grid_of(
        Truth(np.ones((1, 3, 4), np.uint8)), (1.0, 1.0, 1.0), is_placed=False, channels=3
    )
    write_image(tmp_path / "i.nii.gz", grid, imgs)
    pixels = np.asarray(nibabel.load(tmp_path / "i.nii.gz").dataobj)
    assert pixels[2, 1, 0].tolist() == (1, 2, 3)
    assert pixels.shape == (4, 3, 1)


def test_a_case_without_directions_is_shown_as_stored() -> None:
    """Its axes run to the left, to the back and down, as a radiological display shows them."""
    grid = grid_of(Truth(GTS), (3.0, 2.0, 1.0), is_placed=False)
    assert np.diag(grid.affine).tolist() == [-1, -2, -3, 1]


def test_a_slice_has_the_directions_of_its_axes() -> None:
    """A slice across y of the volume: its x is the volume's x, its y the volume's z."""
    truth = Truth(np.ones((1, 20, 20), np.uint8), affine=AFFINE, place=Place((20, 20, 20), 1, 4))
    affine = grid_of(truth, (10.0, 10.0, 10.0), is_placed=True).affine
    assert affine[:3, :3].tolist() == [[-10, 0, 0], [0, 0, 10], [0, 10, 0]]


def test_prompts_are_drawn_where_they_are() -> None:
    """By hand: a box around its slice, a background click as a cross, a scribble as its voxels."""
    grid = grid_of(TRUTH, SPACING_MM, is_placed=True)
    box = {"z_min": 2, "z_max": 4, "z_mid": 3, "z_mid_y_min": 5, "z_mid_y_max": 7}
    box |= {"z_mid_x_min": 5, "z_mid_x_max": 8}
    prompts = {
        "labels": [1, 2],
        "boxes": [box],
        "clicks": [{"fg": [], "bg": [[10, 10, 10]]}, {"fg": [], "bg": []}],
        "scribbles": [None, {"fg": [[0, 0, 0], [0, 0, 1]], "bg": []}],
    }
    drawn = prompts_volume(grid, GTS.shape, prompts)
    ring = np.zeros((3, 4), bool)
    ring[[0, -1]], ring[:, [0, -1]] = True, True
    assert ((drawn[3, 5:8, 5:9] == BOX) == ring).all()
    assert np.count_nonzero(drawn == BOX) == ring.sum()
    assert np.count_nonzero(drawn == BACKGROUND) == 7
    assert drawn[9, 10, 10] == drawn[10, 10, 11] == BACKGROUND
    assert np.argwhere(drawn == FOREGROUND).tolist() == [[0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("point", [[8, 8, 8], [9, 9, 9], [11, 10, 9]])
def test_a_click_is_there_on_a_thinned_grid(point, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever voxels are left out, a click leaves a mark."""
    monkeypatch.setattr(volumes, "LARGEST_IMAGE_BYTES", 100)
    grid = grid_of(TRUTH, SPACING_MM, is_placed=True)
    assert grid.step == (2, 2, 2)
    prompts = {"labels": [3], "clicks": [{"fg": [point], "bg": []}]}
    assert grid.cut(prompts_volume(grid, GTS.shape, prompts)).any()
