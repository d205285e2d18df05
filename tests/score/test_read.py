"""Tests of what `score` reads: files of every kind, arrays, and what is wrong with them."""

import warnings
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from segarena.case import Truth, write_answer, write_npz, write_truth
from segarena.errors import CaseError, ConfigError
from segarena.score import score

HD = [{"name": "HD"}]


def cubes(dtype=np.uint8):
    """Return two label maps (x, y, z): a cube of 4 voxels a side, moved by one along x."""
    maps = np.zeros((2, 10, 9, 8), dtype)
    maps[0, 2:6, 2:6, 2:6] = maps[1, 3:7, 2:6, 2:6] = 1
    return maps


@pytest.fixture
def saved(tmp_path: Path):
    """Save two maps (x, y, z) as NIfTI, changed by a function of the image; return the paths."""

    def save(maps, affine, change=lambda image: image):
        paths = tmp_path / "truth.nii.gz", tmp_path / "answer.nii.gz"
        for path, labels in zip(paths, maps, strict=True):
            nibabel.save(change(nibabel.Nifti1Image(labels, affine)), path)
        return paths

    return save


@pytest.mark.parametrize(
    ("unit", "in_mm"), [("micron", 0.001), ("meter", 1000), ("mm", 1), ("unknown", 1)]
)
def test_the_unit_of_the_files_counts(saved, unit, in_mm):
    """Voxels of 2 units: the cubes are 2 units apart, in mm."""

    def change(image):
        image.header.set_xyzt_units(unit)
        return image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = score(*saved(cubes(), np.diag([2, 1, 1, 1]), change), metrics=HD)
    assert table["value"].tolist() == [pytest.approx(2 * in_mm)]


@pytest.mark.parametrize("voxel_mm", [1e-4, 1, 100])
def test_grids_are_compared_in_voxels(saved, tmp_path, voxel_mm):
    """An answer half a voxel away is refused at any scale; a hundredth of a percent is not."""
    maps = cubes()
    truth, answer = saved(maps, np.diag([voxel_mm] * 3 + [1]))
    for shift, fits in ((0.5, False), (1e-4, True)):
        affine = np.diag([voxel_mm] * 3 + [1.0])
        affine[0, 3] = shift * voxel_mm
        nibabel.save(nibabel.Nifti1Image(maps[1], affine), answer)
        if fits:
            assert score(truth, answer, metrics=HD)["value"].tolist() == [pytest.approx(voxel_mm)]
        else:
            with pytest.raises(CaseError, match=r"answer\.nii\.gz: not in the space of .*truth"):
                score(truth, answer, metrics=HD)


def test_an_answer_stored_in_another_axis_order_is_turned(saved):
    """The same cube with x reversed and axes exchanged, and the affine that says so: a DSC of 1."""
    truth, _ = cubes()
    paths = saved((truth, truth), np.diag([1, 2, 3, 1]))
    image = nibabel.load(paths[0]).as_reoriented([[1, -1], [0, 1], [2, 1]])
    nibabel.save(image, paths[1])
    with pytest.warns(UserWarning, match=r"answer\.nii\.gz: turned to the axis order"):
        table = score(*paths, metrics=[{"name": "DSC"}])
    assert table["value"].tolist() == [1]


def damaged_crc(path):
    content = bytearray(path.read_bytes())
    content[-8] ^= 0xFF
    path.write_bytes(content)


def damaged_stream(path):
    content = bytearray(path.read_bytes())
    content[30:50] = bytes(20)
    path.write_bytes(content)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-20])


def of_shape(shape, dtype=np.uint8):
    def change(path):
        nibabel.save(nibabel.Nifti1Image(np.zeros(shape, dtype), np.eye(4)), path)

    return change


@pytest.mark.parametrize("side", [0, 1], ids=["truth", "answer"])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (damaged_crc, "CRC"),
        (damaged_stream, "damaged"),
        (truncated, "truncated"),
        (of_shape((10, 9, 8, 2)), "4D"),
        (of_shape((10, 9, 8), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "colours"),
        (of_shape((10, 9, 8), np.complex64), "complex"),
        (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "git-lfs"),
        (lambda path: path.write_bytes(b""), "is empty|truncated|cut off|too early|not a"),
        (Path.unlink, "cannot be read|no such file|No such file"),
    ],
)
def test_a_file_that_is_no_label_map_is_one_line(saved, side, change, reason):
    """Whatever is wrong with a file, the message is one line that names it and the reason."""
    paths = saved(cubes(), np.eye(4))
    change(paths[side])
    with pytest.raises(CaseError, match=reason) as error:
        score(*paths)
    assert str(error.value).startswith(str(paths[side]))
    assert "\n" not in str(error.value)


def test_values_that_are_no_labels_are_named(saved):
    """Probabilities and negative values in a file are refused with the file."""
    for wrong, reason in ((0.5, "not integers"), (-1, "negative")):
        paths = saved(cubes(np.float32) * wrong, np.eye(4))
        with pytest.raises(CaseError, match=rf"truth\.nii\.gz: .*{reason}"):
            score(*paths)


def test_an_empty_truth_is_an_error_and_an_empty_answer_is_not(saved):
    """A truth without labels has nothing to measure; an answer without any has a DSC of 0."""
    truth, _ = cubes()
    nothing = np.zeros_like(truth)
    assert score(*saved((truth, nothing), np.eye(4)))["value"].tolist() == [0, 0]
    empty = saved((nothing, truth), np.eye(4))
    with pytest.raises(CaseError, match=r"truth\.nii\.gz: the label map is empty"):
        score(*empty)
    with pytest.raises(CaseError, match="truth is empty"):
        score(nothing, truth, (1, 1, 1))
    rule = [{"name": "DSC", "empty": {"truth": 0.25}}]
    assert score(*empty, metrics=rule, labels=[1])["value"].tolist() == [0.25]
    assert score(nothing, truth, (1, 1, 1), rule, labels=[1])["value"].tolist() == [0.25]


def test_npz_files_of_a_case_and_its_answer(tmp_path):
    """`gts` and `segs` with the spacing of the truth file, prepared or ready-made."""
    truth, answer = (labels.T for labels in cubes())
    write_answer(tmp_path / "answer.npz", answer)
    write_npz(tmp_path / "ready.npz", {"gts": truth, "spacing": np.array([1.0, 1.0, 3.0])})
    write_truth(tmp_path / "ours.npz", Truth(truth, {1: 7}, spacing_mm=(1.0, 1.0, 3.0)))
    write_npz(tmp_path / "bare.npz", {"gts": truth})
    for name in ("ready", "ours"):
        table = score(tmp_path / f"{name}.npz", tmp_path / "answer.npz", metrics=HD)
        assert table["value"].tolist() == [3]
    with pytest.raises(CaseError, match="spacing_mm"):
        score(tmp_path / "bare.npz", tmp_path / "answer.npz", metrics=HD)
    table = score(tmp_path / "bare.npz", tmp_path / "answer.npz", (1, 1, 2), HD)
    assert table["value"].tolist() == [2]


def test_two_kinds_of_files_are_not_compared(saved, tmp_path):
    """An answer as .npz has labels of its own numbering, so it does not go with a NIfTI truth."""
    truth, _ = saved(cubes(), np.eye(4))
    write_answer(tmp_path / "answer.npz", cubes()[1].T)
    with pytest.raises(CaseError, match=r"answer\.npz: give truth and answer as the same kind"):
        score(truth, tmp_path / "answer.npz")


def test_pictures_of_labels_are_slices(tmp_path):
    """Two PNG label maps, two columns apart: HD is 2 of their pixels."""
    for name, at in (("truth", 2), ("answer", 4)):
        pixels = np.zeros((9, 12), np.uint8)
        pixels[3:6, at : at + 3] = 1
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    table = score(tmp_path / "truth.png", tmp_path / "answer.png", metrics=HD)
    assert table["value"].tolist() == [2]


def test_arrays_of_whole_floats_are_label_maps():
    """What nibabel's get_fdata gives is measured like integers."""
    truth, answer = (labels.T for labels in cubes())
    expected = score(truth, answer, (1, 1, 2), HD)
    assert score(truth * 1.0, answer.astype(np.float32), (1, 1, 2), HD).equals(expected)
    assert score(truth > 0, answer.tolist(), (1, 1, 2), HD).equals(expected)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.full((2, 2, 2), 0.5), "answer is float64 and holds 0.5"),
        (np.full((2, 2, 2), np.nan), "answer is float64 and holds nan"),
        (np.full((2, 2, 2), np.inf), "answer is float64 and holds inf"),
        (np.full((2, 2, 2), -1), "answer holds values from -1 to -1"),
        (np.full((2, 2, 2), 70000), "answer holds values from 70000 to 70000"),
        (np.full((2, 2, 2), "a"), "answer is <U1"),
        (np.full((2, 2, 2), None), "answer is object"),
        (np.zeros((2, 2, 2, 2)), r"answer has the shape \(2, 2, 2, 2\)"),
        (np.zeros((0, 2, 2)), r"answer has the shape \(0, 2, 2\)"),
        (np.zeros((2, 2, 3), np.uint8), "label maps have the shapes"),
    ],
)
def test_arrays_that_are_no_label_maps_say_what_they_are(wrong, message):
    """The message names the array, its type and what is wrong."""
    with pytest.raises(CaseError, match=message):
        score(np.ones((2, 2, 2), np.uint8), wrong, (1, 1, 1))


def test_transposed_arrays_are_told_from_other_shapes():
    """Shapes that are each other's transpose are asked about."""
    with pytest.raises(CaseError, match="transposed"):
        score(np.ones((2, 3, 4), np.uint8), np.ones((4, 3, 2), np.uint8), (1, 1, 1))


@pytest.mark.parametrize(
    "spacing_mm",
    [(2, -1, 1), (2, 0, 1), (2, np.nan, 1), (2, np.inf, 1), (1, 1), (1,), 1, "abc", ()],
)
def test_a_spacing_is_three_numbers_above_0(spacing_mm):
    """Negative, zero, nan, infinite, too few: one line that says what is expected."""
    truth, answer = cubes()
    with pytest.raises(CaseError, match=r"spacing_mm is .*three numbers above 0"):
        score(truth, answer, spacing_mm, HD)


def test_a_2d_map_is_a_slice():
    """(H, W) with the spacing (y, x) is measured as (1, H, W) with any first spacing."""
    truth, answer = np.zeros((2, 9, 12), np.uint8)
    truth[3:6, 2:5] = answer[3:6, 4:7] = 1
    expected = score(truth[None], answer[None], (9, 1, 0.5), HD)
    assert expected["value"].tolist() == [1]
    assert score(truth, answer, (1, 0.5), HD).equals(expected)
    assert score(truth, answer, (7, 1, 0.5), HD).equals(expected)


def test_labels_that_nobody_measures_are_warned_about():
    """A label of the answer alone, and a tolerance for a label that the truth does not have."""
    truth, answer = (labels.T.copy() for labels in cubes())
    answer[0, 0, :3] = 7
    metrics = [{"name": "NSD", "tolerance_mm": {1: 1, 4: 5, "default": 1}}]
    with pytest.warns(UserWarning) as found:
        score(truth, answer, (1, 1, 1), metrics)
    assert [str(warning.message) for warning in found] == [
        "answer: label 7 has 3 voxels, but is no label of the truth: not measured",
        "metrics.0.tolerance_mm: label 4 is no label of the truth: its value is not used",
    ]


def test_labels_by_name_are_checked():
    """Labels to measure are whole numbers from 1 to 65535, also above what the maps hold."""
    truth, answer = cubes()
    for wrong in (0, -1, 65536, 1.5, "liver"):
        with pytest.raises(CaseError, match="whole number from 1 to 65535"):
            score(truth, answer, (1, 1, 1), labels=[wrong])
    table = score(truth, answer, (1, 1, 1), [{"name": "DSC", "empty": "flare"}], labels=[300])
    assert table["value"].tolist() == [1]


def test_metrics_that_are_no_mappings_are_one_line():
    """A bare name is told how to be written."""
    truth, answer = cubes()
    with pytest.raises(ConfigError, match=r"metrics\.0: is 'DSC'; write \{name: DSC\}"):
        score(truth, answer, (1, 1, 1), ["DSC"])
