"""`segarena store` and `segarena forget`."""

import json
from pathlib import Path

import numpy as np
import pytest

from segarena.cli import main
from segarena.files import write_json
from segarena.predict.store import Store

FACTS = {"status": "ok", "message": "", "seconds": 1.0, "timed_out": False}
KEYS = [f"{number:02}" + "0" * 62 for number in range(3)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two answered sessions, whose store holds a third answer that nothing names."""
    store = Store(tmp_path / "run" / "store")
    for key in KEYS:
        store.keep(key, np.ones((2, 3, 4), np.uint8), FACTS)
    store.register(tmp_path / "run")
    for case, key in zip(("one", "two"), KEYS, strict=False):
        write_json(tmp_path / f"run/results/predict/short/ada/{case}/1.json", {"key": key})
    write_json(tmp_path / "run/results/predict/short/ada/dropped.json", {"answers": 1})
    return tmp_path / "run"


def test_a_store_tells_its_size_and_its_runs(run: Path, capsys: pytest.CaptureFixture[str]):
    """Nothing is removed."""
    assert main(["store", str(run)]) == 0
    printed = capsys.readouterr().out
    assert "3 answers" in printed
    assert f"used by {run}" in printed
    assert len(list(Store(run / "store").keys())) == 3


def test_a_stores_size_and_runs_come_as_json(run: Path, capsys: pytest.CaptureFixture[str]):
    """The number of answers, their bytes, and whether each run is there."""
    assert main(["store", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["answers"] == 3
    assert found["bytes"] > 0
    assert found["runs"] == {str(run): True}


def test_only_what_no_run_names_is_dropped(run: Path):
    """The answers behind the results stay."""
    assert main(["store", str(run), "--drop"]) == 0
    assert sorted(Store(run / "store").keys()) == KEYS[:2]


def test_nothing_is_dropped_while_a_run_is_away(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """What it needs is not known."""
    Store(run / "store").register(tmp_path / "away")
    assert main(["store", str(run), "--drop"]) == 2
    assert "not there, so nobody knows what it needs" in capsys.readouterr().err
    assert len(list(Store(run / "store").keys())) == 3


def test_a_forgotten_case_is_asked_again(run: Path):
    """Its answer and its results are gone, and no other's."""
    assert main(["forget", "ada", "two", "--folder", str(run)]) == 0
    assert sorted(Store(run / "store").keys()) == [KEYS[0], KEYS[2]]
    assert [
        path.name for path in (run / "results/predict/short/ada").iterdir() if path.is_dir()
    ] == ["one"]


def test_a_forgotten_submission_is_asked_again(run: Path):
    """In all cases."""
    assert main(["forget", "ada", "--folder", str(run)]) == 0
    assert list(Store(run / "store").keys()) == KEYS[2:]


def test_an_unknown_name_is_told(run: Path, capsys: pytest.CaptureFixture[str]):
    """Nothing is forgotten by mistake."""
    assert main(["forget", "eve", "--folder", str(run)]) == 2
    assert "no answers of eve here" in capsys.readouterr().err
