"""The cases of a check."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from segarena.case import read_image, read_truth
from segarena.check.cases import bundled, bundled_case
from segarena.cli import main
from segarena.prepare.step import main as prepare

Check = Callable[..., dict[str, Any]]


def test_the_bundled_cases_are_the_same_everywhere() -> None:
    """Three labels, uint8, a box for each, or none; drawn from a fixed seed."""
    image, truth = bundled_case(box=True)
    assert (image.imgs.dtype, truth.labels) == (np.uint8, [1, 2, 3])
    assert image.boxes is not None and len(image.boxes) == 3
    assert (bundled_case(box=True)[0].imgs == image.imgs).all()
    assert bundled_case(box=False)[0].boxes is None
    large, same = bundled_case(box=True, zoom=4)
    assert large.imgs.size > 1_000_000
    assert (same.gts[:, ::4, ::4] == truth.gts).all()


def test_the_bundled_cases_cover_what_programs_forget(tmp_path: Path) -> None:
    """One label and many, one slice, a few voxels and a million, odd spacing, a cube, no box."""
    found = {}
    for name, case in bundled().items():
        (tmp_path / name).mkdir()
        case.write(tmp_path / name)
        image = read_image(tmp_path / name / "image.npz", spacing_order="xyz")
        found[name] = (image, read_truth(tmp_path / name / "truth.npz"))
    labels = {name: len(truth.labels) for name, (_, truth) in found.items()}
    assert (labels["bundled-cube"], labels["bundled-12-labels"]) == (1, 12)
    assert found["bundled-slice"][0].imgs.shape[0] == 1
    assert found["bundled-tiny"][0].imgs.size < 100 and found["bundled-tiny"][1].gts.any()
    assert found["bundled-large"][0].imgs.size > 1_000_000
    assert len(set(found["bundled-cube"][0].imgs.shape)) == 1
    assert len(set(found["bundled-cube"][0].spacing_mm)) == 3
    assert [name for name, (image, _) in found.items() if image.boxes is None] == [
        "bundled-nobox",
        "bundled-cube-nobox",
    ]


@pytest.fixture
def ct(tmp_path: Path) -> tuple[Path, Path]:
    """A CT of air, tissue and an organ, and its label map, as NIfTI."""
    values = np.random.default_rng(0).normal(40, 20, (24, 20, 8))
    values[:, :4] = -1000
    ids = np.zeros(values.shape, np.uint8)
    ids[8:14, 8:14, 2:6] = 7
    values[ids == 7] += 60
    paths = tmp_path / "scan_0000.nii.gz", tmp_path / "organ.nii.gz"
    for path, data in zip(paths, (values.astype(np.int16), ids), strict=True):
        nibabel.save(nibabel.Nifti1Image(data, np.diag([0.8, 0.8, 3, 1])), path)
    return paths


def test_one_nifti_pair_is_prepared_as_the_benchmark_does(
    ct: tuple[Path, Path], folder: Path, report: Check, tmp_path: Path
) -> None:
    """--case IMAGE LABEL --modality CT gives the very file that the prepare stage writes."""
    image, label = map(str, ct)
    checked = report(folder, "--case", image, label, "--modality", "CT", only="scan")
    assert checked["code"] == 0
    assert {call["case"] for call in checked["calls"]} == {"scan"}
    outputs = {key: str(tmp_path / key) for key in ("image", "truth", "about")}
    values = {"modality": "CT", "window": None, "box": True, "seed": 2025, "npz_spacing": "zyx"}
    values |= {"slice": {}, "slice_of": None}
    prepare({"image": ct[0], "label": ct[1]}, outputs, "scan", values)
    for key in ("image", "truth"):
        kept = Path(checked["folder"], "scan", f"{key}.npz")
        assert kept.read_bytes() == Path(outputs[key]).read_bytes()


def test_a_ct_without_its_modality_is_warned_about(
    ct: tuple[Path, Path], folder: Path, report: Check, finding: Any
) -> None:
    """The values say that it is one; the warning has the option."""
    checked = report(folder, "--case", *map(str, ct), only="scan:1")
    assert checked["verdict"] == "PASS WITH 1 WARNING"
    assert "--modality CT" in finding(checked, "case")["cure"]


def test_a_folder_of_own_cases_is_run_too(folder: Path, report: Check, tmp_path: Path) -> None:
    """--case FOLDER takes images and labels as the benchmark does."""
    image, truth = bundled_case(box=True)
    for kind, arrays in (
        ("images", {"imgs": image.imgs, "spacing": np.array([3.0, 1, 1])}),
        ("labels", {"gts": truth.gts}),
    ):
        (tmp_path / "own" / kind).mkdir(parents=True)
        np.savez(tmp_path / "own" / kind / "mine.npz", **arrays)
    checked = report(folder, "--case", str(tmp_path / "own"), only="mine")
    assert [call["case"] for call in checked["calls"]] == ["mine", "mine"]
    assert checked["code"] == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nothing.nii.gz", "nothing.nii.gz"], "--case: no file nothing.nii.gz"),
        (["team"], "--case: team is no folder with images/ and labels/"),
        (["a", "b", "c"], "--case: write --case IMAGE LABEL"),
        (["team/predict.py", "team/predict.py"], "predict.py"),
    ],
)
def test_a_wrong_case_is_one_line(
    words: list[str], expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names what was given, and nothing stays behind."""
    assert main(["check", str(folder), "--runtime", "process", "--case", *words]) in {2, 3}
    printed = capsys.readouterr().err
    assert printed.startswith("segarena: ") and expected in printed
    assert not Path("segarena-check").exists()
