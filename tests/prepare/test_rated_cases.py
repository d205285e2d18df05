"""Tests of cases that several raters labelled: what is found, agreed, and handed on."""

import nibabel
import numpy as np
import pytest

from segarena.case import read_raters, read_truth, write_truth
from segarena.errors import CaseError, ConfigError
from segarena.prepare.nifti import find_rated_cases, prepare_case
from segarena.prepare.slices import slice_case

OPTIONS = {"case": "one", "modality": None, "window": None, "box": True, "seed": 1}


def nifti(path, lines):
    """Write a volume of one slice; digits are ids, in the order that they are drawn in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = np.array([[int(sign) for sign in line] for line in lines], np.uint8)
    nibabel.save(nibabel.Nifti1Image(ids.T[:, :, None], np.diag([2, 3, 4, 1])), path)
    return path


@pytest.fixture
def rated(tmp_path):
    image = nifti(tmp_path / "images" / "one.nii.gz", ["0123456", "6543210", "0101010"])
    drawn = {
        "anna": ["0440070", "0440000", "0000000"],
        "ben": ["0440070", "0400000", "0000000"],
        "chris": ["0040000", "0440000", "0009000"],
    }
    raters = {name: nifti(tmp_path / name / "one.nii.gz", lines) for name, lines in drawn.items()}
    return image, raters


def test_the_consensus_is_the_truth_and_raters_keep_their_own(rated, tmp_path):
    """Majority: ids 4 and 7 stay and become 1 and 2; id 9, which one rater marked, is a warning."""
    image, raters = rated
    _, truth, warnings = prepare_case(
        image, raters["anna"], raters=raters, consensus="majority", **OPTIONS
    )
    assert truth.ids == {1: 4, 2: 7}
    assert truth.gts.tolist() == [
        [[0, 1, 1, 0, 0, 2, 0], [0, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]]
    ]
    assert any("no voxel of label 9, which raters marked" in line for line in warnings)
    write_truth(tmp_path / "truth.npz", truth)
    maps = read_raters(tmp_path / "truth.npz")
    assert list(maps) == ["anna", "ben", "chris"]
    assert maps["chris"].tolist() == [
        [[0, 0, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]]
    ]
    assert read_truth(tmp_path / "truth.npz").raters is None


def test_one_rater_may_be_the_truth(rated):
    """With a name the user follows that rater."""
    image, raters = rated
    _, truth, _ = prepare_case(image, raters["chris"], raters=raters, consensus="chris", **OPTIONS)
    assert truth.ids == {1: 4, 2: 9}
    with pytest.raises(CaseError, match=r"consensus is 'dora', but the raters .* are anna, ben"):
        prepare_case(image, raters["anna"], raters=raters, consensus="dora", **OPTIONS)


def test_raters_of_ready_made_cases_are_an_axis(tmp_path):
    """`raters` beside `gts`: given by default, and any other consensus by name."""
    gts = np.zeros((2, 5, 6), np.uint8)
    gts[:, 1:3, 1:3] = 3
    raters = np.stack([gts, np.roll(gts, 1, axis=2), np.roll(gts, 1, axis=2)])
    image, label = tmp_path / "image.npz", tmp_path / "label.npz"
    np.savez(image, imgs=np.full(gts.shape, 9, np.uint8), spacing=(1.0, 1.0, 1.0))
    np.savez(label, gts=gts, raters=raters)
    _, truth, _ = prepare_case(image, label, **OPTIONS)
    assert np.array_equal(truth.gts, gts)
    assert list(truth.raters) == ["1", "2", "3"]
    _, truth, _ = prepare_case(image, label, consensus="majority", **OPTIONS)
    assert np.array_equal(truth.gts, raters[1])
    np.savez(label, gts=gts, raters=raters[:, :1])
    with pytest.raises(CaseError, match=r"rater 1: the map is \(1, 5, 6\), the image \(2, 5, 6\)"):
        prepare_case(image, label, **OPTIONS)
    np.savez(label, gts=gts)
    with pytest.raises(CaseError, match="consensus is staple, but this case has no raters"):
        prepare_case(image, label, consensus="staple", **OPTIONS)


def test_slices_cut_the_raters_too(rated):
    """The slice of a label holds every rater's mask of it."""
    image, raters = rated
    prepared, truth, _ = prepare_case(
        image, raters["anna"], raters=raters, consensus="majority", **OPTIONS
    )
    _, cut = slice_case(prepared, truth, 4, case="one", seed=1)
    assert cut.raters["chris"].tolist() == [[[0, 0, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0, 0], [0] * 7]]


def test_a_rater_may_lack_a_case_but_not_all_of_them(rated, tmp_path):
    """Cases are found by the image; what has no image or no rater is named."""
    image, raters = rated
    other = nifti(tmp_path / "images" / "two.nii.gz", ["01", "10"])
    folders = {name: path.parent for name, path in raters.items()}
    with pytest.raises(ConfigError, match=r"two.nii.gz: no label map named two of any rater"):
        find_rated_cases(image.parent, folders)
    nifti(tmp_path / "ben" / "two.nii.gz", ["01", "10"])
    found = find_rated_cases(image.parent, folders)
    assert found["one"] == (image, raters)
    assert found["two"] == (other, {"ben": tmp_path / "ben" / "two.nii.gz"})
    nifti(tmp_path / "ben" / "three.nii.gz", ["01", "10"])
    with pytest.raises(ConfigError, match=r"three.nii.gz: no image named three"):
        find_rated_cases(image.parent, folders)
