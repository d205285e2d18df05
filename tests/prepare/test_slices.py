import nibabel
import numpy as np
import pytest

from segarena.case import Image, Place, Truth, read_truth, write_truth
from segarena.errors import CaseError
from segarena.prepare.nifti import answer_to_nifti, prepare_case
from segarena.prepare.slices import put_back, slice_case, slice_index, slice_name

SPACING = (5.0, 0.5, 0.75)


@pytest.fixture
def truth():
    gts = np.zeros((6, 8, 12), np.uint8)
    gts[1, 2:4, 3:5] = 1  # 4 pixels
    gts[3, 2:5, 3:6] = 1  # 9
    gts[4, 2:5, 3:6] = 1  # 9 as well
    gts[5, 2, 3] = 1
    gts[0, 7, 11] = 4  # one voxel in a corner
    return Truth(gts, label_ids={1: 30, 4: 70})


@pytest.fixture
def image(truth):
    imgs = np.arange(truth.gts.size, dtype=np.uint16).reshape(truth.gts.shape) % 251
    return Image(imgs.astype(np.uint8), SPACING, boxes=[])


def test_the_largest_slice_is_the_lowest_of_equals(truth):
    """Slices 3 and 4 are equally large: 3 is taken."""
    assert slice_index(truth.gts == 1) == 3


def test_the_middle_slice_is_among_those_that_hold_the_label(truth):
    """Of 1, 3, 4 and 5 the middle one is 4, the third, as for the box."""
    assert slice_index(truth.gts == 1, rule="middle") == 4


@pytest.mark.parametrize(("axis", "index"), [("z", 3), ("y", 2), ("x", 3)])
def test_a_slice_may_lie_across_any_axis(truth, axis, index):
    """Counted by hand: row 2 has 2 + 3 + 3 + 1 = 9 voxels, column 3 has 2 + 3 + 3 + 1 = 9."""
    assert slice_index(truth.gts == 1, axis=axis) == index


def test_each_label_is_a_binary_case_of_its_own(image, truth):
    """CASE__ID has D = 1, the label 1, the original id and its own box."""
    assert [slice_name("ct", label) for label in truth.ids.values()] == ["ct__30", "ct__70"]
    cut, cut_truth = slice_case(image, truth, 30, case="ct", seed=7)
    assert (cut.imgs == image.imgs[3:4]).all()
    assert (cut_truth.gts == (truth.gts[3:4] == 1)).all()
    assert (cut_truth.gts.dtype, cut_truth.label_ids) == (np.uint8, {1: 30})
    assert cut_truth.place == Place((6, 8, 12), 0, 3)
    (box,) = cut.boxes
    assert (box["z_min"], box["z_max"], box["z_mid"]) == (0, 0, 0)
    assert (box["z_mid_x_min"], box["z_mid_x_max"]) == (3, 5)
    assert slice_case(image, truth, 70, case="ct", seed=7)[1].label_ids == {1: 70}


def test_a_volume_without_boxes_gives_slices_without(image, truth):
    """A case that opted out of boxes stays out when it is sliced."""
    cut, _ = slice_case(Image(image.imgs, SPACING, None), truth, 30, case="ct", seed=7)
    assert cut.boxes is None


@pytest.mark.parametrize(
    ("axis", "shape", "spacing"),
    [
        ("z", (1, 8, 12), (5.0, 0.5, 0.75)),
        ("y", (1, 6, 12), (0.5, 5.0, 0.75)),
        ("x", (1, 6, 8), (0.75, 5.0, 0.5)),
    ],
)
def test_shape_and_spacing_follow_the_axis(image, truth, axis, shape, spacing):
    """The axis that is cut across comes first, the other two keep their order."""
    cut, cut_truth = slice_case(image, truth, 30, case="ct", seed=7, axis=axis)
    assert cut.imgs.shape == cut_truth.gts.shape == shape
    assert cut.spacing_mm == cut_truth.spacing_mm == spacing


def test_a_slice_is_padded_to_a_square_around_its_centre(image, truth):
    """8 by 12 becomes 12 by 12 with two rows of zeros above and below, nothing else changed."""
    cut, cut_truth = slice_case(image, truth, 30, case="ct", seed=7, size=12)
    assert cut.imgs.shape == (1, 12, 12)
    assert (cut.imgs[0, 2:10] == image.imgs[3]).all()
    assert not cut.imgs[0, :2].any()
    assert not cut.imgs[0, 10:].any()
    assert (cut_truth.gts[0, 2:10] == (truth.gts[3] == 1)).all()
    assert cut.spacing_mm == SPACING


def test_a_larger_size_repeats_pixels_of_the_label_and_shrinks_the_spacing(image, truth):
    """At 24 each pixel of the padded label is 2 by 2, and half as large in mm."""
    cut, cut_truth = slice_case(image, truth, 30, case="ct", seed=7, size=24)
    padded = np.pad(truth.gts[3] == 1, [(2, 2), (0, 0)])
    assert (cut_truth.gts[0] == np.kron(padded, np.ones((2, 2)))).all()
    assert cut.spacing_mm == (5.0, 0.25, 0.375)


def test_the_image_is_resized_bilinearly(truth):
    """Pixels 0 and 200 at twice the size become 0, 50, 150 and 200: linear between centres."""
    imgs = np.zeros((1, 2, 2), np.uint8)
    imgs[0, :, 1] = 200
    cut, _ = slice_case(
        Image(imgs, SPACING, None), Truth(np.ones((1, 2, 2), np.uint8)), 1, case="c", seed=0, size=4
    )
    assert cut.imgs[0].tolist() == [[0, 50, 150, 200]] * 4


def test_colours_are_cut_and_resized_too(truth):
    """An RGB volume gives RGB slices."""
    imgs = np.zeros((6, 8, 12, 3), np.uint8)
    imgs[..., 1] = 90
    cut, _ = slice_case(Image(imgs, SPACING, None), truth, 30, case="c", seed=0, axis="x", size=16)
    assert cut.imgs.shape == (1, 16, 16, 3)
    assert cut.imgs[0, 8, 8].tolist() == [0, 90, 0]


def test_a_label_that_vanishes_is_refused(image, truth):
    """One voxel of twelve is gone at 3 by 3 pixels: the line says so."""
    with pytest.raises(CaseError, match="ct: label 70 vanishes at 3 by 3 pixels"):
        slice_case(image, truth, 70, case="ct", seed=7, size=3)


def test_a_label_that_is_not_there_is_refused(image, truth):
    """Asking for label 2 tells which there are."""
    with pytest.raises(CaseError, match=r"ct: has no label 2: choose among \[30, 70\]"):
        slice_case(image, truth, 2, case="ct", seed=7)


def test_a_case_without_ids_keeps_the_label_as_id(image, truth):
    """A slice of a ready-made case goes back to the label that it had there."""
    _, cut_truth = slice_case(image, Truth(truth.gts), 4, case="ct", seed=7)
    assert cut_truth.label_ids == {1: 4}


@pytest.mark.parametrize("axis", ["z", "y", "x"])
@pytest.mark.parametrize("size", [None, 12, 24, 36])
def test_an_answer_goes_back_in_place(image, truth, axis, size):
    """The slice's own truth, put back, is the label on that slice and nothing elsewhere."""
    _, cut_truth = slice_case(image, truth, 30, case="ct", seed=7, axis=axis, size=size)
    place = cut_truth.place
    expected = np.zeros(truth.gts.shape, np.uint8)
    where = [slice(None)] * 3
    where[place.axis] = place.index
    expected[tuple(where)] = truth.gts[tuple(where)] == 1
    assert (put_back(cut_truth.gts, place) == expected).all()


def test_a_place_survives_its_file(image, truth, tmp_path):
    """The truth file keeps where the slice was."""
    _, cut_truth = slice_case(image, truth, 70, case="ct", seed=7, axis="x")
    write_truth(tmp_path / "t.npz", cut_truth)
    read = read_truth(tmp_path / "t.npz")
    assert read.place == cut_truth.place == Place((6, 8, 12), 2, 11)
    assert read.label_ids == {1: 70}


def test_a_slice_answer_becomes_a_nifti_of_the_volume(pair):
    """Exported, the answer to a slice lies on that slice of the original grid with its id."""
    image, truth, _ = prepare_case(
        pair.image, pair.label, case="c", modality=None, window=None, box=True, seed=1
    )
    _, cut_truth = slice_case(image, truth, 3, case="c", seed=1, axis="x", size=20)
    back = answer_to_nifti(cut_truth.gts, cut_truth)
    expected = np.zeros_like(pair.label_data)
    expected[1] = np.where(pair.label_data[1] == 3, 3, 0)
    assert (np.asarray(back.dataobj) == expected).all()
    assert (back.affine == nibabel.load(pair.label).affine).all()
