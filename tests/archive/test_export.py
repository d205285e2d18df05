"""An answer goes back to where its image lies, whatever the image was."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from segarena.archive.export import export
from segarena.case import write_answer, write_truth
from segarena.errors import ConfigError
from segarena.prepare.nifti import prepare_case
from segarena.prepare.slices import slice_case, slice_name

TURN = np.array([[0.8, -0.6, 0, 5], [0.6, 0.8, 0, -7], [0, 0, 1, 11], [0, 0, 0, 1]])
OBLIQUE = TURN @ np.diag([0.5, 0.75, 2.0, 1])
# x runs to posterior, y to superior, z to right
PSR = np.array([[0, 0, 2.0, -3], [-0.5, 0, 0, 4], [0, 0.75, 0, 5], [0, 0, 0, 1]])


def labels(shape: tuple[int, ...]) -> np.ndarray:
    """Two boxes with the ids 4 and 9, in nibabel's order."""
    ids = np.zeros(shape, np.uint8)
    ids[1:4, 2:5, ...] = 4
    ids[5:8, 3:9, ...] = 9
    if len(shape) == 3:
        ids[:, :, 0] = 0
    return ids


def prepare(folder: Path, ids: np.ndarray, affine: np.ndarray):
    image, label = folder / "image.nii.gz", folder / "label.nii.gz"
    grey = np.arange(ids.size, dtype=np.int16).reshape(ids.shape)
    nibabel.save(nibabel.Nifti1Image(grey, affine), image)
    nibabel.save(nibabel.Nifti1Image(ids, affine), label)
    options = {"case": "c", "modality": None, "window": None, "box": True, "seed": 1}
    return prepare_case(image, label, **options)[:2]


def answered(folder: Path, case: str, truth, segs: np.ndarray, *, k: int = 1) -> Path:
    """Write what a run leaves behind, and return the folder of its results."""
    results = folder / "results"
    write_truth(results / "prepare" / f"{case}.truth.npz", truth)
    write_answer(results / "predict" / "cvpr25" / "team" / case / f"{k}.npz", segs)
    return results


@pytest.mark.parametrize(
    ("shape", "affine", "codes"),
    [
        ((9, 11, 6), OBLIQUE, None),
        ((9, 11, 6), PSR, "PSR"),
        ((9, 11), np.diag([2, 3, 1, 1.0]), None),
    ],
    ids=["oblique", "PSR", "2D"],
)
def test_a_perfect_answer_is_the_label_map(tmp_path: Path, shape, affine, codes):
    """The export of the truth is the label file: voxels, ids, shape, affine, orientation."""
    ids = labels(shape)
    _, truth = prepare(tmp_path, ids, affine)
    results = answered(tmp_path, "c", truth, truth.gts)
    back = nibabel.load(export(results, "team", "c", out=tmp_path))
    assert back.shape == shape
    assert (np.asarray(back.dataobj) == ids).all()
    np.testing.assert_allclose(back.affine, affine, atol=1e-6)
    if codes:
        assert "".join(nibabel.aff2axcodes(back.affine)) == codes


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_a_slice_lies_in_its_place_in_the_volume(tmp_path: Path, axis: str):
    """The slice of label 9 across each axis, alone in the whole volume."""
    ids = labels((9, 11, 6))
    image, truth = prepare(tmp_path, ids, OBLIQUE)
    case = slice_name("c", 9)
    _, part = slice_case(image, truth, 9, case="c", seed=1, axis=axis)
    results = answered(tmp_path, case, part, part.gts)
    back = nibabel.load(export(results, "team", case, out=tmp_path))
    place = {"x": (5, ...), "y": (slice(None), 3), "z": (slice(None), slice(None), 1)}[axis]
    expected = np.zeros_like(ids)
    expected[place] = np.where(ids[place] == 9, 9, 0)
    assert (np.asarray(back.dataobj) == expected).all()
    np.testing.assert_allclose(back.affine, OBLIQUE, atol=1e-6)


def test_the_last_interaction_is_exported_unless_another_is_asked_for(tmp_path: Path):
    """And the file's name says which."""
    _, truth = prepare(tmp_path, labels((9, 11, 6)), OBLIQUE)
    answered(tmp_path, "c", truth, 0 * truth.gts, k=2)
    results = answered(tmp_path, "c", truth, truth.gts, k=10)
    assert export(results, "team", "c", out=tmp_path).name == "team_c_10.nii.gz"
    second = export(results, "team", "c", out=tmp_path, interaction=2)
    assert second.name == "team_c_2.nii.gz"
    assert not np.asarray(nibabel.load(second).dataobj).any()


def test_what_is_not_there_is_told(tmp_path: Path):
    """A team, an interaction, a protocol among several."""
    _, truth = prepare(tmp_path, labels((9, 11, 6)), OBLIQUE)
    results = answered(tmp_path, "c", truth, truth.gts)
    with pytest.raises(ConfigError, match="no answers of nobody on c"):
        export(results, "nobody", "c", out=tmp_path)
    with pytest.raises(ConfigError, match="no answer to interaction 7; there are: 1"):
        export(results, "team", "c", out=tmp_path, interaction=7)
    write_answer(results / "predict" / "noc" / "team" / "c" / "1.npz", truth.gts)
    with pytest.raises(ConfigError, match="choose one with --protocol: cvpr25, noc"):
        export(results, "team", "c", out=tmp_path)
