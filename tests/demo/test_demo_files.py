"""What the demo and the set-up promise about the files in the repository."""

import csv
import re
import shutil
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "demo"
CASES = sorted(path.name.removesuffix(".nii.gz") for path in (DEMO / "images").iterdir())


def test_demo_has_its_cases_and_submissions():
    """At least four cases, each with labels and a row in the sheet, and four submissions."""
    assert len(CASES) >= 4
    assert sorted(p.name.removesuffix(".nii.gz") for p in (DEMO / "labels").iterdir()) == CASES
    with (DEMO / "cases.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [row["case"] for row in rows] == CASES
    assert {row["case"]: row["window"] for row in rows if row["modality"] == "CT"} == {
        "CT_liver_spine": "abdomen"
    }
    submissions = sorted(path.parent.name for path in DEMO.glob("submissions/*/predict.sh"))
    assert submissions == ["ellipsoid", "geodesic", "learned", "region-growing"]


def test_demo_is_small():
    """The demo's own files stay below 4 MB, and the weights that it ships below 3 MB more."""
    folders = (DEMO / name for name in ("images", "labels", "submissions", "licences"))
    sizes = [p.stat().st_size for folder in folders for p in folder.rglob("*") if p.is_file()]
    weights = (DEMO / "submissions" / "learned" / "net.npz").stat().st_size
    assert weights < 3e6
    assert sum(sizes) - weights < 4e6


@pytest.mark.parametrize("name", CASES)
def test_image_and_labels_share_their_grid(name):
    """Image and label map of a demo case have one shape and one affine, and labels from 1 on."""
    image, labels = (nibabel.load(DEMO / kind / f"{name}.nii.gz") for kind in ("images", "labels"))
    assert image.shape == labels.shape
    assert np.allclose(image.affine, labels.affine, atol=1e-3)
    found = np.unique(np.asarray(labels.dataobj))
    assert found.tolist() == list(range(len(found)))
    assert len(found) >= 2


@pytest.mark.parametrize("name", CASES)
def test_case_is_credited(name):
    """The demo's README tells each case's origin, licence and citation."""
    parts = re.split(r"^\*\*", (DEMO / "README.md").read_text(), flags=re.MULTILINE)[1:]
    (credit,) = (part for part in parts if name in part.partition("**")[0])
    words = " ".join(credit.split())
    assert re.search(r"commit [0-9a-f]{40}", words)
    assert "Cite: " in words
    licence = re.search(r"licences/[a-z-]+\.txt", words)
    if licence:
        assert "Copyright" in (DEMO / licence[0]).read_text()
    else:
        assert "https://creativecommons.org/licenses/by-sa/4.0/" in words


def test_conda_environment_has_the_pins_of_the_lock_file():
    """envs/segarena.yaml pins what requirements.lock pins for Python 3.11 on Linux."""
    environment = yaml.safe_load((ROOT / "envs" / "segarena.yaml").read_text())
    python, _, packages = environment["dependencies"]
    assert python == "python=3.11"
    linux = {
        "python_full_version": "3.11.9",
        "python_version": "3.11",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
    }
    locked = re.findall(r"^(\S+==\S+)(?: ; (.*?))?(?: \\)?$", lock_text(), flags=re.MULTILINE)
    expected = {
        pin
        for pin, marker in locked
        if not marker or Requirement(f"x; {marker}").marker.evaluate(linux)
    }
    assert len(expected) > 50
    assert set(packages["pip"]) == expected


def lock_text():
    return (ROOT / "requirements.lock").read_text()


def test_what_snakemakes_own_report_needs_is_pinned():
    """docs/report.md names `snakemake --report`, which imports Pygments and does not ask for it."""
    assert "\npygments==" in lock_text()


def test_both_lock_files_agree():
    """What both lock files hold, they hold in the same version."""
    pin = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; .*?)?(?: \\)?$", re.MULTILINE)
    run = set(pin.findall(lock_text()))
    dev = set(pin.findall((ROOT / "requirements-dev.lock").read_text()))
    assert run
    assert run <= dev


def test_make_without_a_usable_python_says_so(tmp_path):
    """Where no Python >= 3.11 is found, make ends with one line that says what is needed."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "test", "echo"):
        (tools / tool).symlink_to(shutil.which(tool))
    (tools / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tools / "python3").chmod(0o755)
    made = subprocess.run(
        [shutil.which("make"), "demo"],
        cwd=tmp_path,
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode != 0
    assert "no Python >= 3.11" in made.stderr
    assert not (tmp_path / ".venv").exists()
