"""No result that was emptied or cut is taken for a whole one, whatever its time."""

import os
from pathlib import Path

import numpy as np
import pytest

from segarena.damage import is_locked, move_damaged, note_sizes
from segarena.run import lock

COMPLETE = {
    "prepare/one.image.npz": None,
    "prompt/short/ada/one/1.json": b'{"a": 1}\n',
    "predict/short/ada/one/1.npz": None,
    "score/short/ada/one.csv": b"a,b\n1,2\n",
    "rank/short/leaderboard.csv": b"a,b\n1,2\n",
    "rank/short/leaderboard.parquet": b"PAR1 and more PAR1",
    "report/short/index.html": b"<html></html>",
}
INSIDE = {
    "rank/short/stability/tau.csv": "rank/short/stability",
    "report/short/data/a.js": "report/short/data",
    "report/short/answers/ada/one.png": "report/short/answers/ada",
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The results of a finished run, noted."""
    for name, content in {**COMPLETE, **dict.fromkeys(INSIDE, b"content\n")}.items():
        path = tmp_path / "results" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            np.savez(path, a=np.arange(100))
        else:
            path.write_bytes(content)
    note_sizes(tmp_path / "results", tmp_path / "noted.json")
    return tmp_path / "results"


def damaged(results: Path, noted: str = "noted.json") -> list[str]:
    folder = results.parent
    return move_damaged(results, folder / noted, folder / "aside")


def cut(path: Path, size: int, *, old_time: bool) -> None:
    """Cut a file and give it its old time back, as a power loss may."""
    before = path.stat()
    os.truncate(path, size)
    if old_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_finished_run_has_no_damage(results: Path):
    """Hidden files and logs, which may be empty, are no results."""
    (results / "predict/short/ada/one/1.log").touch()
    (results / "score/short/.kept").mkdir()
    (results / "score/short/.kept/x.csv").touch()
    (results / "rank/short/.snakemake_timestamp").touch()
    assert damaged(results) == []


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("old_time", [True, False])
@pytest.mark.parametrize("noted", ["noted.json", "nothing noted"])
def test_an_emptied_result_is_set_aside(name: str, old_time: bool, noted: str, results: Path):
    """With its old time or a new one, after a clean end or not."""
    cut(results / name, 0, old_time=old_time)
    assert damaged(results, noted) == [name]
    assert not (results / name).exists()
    assert (results.parent / "aside" / name).exists()
    assert damaged(results, noted) == []


@pytest.mark.parametrize("name", COMPLETE)
def test_a_cut_result_with_its_old_time_is_set_aside(name: str, results: Path):
    """By a single byte."""
    path = results / name
    cut(path, path.stat().st_size - 1, old_time=True)
    assert damaged(results) == [name]


@pytest.mark.parametrize(
    "name", [name for name in COMPLETE if name.endswith(("json", "csv", "npz"))]
)
def test_a_cut_result_of_a_killed_run_is_set_aside(name: str, results: Path):
    """Nothing was noted of it."""
    path = results / name
    cut(path, path.stat().st_size - 2, old_time=False)
    assert damaged(results) == [name]


@pytest.mark.parametrize("name", INSIDE)
def test_a_folder_is_made_again_as_a_whole(name: str, results: Path):
    """Snakemake does not look into it."""
    cut(results / name, 3, old_time=True)
    assert damaged(results) == [INSIDE[name]]
    assert not (results / INSIDE[name]).exists()


def test_what_a_run_is_writing_is_left_alone(tmp_path: Path):
    """A plan made beside a run at work touches nothing."""
    path = tmp_path / "lock"
    assert not is_locked(path)
    lock(path)
    assert is_locked(path)
