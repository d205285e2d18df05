"""The reference evaluation's numbers, from start to end: real containers, and plain processes.

Expected values are what the reference's own script gave (tests/data/reference/README.md).
"""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from arena import Arena, new_arena

from segarena.files import read_json
from segarena.predict.session import make_input

REFERENCE = Path(__file__).parents[1] / "data" / "reference"
SUBMISSIONS = ("flaky", "memory", "sphere", "threshold")
CASES = sorted(path.stem for path in (REFERENCE / "cases" / "images").iterdir())


def _reference_arena(folder: Path, **config: str) -> Arena:
    arena = new_arena(folder)
    arena.work.mkdir()
    cases = {"images": "images", "labels": "truth"}
    shutil.copytree(REFERENCE / "cases" / "images", arena.work / "images")
    shutil.copytree(REFERENCE / "cases" / "truth", arena.work / "truth")
    arena.config |= {"cases": cases, "protocols": ["cvpr25"], **config}
    return arena


@pytest.fixture(scope="module")
def in_containers(
    docker_host: str,
    submission_archive: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Arena:
    """The five cases and three submissions as docker archives."""
    arena = _reference_arena(tmp_path_factory.mktemp("containers"), runtime="docker")
    arena.engine = docker_host
    for name in SUBMISSIONS:
        archive = arena.folder_of("submissions") / f"{name}.tar.gz"
        submission_archive(REFERENCE / "submissions" / name, archive, numpy_spec="numpy==1.26.4")
    arena.run()
    return arena


@pytest.fixture(scope="module")
def as_processes(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """The same as folders and plain processes, two jobs an interaction."""
    folder = tmp_path_factory.mktemp("processes")
    arena = _reference_arena(folder, runtime="process", jobs="interaction")
    shutil.copytree(REFERENCE / "submissions", arena.work / "submissions")
    arena.run()
    return arena


@pytest.fixture(params=[pytest.param("in_containers", marks=pytest.mark.engine), "as_processes"])
def finished_run(request: pytest.FixtureRequest) -> Arena:
    """Each of the two runs."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_the_table_is_the_references(finished_run: Arena, name: str):
    """Same columns, same rows, every score within 1e-12; running times are this machine's own."""
    ours = _rows(finished_run.path("score", "cvpr25", f"{name}_metrics.csv"))
    theirs = _rows(REFERENCE / "expected" / name / f"{name}_metrics.csv")
    assert [list(row) for row in ours] == [list(row) for row in theirs]
    assert [row["CaseName"] for row in ours] == [row["CaseName"] for row in theirs]
    scores = [key for key in theirs[0] if key != "CaseName" and "RunningTime" not in key]
    got = np.array([[float(row[key]) for key in scores] for row in ours])
    want = np.array([[float(row[key]) for key in scores] for row in theirs])
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_every_click_is_the_references(finished_run: Arena, name: str):
    """Voxel, kind, label and interaction of each click agree, and there is none beside them."""
    theirs = {
        (row["case"], int(row["interaction"]), int(row["label"])): (
            [int(row["z"]), int(row["y"]), int(row["x"])],
            row["kind"],
        )
        for row in _rows(REFERENCE / "expected" / name / "clicks.csv")
    }
    ours = {}
    for case in CASES:
        for k in range(2, 7):
            prompts = read_json(finished_run.path("prompt", "cvpr25", name, case, f"{k}.json"))
            for label, clicks, order in zip(
                prompts["labels"], prompts["clicks"], prompts["clicks_order"], strict=True
            ):
                if order[-1] is not None:
                    ours[case, k, label] = (clicks[order[-1]][-1], order[-1])
    assert ours == theirs


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_every_answer_in_force_is_the_references(finished_run: Arena, name: str):
    """A failed call leaves the answer before it in force; a case without a box has five answers."""
    for case in CASES:
        theirs = np.load(REFERENCE / "expected" / name / f"{case}.npz")["all_segs"]
        first = 7 - len(theirs)
        for k, segs in enumerate(theirs, start=first):
            ours = np.load(finished_run.path("predict", "cvpr25", name, case, f"{k}.npz"))["segs"]
            np.testing.assert_array_equal(ours, segs)


def test_what_happened_is_written_down(finished_run: Arena):
    """The flaky submission crashes where two rounds of clicks come; without a box none is asked."""
    statuses = {
        (case, k): read_json(finished_run.path("predict", "cvpr25", "flaky", case, f"{k}.json"))[
            "status"
        ]
        for case in CASES
        for k in range(1, 7)
    }
    crashed = {key for key, status in statuses.items() if status == "crashed"}
    not_asked = {key for key, status in statuses.items() if status == "not_asked"}
    assert crashed == {(case, 3) for case in CASES}
    assert not_asked == {("CT_vessels_nobox", 1)}


def test_the_input_is_the_references(finished_run: Arena, tmp_path: Path):
    """Keys, shapes, dtypes and values of what the submission read are those that it knows."""
    for theirs_npz in sorted((REFERENCE / "inputs").iterdir()):
        case, k = theirs_npz.stem.rsplit(".", 1)
        image = finished_run.path("prepare", f"{case}.image.npz")
        prompts = read_json(finished_run.path("prompt", "cvpr25", "sphere", case, f"{k}.json"))
        previous = _answer_before(finished_run, case, int(k))
        make_input(tmp_path / theirs_npz.name, image, prompts, previous)
        theirs = dict(np.load(theirs_npz, allow_pickle=True))
        ours = dict(np.load(tmp_path / theirs_npz.name, allow_pickle=True))
        assert set(ours) == {"imgs", *theirs}
        for key, value in theirs.items():
            assert (ours[key].dtype, ours[key].shape) == (value.dtype, value.shape)
            assert ours[key].tolist() == value.tolist()


def test_a_finished_run_of_archives_repeated_does_nothing(in_containers: Arena):
    """Also after every archive was touched."""
    for archive in (in_containers.work / "submissions").iterdir():
        archive.touch()
    assert "Nothing to be done" in in_containers.run()


def test_a_replaced_archive_runs_only_its_own_jobs(in_containers: Arena, tmp_path: Path):
    """An archive of the same name with another image is another submission."""
    arena = in_containers.copy(tmp_path)
    folder = arena.work / "submissions"
    shutil.copyfile(folder / "flaky.tar.gz", folder / "sphere.tar.gz")
    plan = arena.plan()
    assert plan["image"] == 1
    assert plan["session_cvpr25"] == 5
    assert plan["score"] == 5
    assert plan["metrics"] == 1


def test_a_new_archive_runs_only_its_own_jobs(in_containers: Arena, tmp_path: Path):
    """The other submissions keep everything but the ranking and the pictures they share."""
    arena = in_containers.copy(tmp_path)
    folder = arena.work / "submissions"
    shutil.copyfile(folder / "flaky.tar.gz", folder / "newcomer.tar.gz")
    plan = arena.plan()
    assert plan["image"] == plan["metrics"] == plan["rank"] == 1
    assert plan["session_cvpr25"] == plan["score"] == 5
    assert "prepare" not in plan


def _answer_before(arena: Arena, case: str, k: int) -> np.ndarray:
    before = arena.path("predict", "cvpr25", "sphere", case, f"{k - 1}.npz")
    if before.exists():
        return np.load(before)["segs"]
    return np.zeros(json.loads(arena.path("prepare", f"{case}.json").read_text())["shape"], "u1")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
