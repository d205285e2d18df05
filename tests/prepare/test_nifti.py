import zipfile

import nibabel
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

from segarena.case import (
    Image,
    Truth,
    npy_bytes,
    read_image,
    read_truth,
    write_image,
    write_truth,
)
from segarena.errors import CaseError, ConfigError
from segarena.prepare.nifti import answer_to_nifti, check_case, find_cases, prepare_case


def prepared(pair, **options):
    chosen = {"case": "case", "modality": None, "window": None, "box": True, "seed": 1} | options
    return prepare_case(pair.image, pair.label, **chosen)


def refusal(pair):
    """Return the one line that both the check and the preparation end with."""
    with pytest.raises(CaseError) as raised:
        prepared(pair)
    line = str(raised.value)
    assert "\n" not in line
    assert check_case(pair.image, pair.label) == [line]
    return line


def touched(*paths):
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()


# Which files make a case


def test_pairs_of_one_name_are_cases_in_order_of_name(tmp_path):
    """Pairs are found by name whatever their ending, hidden and other files are passed over."""
    images, labels = tmp_path / "i", tmp_path / "l"
    touched(images / "b.nii.gz", labels / "b.nii", images / "a.x-1__2.npz", labels / "a.x-1__2.npz")
    touched(images / "._b.nii.gz", images / "README.md", labels / "b.json")
    assert find_cases(images, labels) == {
        "a.x-1__2": (images / "a.x-1__2.npz", labels / "a.x-1__2.npz"),
        "b": (images / "b.nii.gz", labels / "b.nii"),
    }
    assert list(find_cases(images, labels)) == ["a.x-1__2", "b"]


def test_capital_endings_are_endings(tmp_path, pair):
    """Endings are known in capitals too, as some systems write them."""
    image = pair.image.rename(pair.images / "Case.NII.GZ")
    label = pair.label.rename(pair.labels / "Case.nii.gz")
    assert find_cases(pair.images, pair.labels) == {"Case": (image, label)}
    assert check_case(image, label) == []


def test_all_bad_names_and_missing_partners_are_told_at_once(tmp_path):
    """Each file that cannot be paired has its own line, with the file and the reason."""
    images, labels = tmp_path / "i", tmp_path / "l"
    touched(images / "lonely.nii.gz", labels / "truth_only.nii", images / "with space.nii")
    touched(images / "two.nii", images / "two.nii.gz", labels / "two.nii")
    touched(images / "kinds.npz", labels / "kinds.nii.gz", images / "-flag.nii")
    with pytest.raises(ConfigError) as raised:
        find_cases(images, labels)
    lines = str(raised.value).splitlines()
    expected = [
        f"{images}/-flag.nii: rename it",
        f"{images}/two.nii.gz: two.nii is the same case",
        f"{images}/with space.nii: rename it",
        f"{labels}/kinds.nii.gz: its image is kinds.npz",
        f"{images}/lonely.nii.gz: no label map named lonely",
        f"{labels}/truth_only.nii: no image named truth_only",
    ]
    assert len(lines) == len(expected)
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True))


def test_an_empty_and_a_missing_folder_are_told(tmp_path):
    """A folder without cases and one that is none are told by their config keys."""
    (tmp_path / "i").mkdir()
    with pytest.raises(ConfigError) as raised:
        find_cases(tmp_path / "i", tmp_path / "l")
    endings = "*.nii.gz, *.nii, *.npz, *.png, *.jpg, *.jpeg"
    assert str(raised.value).splitlines() == [
        f"cases.images: {tmp_path}/i holds no case named {endings}",
        f"cases.labels: {tmp_path}/l is not a folder",
    ]


def test_pictures_pair_with_png_label_maps(tmp_path):
    """A JPEG or PNG image has a PNG of labels; a JPEG of labels is refused."""
    images, labels = tmp_path / "i", tmp_path / "l"
    touched(images / "a.jpg", labels / "a.png", images / "b.png", labels / "b.png")
    assert list(find_cases(images, labels)) == ["a", "b"]
    touched(images / "c.png", labels / "c.jpeg", images / "d.png", labels / "d.nii.gz")
    with pytest.raises(ConfigError) as raised:
        find_cases(images, labels)
    lossy, mixed = str(raised.value).splitlines()
    assert lossy.startswith(f"{labels}/c.jpeg: JPEG changes values")
    assert mixed.startswith(f"{labels}/d.nii.gz: its image is d.png")


# What a pair becomes


def test_arrays_are_the_files_axes_reversed(pair):
    """Voxel (x, y, z) of the file is [z, y, x], and spacing follows."""
    image, truth, warnings = prepared(pair, window="104.5/209")
    assert (image.imgs.shape, image.imgs.dtype) == ((5, 6, 7), np.uint8)
    assert truth.gts.shape == (5, 6, 7)
    assert image.imgs[4, 5, 6] == 255
    assert image.imgs[0, 0, 1] == int(30 / 209 * 255)
    assert image.spacing_mm == pytest.approx((3.0, 1.5, 1.5))
    assert warnings == []


def stored_spacing(image, path):
    write_image(path, image)
    with np.load(path, allow_pickle=True) as file:
        return file["spacing"].tolist()


def test_submissions_see_the_spacing_as_simpleitk_gives_it(pair, tmp_path):
    """The image file has (x, y, z), the truth (z, y, x), and both are the header's pixdim."""
    affine = np.diag([0.5, 0.75, 4.0, 1.0])
    pair.write_image(affine=affine)
    pair.write_label(affine=affine)
    image, truth, _ = prepared(pair)
    assert stored_spacing(image, tmp_path / "i.npz") == [0.5, 0.75, 4.0]
    assert nibabel.load(pair.image).header.get_zooms() == (0.5, 0.75, 4.0)
    write_truth(tmp_path / "t.npz", truth)
    assert read_truth(tmp_path / "t.npz").spacing_mm == (4.0, 0.75, 0.5)


def test_labels_become_sequential_and_their_ids_are_kept(pair):
    """Ids 3 and 9 become 1 and 2 in the smallest dtype; the truth knows what they were."""
    _, truth, _ = prepared(pair)
    assert truth.gts.dtype == np.uint8
    assert truth.label_ids == {1: 3, 2: 9}
    assert truth.gts[2, 4, 4] == 2
    assert np.count_nonzero(truth.gts == 1) == 18


def test_large_ids_are_kept(pair):
    """Ids beyond 16 bits, as in dense EM, are kept exactly."""
    pair.write_label(pair.label_data.astype(np.int32) * 45000)
    _, truth, _ = prepared(pair)
    assert truth.label_ids == {1: 135000, 2: 405000}
    assert truth.gts.max() == 2


def test_more_than_255_labels_take_two_bytes(pair):
    """The truth's dtype grows with the number of labels."""
    pair.write_label(np.arange(1, 211, dtype=np.int16).reshape(pair.label_data.shape) // 1)
    assert prepared(pair)[1].gts.dtype == np.uint8
    pair.write_image(np.zeros((20, 20, 1), np.int16))
    pair.write_label(np.arange(400, dtype=np.int16).reshape(20, 20, 1))
    assert prepared(pair)[1].gts.dtype == np.uint16


def test_boxes_are_left_out_where_the_sheet_says_so(pair):
    """A case without box has no boxes, one with box has one a label."""
    assert prepared(pair, box=False)[0].boxes is None
    assert len(prepared(pair)[0].boxes) == 2


def test_a_window_of_the_sheet_is_used_and_ct_is_the_abdomen(pair):
    """CT without a window goes through 40/400, a named window through that."""
    pair.write_image((pair.image_data * 5 - 500).astype(np.int16))
    hu = (pair.image_data * 5.0 - 500).T
    for options, low, width in (
        ({"modality": "CT"}, -160, 400),
        ({"modality": "CT", "window": "lung"}, -1200, 1400),
        ({"modality": "MR", "window": "0/100"}, -50, 100),
    ):
        expected = (np.clip((hu - low) / width, 0, 1) * 255).astype(np.uint8)
        assert (prepared(pair, **options)[0].imgs == expected).all()


def test_scaled_intensities_are_scaled_before_the_window(pair):
    """scl_slope and scl_inter turn stored numbers into HU."""
    pair.write_image(scl_slope=2.0, scl_inter=-100.0)
    image, _, _ = prepared(pair, window="0/400")
    assert image.imgs[0, 0, 0] == int(100 / 400 * 255)


def test_rgb_stays_as_a_last_axis(pair):
    """RGB24 voxels become (D, H, W, 3) uint8, unchanged."""
    colours = np.zeros(pair.image_data.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["R"][6, 5, 4], colours["B"][0, 1, 2] = 200, 50
    pair.write_image(colours)
    image, _, warnings = prepared(pair, modality="CT")
    assert image.imgs.shape == (5, 6, 7, 3)
    assert image.imgs[4, 5, 6].tolist() == [200, 0, 0]
    assert image.imgs[2, 1, 0].tolist() == [0, 0, 50]
    assert warnings == []


def test_rgb_tells_that_a_window_is_not_used(pair):
    """A window given for RGB is told as unused."""
    pair.write_image(np.zeros(pair.image_data.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")]))
    _, _, (warning,) = prepared(pair, window="lung")
    assert warning == f"{pair.image}: RGB is taken as it is, without the window lung"


def test_alpha_is_left_out_with_a_warning(pair):
    """RGBA becomes RGB and says so."""
    channels = [(name, "u1") for name in "RGBA"]
    pair.write_image(np.zeros(pair.image_data.shape, channels))
    image, _, (warning,) = prepared(pair)
    assert image.imgs.shape == (5, 6, 7, 3)
    assert "alpha channel is left out" in warning


@pytest.mark.parametrize("unit", [np.float32, np.float64, np.int64, np.uint16])
def test_exact_integers_are_labels_whatever_their_dtype(pair, unit):
    """Labels stored as floats are labels when every one is an integer."""
    pair.write_label(pair.label_data.astype(unit))
    _, truth, warnings = prepared(pair)
    assert truth.label_ids == {1: 3, 2: 9}
    assert warnings == []


def test_a_label_map_with_a_slope_is_scaled(pair):
    """A slope of 2 doubles the ids, as every reader does."""
    pair.write_label(scl_slope=2.0, scl_inter=0.0)
    assert prepared(pair)[1].label_ids == {1: 6, 2: 18}


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.int32])
def test_labels_that_a_slope_moved_off_the_integers_are_rounded(pair, dtype):
    """nibabel stores float labels as integers times a slope: 3.00004578 is 3, with a warning."""
    image = nibabel.Nifti1Image(pair.label_data.astype(np.float64), pair_affine(pair))
    image.set_data_dtype(dtype)
    nibabel.save(image, pair.label)
    assert nibabel.load(pair.label).dataobj.slope != 1
    _, truth, warnings = prepared(pair)
    assert truth.label_ids == {1: 3, 2: 9}
    assert np.count_nonzero(truth.gts == 1) == 18
    off = np.abs(nibabel.load(pair.label).get_fdata() - pair.label_data).max()
    expected = [f"{pair.label}: labels are up to {off:.2g} off the integers, by the header's"]
    assert [warning[: len(expected[0])] for warning in warnings] == (expected if off else [])


def test_a_slope_that_makes_fractions_is_named(pair):
    """A probability map stored as bytes times 1/255 is no label map, and the slope is told."""
    pair.write_label((pair.label_data * 20).astype(np.uint8), scl_slope=1 / 255, scl_inter=0.0)
    assert "scl_slope is 0.00392157: store labels as integers" in refusal(pair)


def test_a_fourth_axis_of_one_is_no_axis(pair):
    """(X, Y, Z, 1) is a volume, for the image, the label or both."""
    pair.write_image(pair.image_data[..., None])
    pair.write_label(pair.label_data[..., None, None])
    assert prepared(pair)[0].imgs.shape == (5, 6, 7)


def test_a_2d_file_is_one_slice(pair):
    """A NIfTI of two axes is a case with D = 1 whose third spacing is 1."""
    pair.write_image(pair.image_data[:, :, 0])
    pair.write_label(pair.label_data[:, :, 2])
    image, truth, _ = prepared(pair)
    assert image.imgs.shape == truth.gts.shape == (1, 6, 7)
    assert image.boxes[0]["z_mid"] == 0


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_big_endian_and_nifti_2_files_are_read(pair, suffix):
    """Byte order and NIfTI version do not matter."""
    pair.image = pair.images / f"other{suffix}"
    nibabel.save(nibabel.Nifti2Image(pair.image_data, pair_affine(pair)), pair.image)
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(">i4")
    label = nibabel.Nifti1Image(pair.label_data.astype(">i4"), pair_affine(pair), header)
    nibabel.save(label, pair.label)
    image, truth, _ = prepared(pair, window="104.5/209")
    assert image.imgs[4, 5, 6] == 255
    assert truth.label_ids == {1: 3, 2: 9}


def pair_affine(pair):
    return nibabel.load(pair.label).affine


def test_header_extensions_are_stepped_over(pair):
    """Data begin where vox_offset says, after any extensions."""
    image = nibabel.Nifti1Image(pair.image_data, pair_affine(pair))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 100))
    nibabel.save(image, pair.image)
    assert prepared(pair, window="104.5/209")[0].imgs[0, 0, 1] == int(30 / 209 * 255)


# What is odd but unambiguous: used, and told


def test_a_label_in_another_axis_order_is_turned(pair):
    """The same labels stored LPS, or with axes exchanged, give the same truth, and a warning."""
    expected = prepared(pair)[1]
    affine = pair_affine(pair)
    start = nibabel.io_orientation(affine)
    for codes in ("LPS", "SAR", "PIL"):
        turn = ornt_transform(start, axcodes2ornt(codes))
        data = apply_orientation(pair.label_data, turn)
        pair.write_label(data, affine @ inv_ornt_aff(turn, pair.label_data.shape))
        _, truth, (warning,) = prepared(pair)
        assert (truth.gts == expected.gts).all()
        assert truth.affine == pytest.approx(expected.affine)
        assert warning == f"{pair.label}: turned to the axis order of {pair.image}"


def test_a_shift_below_the_tolerance_is_accepted(pair):
    """A label 1e-4 mm away, a matter of rounding, is in the image's grid."""
    affine = pair_affine(pair)
    affine[0, 3] += 1e-4
    pair.write_label(affine=affine)
    assert prepared(pair)[2] == []


def test_both_codes_zero_is_a_warning(pair):
    """Without any form the spacing is pixdim's and the unknown position is told."""
    pair.write_image(sform_code=0, qform_code=0)
    pair.write_label(sform_code=0, qform_code=0)
    image, _, warnings = prepared(pair)
    assert image.spacing_mm == pytest.approx((3.0, 1.5, 1.5))
    assert warnings == [
        f"{path}: sform and qform codes are both 0: only the spacing is known"
        for path in (pair.image, pair.label)
    ]


def test_sform_and_qform_that_disagree_are_a_warning(pair):
    """The sform rules where the qform says something else, in image and label alike."""
    pair.write_image(qoffset_x=-25.0)
    pair.write_label(qoffset_x=-25.0)
    _, truth, warnings = prepared(pair)
    assert truth.affine[0, 3] == pytest.approx(-30)
    assert warnings == [
        f"{path}: sform and qform disagree: the sform is used" for path in (pair.image, pair.label)
    ]


def test_a_sheared_grid_is_a_warning(pair):
    """A gantry tilt is told, since distances ignore it; the affine keeps it."""
    sheared = pair_affine(pair)
    sheared[1, 2] = 0.96
    pair.write_image(affine=sheared, qform_code=0)
    pair.write_label(affine=sheared, qform_code=0)
    _, truth, warnings = prepared(pair)
    assert truth.affine == pytest.approx(sheared)
    assert sum("sheared axes" in warning for warning in warnings) == 2


def test_a_pixdim_that_is_not_the_affines_is_a_warning(pair):
    """Where pixdim and affine give two spacings the affine's is used, and both are told."""
    pair.write_image(pixdim=[1, 1, 1, 1, 0, 0, 0, 0], qform_code=0)
    image, _, (warning,) = prepared(pair)
    assert image.spacing_mm == pytest.approx((3.0, 1.5, 1.5))
    assert "pixdim 1, 1, 1 is not the spacing of the affine, 1.5, 1.5, 3" in warning


def test_a_negative_pixdim_is_a_warning(pair):
    """A spacing has no sign; a file that gives one is told."""
    pair.write_image(pixdim=[1, -1.5, 1.5, 3, 0, 0, 0, 0])
    image, _, (warning,) = prepared(pair)
    assert image.spacing_mm == pytest.approx((3.0, 1.5, 1.5))
    assert "negative pixdim" in warning


@pytest.mark.parametrize(("code", "mm"), [(1, 1000.0), (3, 0.001)])
def test_units_other_than_mm_are_turned_to_mm(pair, code, mm):
    """Metres and micrometres of the header become mm in spacing and affine, with a warning."""
    pair.write_image(xyzt_units=code)
    pair.write_label(xyzt_units=0)
    image, truth, (warning,) = prepared(pair)
    assert image.spacing_mm == pytest.approx((3.0 * mm, 1.5 * mm, 1.5 * mm))
    assert truth.affine[2, 3] == pytest.approx(100 * mm)
    assert f"its unit is {mm:g} mm" in warning


def test_the_same_place_in_two_units_is_the_same_place(pair):
    """An image in micrometres and a label in mm agree where their voxels do."""
    affine = pair_affine(pair)
    pair.write_image(affine=np.diag([1000.0, 1000, 1000, 1]) @ affine, xyzt_units=3)
    pair.write_label(affine=affine, xyzt_units=2)
    assert prepared(pair)[0].spacing_mm == pytest.approx((3.0, 1.5, 1.5))


def test_a_label_without_background_is_a_warning(pair):
    """A label map that fills the volume is used, and told."""
    pair.write_label(np.full(pair.label_data.shape, 4, np.uint8))
    _, truth, (warning,) = prepared(pair)
    assert truth.label_ids == {1: 4}
    assert (truth.gts == 1).all()
    assert "no background" in warning


def test_a_constant_image_is_a_warning(pair):
    """An image of one value shows nothing, which is told."""
    pair.write_image(np.full(pair.image_data.shape, 5, np.int16))
    _, _, (warning,) = prepared(pair)
    assert "every voxel has the same value" in warning


def test_air_without_a_modality_is_a_warning(pair):
    """Values around -1000 look like CT: the sheet should say so."""
    pair.write_image((pair.image_data * 10 - 1024).astype(np.int16))
    for modality in (None, "MR"):
        _, _, (warning,) = prepared(pair, modality=modality)
        assert "down to -1024" in warning
    assert prepared(pair, modality="CT")[2] == []
    assert prepared(pair, modality="MR", window="0/4000")[2] == []


@pytest.mark.parametrize(
    "modality", ["CTA", "cect", "CT angiography", "CT with contrast", "PET/CT"]
)
def test_a_modality_that_only_means_ct_is_a_warning(pair, modality):
    """Percentiles are used for all but CT, so a name that means CT gets a warning."""
    pair.write_image((pair.image_data * 10 - 1024).astype(np.int16))
    _, _, (warning,) = prepared(pair, modality=modality)
    assert f"{modality!r} is not taken as CT" in warning
    assert prepared(pair, modality=modality, window="40/400")[2] == []


@pytest.mark.parametrize("modality", ["OCT", "SPECT", "MR", "ECT"])
def test_a_modality_that_ends_like_ct_is_none(pair, modality):
    """Optical coherence tomography is no CT."""
    assert prepared(pair, modality=modality)[2] == []


@pytest.mark.parametrize("option", [{"modality": "CT"}, {"window": "lung"}])
@pytest.mark.parametrize(
    ("offset", "message"), [(1024, "near air"), (400, "near air"), (-1024, "soft tissue")]
)
def test_ct_that_is_surely_not_in_hu_is_a_warning(pair, option, offset, message):
    """A constant offset leaves no air, or no soft tissue, where CT has them."""
    hu = np.full(pair.image_data.shape, 50, np.int16)
    hu[:3] = -1000
    pair.write_image((hu + offset).astype(np.int16))
    assert any(message in warning and "HU" in warning for warning in prepared(pair, **option)[2])
    pair.write_image(hu)
    assert prepared(pair, **option)[2] == []


def test_an_image_that_becomes_nearly_one_value_is_a_warning(pair):
    """A few bright voxels on a camera's offset, or a window beside the values, are told."""
    pair.write_label(np.ones((20, 20, 2), np.uint8) * (np.arange(20) < 9)[:, None, None])
    dots = np.full((20, 20, 2), 100, np.uint16)
    dots[3, 3, 0] = 4000
    pair.write_image(dots)
    assert any("become 0, so little" in warning for warning in prepared(pair)[2])
    assert any("become 255, so little" in warning for warning in prepared(pair, window="40/100")[2])
    pair.write_image(dots - 100)
    assert prepared(pair)[2] == []


@pytest.mark.parametrize("shape", [(1, 40, 30), (40, 1, 30)])
def test_a_slice_across_the_first_or_second_axis_is_a_warning(pair, shape):
    """A single sagittal or coronal slice is played as lines, which is told."""
    pair.write_image(np.arange(1200, dtype=np.int16).reshape(shape))
    pair.write_label((np.arange(1200) % 3 == 0).astype(np.uint8).reshape(shape))
    _, _, (warning,) = prepared(pair)
    assert "every slice is a line" in warning


def test_pictures_of_one_slice_are_no_lines(pair):
    """A 2D NIfTI is one slice, and so is an axial slice of one row."""
    pair.write_image(pair.image_data[:, :, :1])
    pair.write_label(pair.label_data[:, :, 2:3])
    assert prepared(pair)[2] == []


# What is refused


def test_a_shape_that_differs_is_refused(pair):
    """A label one slice short names both shapes."""
    pair.write_label(pair.label_data[:, :, :4])
    assert refusal(pair) == (
        f"{pair.label}: its shape (7, 6, 4) is not the image's, (7, 6, 5) (x, y, z)"
    )


def test_a_transposed_label_with_the_images_affine_is_refused(pair):
    """Exchanged axes that the affine does not tell are a mismatch, not an axis order."""
    pair.write_label(np.ascontiguousarray(pair.label_data.transpose(1, 0, 2)))
    assert "is not the image's" in refusal(pair)


@pytest.mark.parametrize("change", ["shift", "spacing", "rotation"])
def test_an_affine_that_differs_is_refused_with_the_distance(pair, change):
    """5 mm, 2 per cent or some degrees away is another grid; distance and tolerance are told."""
    affine = pair_affine(pair)
    if change == "shift":
        affine[2, 3] += 5
    elif change == "spacing":
        affine[:3, :3] *= 1.02
    else:
        angle = np.deg2rad(3)
        turn = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        affine[:3, :3] = turn @ affine[:3, :3]
    pair.write_label(affine=affine)
    line = refusal(pair)
    assert line.startswith(f"{pair.label}: its affine puts a corner ")
    assert "0.01 of a voxel is tolerated" in line
    if change == "shift":
        assert "a corner 5 mm from" in line


def test_codes_zero_in_one_of_the_two_are_refused(pair):
    """Without a form in one file nobody knows whether the two lie in the same place."""
    pair.write_image(sform_code=0, qform_code=0)
    assert refusal(pair).endswith("(only one of the two has a form code)")


@pytest.mark.parametrize("factor", [0.999, 0.5])
def test_fractions_are_no_labels(pair, factor):
    """Labels between integers come from resampling; the line says so."""
    pair.write_label(pair.label_data.astype(np.float32) * np.float32(factor))
    assert refusal(pair).startswith(f"{pair.label}: labels are not integers")


def test_negative_labels_are_refused(pair):
    """A negative label is told with the lowest one."""
    pair.write_label(pair.label_data.astype(np.int16) - 2)
    assert refusal(pair) == f"{pair.label}: negative labels (down to -2): 0 is background"


def test_an_empty_label_map_is_refused(pair):
    """A label map of zeros has nothing to segment; the line says when it can be used."""
    pair.write_label(np.zeros(pair.label_data.shape, np.uint8))
    assert refusal(pair) == (
        f"{pair.label}: the label map is empty; a case without foreground can be used where a"
        " metric of the protocol says what it counts (`empty`, docs/protocols.md)"
    )


@pytest.mark.parametrize(("value", "ids"), [(0, [2, 5]), (255, [2, 5, 255])])
def test_a_case_without_foreground_has_the_labels_that_it_could_have(pair, value, ids):
    """Empty, or the ignored label alone: numbered as usual, without voxels and without boxes."""
    labels = np.zeros(pair.label_data.shape, np.uint8)
    labels[0, 0, 0] = value
    pair.write_label(labels)
    image, truth, warnings = prepared(pair, expected=[2, 5], ignored=[255])
    assert image.boxes is None
    assert truth.ids == dict(enumerate(ids, start=1))
    assert truth.labels == list(truth.ids)
    assert np.count_nonzero(truth.gts) == (value > 0)
    assert "it is asked for the labels of the sheet (2, 5)" in warnings[-1]
    with pytest.raises(CaseError, match=r"nothing says which labels it could have"):
        prepared(pair, expected=[], ignored=[255])


def test_an_ignored_label_does_not_make_a_case_without_foreground(pair):
    """Label 3 is there beside the ignored 9, so the case is asked for what it has."""
    image, truth, warnings = prepared(pair, expected=[2, 5], ignored=[9])
    assert truth.ids == {1: 3, 2: 9}
    assert len(image.boxes) == 2
    assert warnings == []


def test_a_ready_made_case_without_foreground(ready):
    """Its labels keep their ids; empty boxes are no boxes."""
    ready.write(gts=np.zeros((3, 4, 5), np.uint8), boxes=[])
    image, truth, warnings = prepared(ready, expected=[2, 5])
    assert image.boxes is None
    assert truth.ids == {2: 2, 5: 5}
    assert len(warnings) == 1


def test_ids_that_floats_cannot_tell_apart_are_refused(pair):
    """An id above 2^53 is no id."""
    pair.write_label(pair.label_data.astype(np.float64) * 1e17)
    assert "is too large" in refusal(pair)


def test_more_labels_than_sixteen_bits_hold_are_refused_with_their_number(pair):
    """90 000 labels are counted before any container starts; 65 535 can be used."""
    many = np.arange(300 * 300, dtype=np.int32).reshape(300, 300, 1)
    pair.write_image(many)
    pair.write_label(many)
    assert refusal(pair) == f"{pair.label}: 89999 labels, at most 65535 can be used"
    pair.write_label(many % 65536)
    assert len(prepared(pair, box=False)[1].label_ids) == 65535


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", ["image", "label"])
def test_voxels_that_are_no_numbers_are_refused(pair, which, value):
    """NaN and infinite voxels are counted and told, in image and label."""
    data = pair.image_data.astype(np.float32)
    data[0, 0, :2] = value
    (pair.write_image if which == "image" else pair.write_label)(data)
    counts = "2 NaN and 0 infinite" if np.isnan(value) else "0 NaN and 2 infinite"
    assert refusal(pair).startswith(f"{getattr(pair, which)}: {counts} voxels")


def test_a_colour_label_map_is_refused(pair):
    """RGB is a picture of labels, not a label map."""
    pair.write_label(np.zeros(pair.label_data.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")]))
    assert refusal(pair).startswith(f"{pair.label}: colours or other values")


def test_one_file_as_image_and_label_is_refused(pair):
    """The same file on both sides is a mistake in the folders."""
    pair.label = pair.image
    assert "is given as image and as label map" in refusal(pair)


def test_a_file_of_another_type_is_refused(pair):
    """A file that is named otherwise is told to be no NIfTI file."""
    pair.image = pair.images / "case.mha"
    pair.image.write_bytes(b"ObjectType = Image")
    assert refusal(pair).startswith(f"{pair.image}: not a NIfTI file")


def test_both_files_of_a_bad_pair_are_told(pair):
    """The check tells what is wrong with the image and with the label, not the first alone."""
    pair.write_image(pair.image_data.astype(np.complex64))
    pair.write_label(np.zeros(pair.label_data.shape, np.uint8))
    image_problem, label_problem = check_case(pair.image, pair.label)
    assert image_problem.startswith(f"{pair.image}: complex")
    assert label_problem.startswith(f"{pair.label}: the label map is empty")


def test_a_good_pair_has_no_problem(pair):
    """Nothing is said about a pair that can be used."""
    assert check_case(pair.image, pair.label) == []


# Ready-made cases


@pytest.fixture
def ready(tmp_path):
    class Ready:
        image, label = tmp_path / "image.npz", tmp_path / "truth.npz"
        imgs = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
        gts = np.zeros((3, 4, 5), np.uint16)

        def write(self, imgs=None, gts=None, boxes=None):
            imgs = self.imgs if imgs is None else imgs
            write_image(self.image, Image(imgs, (5.0, 0.75, 0.5), boxes))
            write_truth(self.label, Truth(self.gts if gts is None else gts))

    case = Ready()
    case.gts[1, 2, 3], case.gts[2, 2, 2] = 2, 700
    case.write()
    return case


def test_a_set_named_as_in_nnunet_is_told_in_one_line(tmp_path):
    """Images with nnU-Net's channel _0000 beside labels without get one line, not two a case."""
    images, labels = tmp_path / "i", tmp_path / "l"
    for case in ("la_003", "la_004", "la_005"):
        touched(images / f"{case}_0000.nii.gz", labels / f"{case}.nii.gz")
    with pytest.raises(ConfigError) as raised:
        find_cases(images, labels)
    (line,) = str(raised.value).splitlines()
    assert "3 images are named as in nnU-Net, with _0000 for the channel" in line
    assert "rename la_003_0000 to la_003 and so on" in line
    touched(images / "la_003_0001.nii.gz", images / "other.nii.gz", labels / "other.nii.gz")
    with pytest.raises(ConfigError, match=r"4 images are .*choose one channel$"):
        find_cases(images, labels)


def test_a_name_that_ends_in_0000_on_both_sides_is_a_name(tmp_path):
    """Where the label maps have the number too, nothing has to be renamed."""
    images, labels = tmp_path / "i", tmp_path / "l"
    touched(images / "a_0000.nii.gz", labels / "a_0000.nii.gz")
    assert list(find_cases(images, labels)) == ["a_0000"]


@pytest.mark.parametrize("folder", ["images", "labels"])
@pytest.mark.parametrize("suffix", ["nii.gz", "nii", "npz", "png"])
def test_a_clone_without_git_lfs_is_told_in_one_line(tmp_path, folder, suffix):
    """Where most files of a folder are pointers, one line says so and what to do."""
    files = {"images": tmp_path / "images", "labels": tmp_path / "labels"}
    for case in "abc":
        touched(files["images"] / f"{case}.{suffix}", files["labels"] / f"{case}.{suffix}")
        pointer = files[folder] / f"{case}.{suffix}"
        pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(ConfigError) as raised:
        find_cases(files["images"], files["labels"])
    assert str(raised.value) == (
        f"cases.{folder}: 3 of 3 files, such as {files[folder]}/a.{suffix}:"
        " a git-lfs pointer, not the data: run `git lfs pull`"
    )


def test_one_pointer_among_good_files_is_its_own_cases_problem(pair):
    """One bad file stops its case, not the run."""
    pointer = pair.images / "a.nii.gz"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\n")
    for name in "ab":
        (pair.labels / f"{name}.nii.gz").write_bytes(pair.label.read_bytes())
    (pair.images / "b.nii.gz").write_bytes(pair.image.read_bytes())
    assert list(find_cases(pair.images, pair.labels)) == ["a", "b", "case"]
    (line,) = check_case(pointer, pair.label)
    assert line.endswith("run `git lfs pull`")


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        ("1.dcm", bytes(128) + b"DICM", "1.dcm is DICOM: convert the series to NIfTI"),
        ("IM0001", bytes(128) + b"DICM", "IM0001 is DICOM: convert the series to NIfTI"),
        ("all.zip", b"PK\x03\x04" + bytes(99), "all.zip is a zip archive: unpack it"),
        ("c.mha", b"ObjectType = Image", "c.mha is MetaImage (.mha): convert it to NIfTI"),
        ("c.hdr", b"\x5c\x01" + bytes(346), "c.hdr is of another type"),
        ("case1/ct.nii.gz", b"", "not in folders such as case1"),
    ],
)
def test_a_folder_of_other_files_is_told_what_to_do(tmp_path, name, content, advice):
    """A folder without any case says what its first file is."""
    (tmp_path / "i" / name).parent.mkdir(parents=True)
    (tmp_path / "i" / name).write_bytes(content)
    touched(tmp_path / "l" / "c.nii.gz")
    with pytest.raises(ConfigError, match="holds no case named") as raised:
        find_cases(tmp_path / "i", tmp_path / "l")
    assert advice in str(raised.value)


A_BOX = {
    "z_min": 1,
    "z_max": 1,
    "z_mid": 1,
    "z_mid_x_min": 3,
    "z_mid_y_min": 2,
    "z_mid_x_max": 3,
    "z_mid_y_max": 2,
}
ANOTHER_BOX = A_BOX | {"z_min": 2, "z_mid": 2, "z_max": 2, "z_mid_x_min": 1}


def test_a_ready_made_case_is_taken_as_it_is(ready):
    """Image, spacing, boxes and label ids with their gaps come through unchanged."""
    ready.write(boxes=[A_BOX, ANOTHER_BOX])
    image, truth, warnings = prepared(ready)
    assert (image.imgs == ready.imgs).all()
    assert image.spacing_mm == (5.0, 0.75, 0.5)
    assert image.boxes == [A_BOX, ANOTHER_BOX]
    assert (truth.gts == ready.gts).all()
    assert truth.label_ids is None
    assert warnings == []


@pytest.mark.parametrize(("order", "mm"), [("zyx", (5.0, 0.75, 0.5)), ("xyz", (0.5, 0.75, 5.0))])
def test_a_ready_made_spacing_is_handed_on_and_read_as_the_config_says(ready, tmp_path, order, mm):
    """Submissions see the file's numbers; the scores' (z, y, x) is as `npz_spacing` reads them."""
    image, truth, _ = prepared(ready, npz_spacing=order)
    assert stored_spacing(image, tmp_path / "i.npz") == [5.0, 0.75, 0.5]
    assert truth.spacing_mm == image.spacing_mm == mm
    assert np.diag(truth.affine).tolist() == [*mm[::-1], 1.0]


@pytest.mark.parametrize(
    ("stored", "order", "is_odd"),
    [
        ((0.7, 0.7, 5.0), "zyx", True),
        ((5.0, 0.7, 0.7), "xyz", True),
        ((5.0, 0.7, 0.7), "zyx", False),
        ((0.7, 0.7, 5.0), "xyz", False),
        ((1.0, 1.0, 1.0), "zyx", False),
        ((0.7, 5.0, 0.7), "zyx", False),
    ],
)
def test_a_ready_made_spacing_that_looks_swapped_is_a_warning(ready, stored, order, is_odd):
    """Two equal spacings are those within a slice, so the third one should be z."""
    imgs = np.zeros((3, 4, 5), np.uint8)
    write_image(ready.image, Image(imgs, stored, None))
    warnings = prepared(ready, npz_spacing=order)[2]
    expected = f"is read as ({', '.join(order)}), but looks like ({', '.join(order[::-1])})"
    assert [expected in warning for warning in warnings] == [True] * is_odd


def test_a_ready_made_case_without_boxes_gets_none(ready):
    """No boxes are made for a ready-made case, and the sheet can take its own away."""
    assert prepared(ready)[0].boxes is None
    ready.write(boxes=[A_BOX, ANOTHER_BOX])
    assert prepared(ready, box=False)[0].boxes is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"z_max": 3}, "z_min 1 and z_max 3 are outside 0 to 2"),
        ({"z_mid_x_max": 5}, "z_mid_x_min 3 and z_mid_x_max 5 are outside 0 to 4"),
        ({"z_mid_y_min": -1}, "z_mid_y_min -1 and z_mid_y_max 2 are outside 0 to 3"),
        ({"z_mid_x_min": 4}, "z_mid_x_min 4 is above z_mid_x_max 3"),
        ({"z_min": 2}, "z_min 2 is above z_max 1"),
        ({"z_mid": 99}, "z_mid 99 is not from z_min 1 to z_max 1"),
    ],
)
def test_a_box_that_cannot_be_one_is_refused(ready, change, reason):
    """A box outside of the image, upside down or beside its own slices is told with the label."""
    ready.write(boxes=[A_BOX | change, ANOTHER_BOX])
    assert refusal(ready) == f"{ready.image}: boxes: the box of label 2: {reason}"


@pytest.mark.parametrize("value", [1.5, float("nan"), float("inf"), "1", None, [1]])
def test_a_side_that_is_no_integer_is_refused(ready, value):
    """Sides are whole numbers; 1.0 is one."""
    ready.write(boxes=[A_BOX | {"z_mid": value}, ANOTHER_BOX])
    assert "boxes: a box needs the integers z_min, " in refusal(ready)
    ready.write(boxes=[A_BOX | {"z_mid": 1.0}, ANOTHER_BOX])
    assert prepared(ready)[0].boxes == [A_BOX, ANOTHER_BOX]


def test_a_box_without_one_of_its_keys_is_refused(ready):
    """A box of other keys names those that it needs."""
    ready.write(boxes=[{"x_min": 1, "x_max": 2}, ANOTHER_BOX])
    assert refusal(ready).endswith("(KeyError: 'z_min')")


def test_boxes_in_another_order_are_a_warning(ready):
    """A box that holds no voxel of its label is probably another label's."""
    ready.write(boxes=[ANOTHER_BOX, A_BOX])
    warnings = prepared(ready)[2]
    assert [
        f"the box of label {label} holds no voxel of it" in w
        for label, w in zip((2, 700), warnings, strict=True)
    ] == [True, True]


def test_a_ready_made_truth_takes_the_smallest_dtype(ready):
    """A truth in int64 comes through in the smallest unsigned dtype."""
    ready.write(gts=(ready.gts > 0).astype(np.int64))
    assert prepared(ready)[1].gts.dtype == np.uint8


def test_a_ready_made_case_tells_that_a_window_is_not_used(ready):
    """Ready-made intensities are uint8 already."""
    _, _, (warning,) = prepared(ready, window="lung")
    assert "without the window lung" in warning


def test_ready_made_rgb_is_taken(ready):
    """Three channels may stand in a last axis."""
    ready.write(imgs=np.zeros((3, 4, 5, 3), np.uint8))
    assert prepared(ready)[0].imgs.shape == (3, 4, 5, 3)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"imgs": np.zeros((3, 4, 5), np.float32)}, "image.npz: imgs is float32"),
        ({"imgs": np.zeros((3, 4), np.uint8)}, "image.npz: imgs is uint8 (3, 4)"),
        ({"imgs": np.full((4, 5), np.nan), "gts": np.eye(4, 5)}, "image.npz: 20 NaN"),
        ({"gts": np.ones((3, 4, 6), np.uint8)}, "truth.npz: gts is (3, 4, 6), but imgs is"),
        ({"gts": np.zeros((3, 4, 5), np.uint8)}, "truth.npz: the label map is empty"),
        ({"gts": np.full((3, 4, 5), -1)}, "truth.npz: negative labels"),
        ({"gts": np.full((3, 4, 5), 0.5)}, "truth.npz: labels are not integers"),
        ({"boxes": [A_BOX]}, "image.npz: 1 boxes for 2 labels"),
        ({"boxes": [A_BOX] * 3}, "image.npz: 3 boxes for 2 labels"),
        ({"gts": np.full((3, 4, 5), np.inf)}, "truth.npz: 0 NaN and 60 infinite voxels"),
        ({"gts": np.full((3, 4, 5), -np.inf, np.float16)}, "truth.npz: 0 NaN and 60 infinite"),
        ({"gts": np.full((4, 5), np.nan), "imgs": np.eye(4, 5)}, "truth.npz: 20 NaN and 0 inf"),
        ({"gts": np.full((3, 4, 5), 70000, np.uint32)}, "truth.npz: label id 70000: a ready-made"),
        ({"gts": np.full((3, 4, 5), 65536.0)}, "truth.npz: label id 65536: a ready-made case"),
        ({"gts": np.full((3, 4, 5), 1 + 1j)}, "it holds complex128, expected numbers"),
    ],
)
def test_a_ready_made_case_that_is_none_is_refused(ready, change, reason):
    """A ready-made case is checked before it is taken."""
    ready.write(**change)
    assert reason in refusal(ready)


@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_ready_made_2d_case_is_one_slice(ready, channels):
    """Images (H, W) or (H, W, 3) with labels (H, W) get D = 1; uint8 stays as it is."""
    imgs = np.arange(20 * (3 if channels else 1), dtype=np.uint8).reshape(4, 5, *channels)
    ready.write(imgs=imgs, gts=ready.gts[1])
    image, truth, warnings = prepared(ready)
    assert (image.imgs == imgs[None]).all()
    assert (truth.gts == ready.gts[1:2]).all()
    assert warnings == []


def test_a_2d_case_in_other_numbers_goes_by_window_or_percentiles(ready):
    """A 2D image that is not uint8 yet is turned to it like any other image."""
    imgs = np.linspace(0, 1, 20, dtype=np.float32).reshape(4, 5)
    ready.write(imgs=imgs, gts=ready.gts[1])
    image, _, warnings = prepared(ready, window="0.5/1")
    assert (image.imgs == (imgs.astype(np.float64) * 255).astype(np.uint8)).all()
    assert warnings == []
    assert prepared(ready)[0].imgs.max() == 255


def test_a_ready_made_file_that_is_no_npz_is_refused(ready):
    """A file that only has the name is told."""
    ready.image.write_bytes(b"no zip")
    assert refusal(ready).startswith(f"{ready.image}: not a readable .npz file")


def test_a_missing_key_is_told_with_those_that_there_are(ready):
    """A truth under another key says which keys the file has."""
    np.savez(ready.label, labels=ready.gts, spacing=np.ones(3))
    assert refusal(ready) == f"{ready.label}: key 'gts' is missing, it holds labels, spacing"


HEADERS = {
    "no end": b"{'descr': '|u1', 'fortran_order': False, 'shape': (3, 4, 5)",
    "no closing bracket": b"{'descr': '|u1', 'fortran_order': False, 'shape': (3, 4, ",
    "no such dtype": b"{'descr': 'uu9', 'fortran_order': False, 'shape': (3, 4, 5), }",
    "not a dict": b"[1, 2, 3]",
    "deep brackets": b"(" * 9000,
    "negative": b"{'descr': '|u1', 'fortran_order': False, 'shape': (-3, 4, 5), }",
    "other keys": b"{'descr': '|u1', 'order': False, 'shape': (3, 4, 5), }",
    "text for a shape": b"{'descr': '|u1', 'fortran_order': False, 'shape': 'abc', }",
    "a huge number": b"{'descr': '|u1', 'fortran_order': False, 'shape': (9"
    + b"9" * 5000
    + b",), }",
    "not UTF-8": b"{'descr': '\xff\xfe', 'fortran_order': False}",
    "an indent": b"  {\n 'descr': 1\n   'x'",
    "a nul": b"{'descr': '|u1'\0, 'fortran_order': False, 'shape': (3, 4, 5), }",
    "a pickle": b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize(
    ("which", "key"), [("image", "imgs"), ("image", "spacing"), ("label", "gts")]
)
def test_a_damaged_array_header_is_told_in_one_line(ready, header, which, key):
    """numpy parses a header as Python; whatever is wrong with it ends in the file and the key."""
    path = getattr(ready, which)
    with np.load(path) as arrays:
        contents = {name: npy_bytes(arrays[name]) for name in arrays.files}
    contents[key] = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(60)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(f"{name}.npy", content)
    assert refusal(ready).startswith(f"{path}: key {key!r} cannot be read (")


# Back to NIfTI


def saved_and_loaded(answer, folder):
    nibabel.save(answer, folder / "answer.nii.gz")
    return nibabel.load(folder / "answer.nii.gz")


def written_and_read(pair):
    """Return case and truth as the later stages get them: from their files."""
    image, truth, _ = prepared(pair)
    write_image(pair.images / "x.npz", image)
    write_truth(pair.labels / "x.npz", truth)
    return read_image(pair.images / "x.npz"), read_truth(pair.labels / "x.npz")


@pytest.mark.parametrize("kind", ["oblique", "PSR", "sheared", "big-endian", "4D", "2D", "codes 0"])
def test_an_answer_goes_back_to_the_original_file(pair, tmp_path, kind):
    """The truth as an answer gives back the label file: voxels, ids, affine, both forms, units."""
    header = {"xyzt_units": 2}
    if kind == "PSR":
        turn = ornt_transform(nibabel.io_orientation(pair_affine(pair)), axcodes2ornt("PSR"))
        affine = pair_affine(pair) @ inv_ornt_aff(turn, pair.label_data.shape)
        pair.image_data = apply_orientation(pair.image_data, turn)
        pair.label_data = apply_orientation(pair.label_data, turn)
    else:
        affine = pair_affine(pair)
    if kind == "sheared":
        affine[1, 2], header["qform_code"] = 0.96, 0
    if kind == "4D":
        pair.image_data, pair.label_data = pair.image_data[..., None], pair.label_data[..., None]
    if kind == "2D":
        pair.image_data, pair.label_data = pair.image_data[..., 2], pair.label_data[..., 2]
    if kind == "codes 0":
        header |= {"qform_code": 0, "sform_code": 0}
    pair.write_image(affine=affine, **header)
    pair.write_label(affine=affine, **header)
    if kind == "big-endian":
        swapped = nibabel.load(pair.image).header.as_byteswapped(">")
        nibabel.save(nibabel.Nifti1Image(pair.image_data, None, swapped), pair.image)
    _, truth = written_and_read(pair)
    back = saved_and_loaded(answer_to_nifti(truth.gts, truth), tmp_path)
    original = nibabel.load(pair.label)
    assert (np.asarray(back.dataobj) == np.asarray(original.dataobj)).all()
    assert back.shape == original.shape
    assert (back.affine == original.affine).all()
    for key in ("sform_code", "qform_code", "pixdim", "xyzt_units"):
        assert (back.header[key] == original.header[key]).all()


def test_free_texts_of_the_header_are_not_kept(pair, tmp_path):
    """What a scanner wrote into the header, a name perhaps, does not reach the truth."""
    pair.write_image(descrip=b"Doe^John", db_name=b"P0001")
    _, truth = written_and_read(pair)
    assert b"Doe" not in truth.nifti_header
    assert b"P0001" not in truth.nifti_header


def test_an_answer_begins_right_after_its_header(pair, tmp_path):
    """Extensions of the image are not carried over, nor the room that they took."""
    image = nibabel.Nifti1Image(pair.image_data, pair_affine(pair))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 100))
    nibabel.save(image, pair.image)
    _, truth = written_and_read(pair)
    nibabel.save(answer_to_nifti(truth.gts, truth), tmp_path / "answer.nii")
    assert (tmp_path / "answer.nii").stat().st_size == 352 + pair.label_data.size


def test_an_answers_unknown_label_becomes_background(pair):
    """A label that the truth has not has no id to go back to."""
    _, truth, _ = prepared(pair)
    answer = np.full(truth.gts.shape, 7, np.uint8)
    answer[0, 0, 0] = 2
    back = np.asarray(answer_to_nifti(answer, truth).dataobj)
    assert back[0, 0, 0] == 9
    assert back.sum() == 9


def test_an_answer_of_another_shape_is_refused(pair):
    """An answer of another case has no grid here."""
    _, truth, _ = prepared(pair)
    with pytest.raises(CaseError, match="the answer has the shape"):
        answer_to_nifti(truth.gts[1:], truth)


def test_an_answer_to_a_ready_made_case_keeps_the_spacing(ready, tmp_path):
    """Where no file had an affine, the answer still has spacing and the truth's labels."""
    _, truth, _ = prepared(ready)
    back = saved_and_loaded(answer_to_nifti(truth.gts, truth), tmp_path)
    assert back.header.get_zooms() == (0.5, 0.75, 5.0)
    assert (np.asarray(back.dataobj) == ready.gts.T).all()
