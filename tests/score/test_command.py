"""`segarena score` and the command line around it."""

import csv
import io
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from segarena.cli import COMMANDS, main


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Two cubes of 4 x 4 x 4 voxels, the second one moved by one voxel: half of 64 + 64 is 48."""
    paths = []
    for name, x in (("truth", 2), ("answer", 3)):
        voxels = np.zeros((10, 10, 10), np.uint8)
        voxels[x : x + 4, 2:6, 2:6] = 1
        paths.append(str(tmp_path / f"{name}.nii.gz"))
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), paths[-1])
    return paths[0], paths[1]


def test_score_prints_a_row_per_label_and_metric(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
):
    """DSC is 2 x 48 / 128; with a tolerance of 2 mm every surface is met."""
    assert main(["score", *files, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out.strip())))
    assert [(row["metric"], float(row["value"])) for row in rows] == [("DSC", 0.75), ("NSD", 1.0)]


def test_score_takes_metrics_with_parameters(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
):
    """The cubes share 48 of 80 voxels."""
    assert main(["score", *files, "--metric", "IoU", "--metric", "NSD,tolerance_mm=5"]) == 0
    printed = capsys.readouterr().out
    assert "0.6" in printed
    assert "NSD" in printed


def test_score_takes_the_metrics_and_regions_of_a_protocol(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
):
    """The cubes are label 1, so two regions hold them and the third is empty on both sides."""
    assert main(["score", *files, "--protocol", "brats-lesionwise", "--csv"]) == 0
    rows = csv.DictReader(io.StringIO(capsys.readouterr().out.strip()))
    found = {(row["label"], row["metric"]): float(row["value"]) for row in rows}
    assert [found[label, "LesionDSC"] for label in ("1", "WT", "TC", "ET")] == [0.75, 0.75, 0.75, 1]
    assert found["WT", "LesionHD95"] == 1 and found["ET", "LesionHD95"] == 0


def test_a_protocol_and_metrics_are_not_given_both(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
):
    """Which of them counts would be a guess."""
    assert main(["score", *files, "--protocol", "noc", "--metric", "DSC"]) == 2
    assert "give --metric or --protocol, not both" in capsys.readouterr().err


def test_metrics_of_prompts_are_left_out_of_a_protocol(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
):
    """Two files say nothing of prompts; the protocol's other metrics are measured."""
    assert main(["score", *files, "--protocol", "autopet-interactive", "--csv"]) == 0
    printed = capsys.readouterr().out
    assert "FPVolume" in printed and "Adherence" not in printed


def test_a_wrong_metric_is_one_line(files: tuple[str, str], capsys: pytest.CaptureFixture[str]):
    """The line names the metric and those that are known."""
    assert main(["score", *files, "--metric", "Dise"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("segarena: metrics.0.name: no metric 'Dise'; known: DSC")
    assert printed.count("\n") == 1


def test_every_command_has_its_help():
    """`segarena --help` lists all commands; each one's own help works."""
    done = subprocess.run(
        [sys.executable, "-m", "segarena.cli", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2] / "src",
    )
    assert all(name in done.stdout for name in COMMANDS)
