"""`segarena status`, from files that a run would have left."""

import argparse
import os
from datetime import datetime
from pathlib import Path

import pytest

from segarena import status
from segarena.errors import ConfigError
from segarena.files import write_json

NOW = datetime(2026, 5, 4, 12, 0, 0).timestamp()


def answered(folder: Path, team: str, case: str, k: int, **record: object) -> None:
    """Leave what an interaction leaves: a record, written so many seconds before NOW."""
    before = record.pop("before", 0)
    results = folder / "results"
    path = results / "predict" / "cvpr25" / team / case / f"{k}.json"
    write_json(path, {"status": "ok", "message": "", **record})
    os.utime(path, (NOW - before, NOW - before))  # type: ignore[operator]
    write_json(results / "prompt" / "cvpr25" / team / case / f"{k}.json", {})


def prepared(folder: Path, *cases: str) -> None:
    for case in cases:
        path = folder / "results" / "prepare" / f"{case}.truth.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_counts_and_end(tmp_path: Path) -> None:
    """Two of twelve answers ten seconds apart leave ten answers, 100 seconds, to be waited for."""
    prepared(tmp_path, "a", "b")
    answered(tmp_path, "alpha", "a", 1, before=10)
    answered(tmp_path, "alpha", "a", 2)
    lines = status.report(tmp_path, now=NOW).splitlines()
    assert lines[0] == "2026-05-04 12:00:00  2 cases prepared"
    assert lines[1] == (
        "cvpr25: 2 of 12 answers (16 %), 0 of 2 cases scored; "
        "about 2 min left, until 2026-05-04 12:01"
    )
    assert lines[2] == "  alpha      0 of 2 cases   16 % of answers"


def test_standing_still_puts_the_end_off(tmp_path: Path) -> None:
    """An hour without an answer makes the end later than the pace before it would."""
    prepared(tmp_path, "a")
    answered(tmp_path, "alpha", "a", 1, before=3610)
    answered(tmp_path, "alpha", "a", 2, before=3600)
    assert "about 4 h 01 min left" in status.report(tmp_path, now=NOW)


def test_failing_team_tells_the_last_reason(tmp_path: Path) -> None:
    """A failing team is marked, with counts by kind and the latest reason."""
    prepared(tmp_path, "a")
    answered(tmp_path, "alpha", "a", 1, status="timeout", message="older", before=5)
    answered(tmp_path, "alpha", "a", 2, status="failed", message="no file\nat all")
    answered(tmp_path, "alpha", "a", 3, status="not_asked", message="no box")
    text = status.report(tmp_path, now=NOW)
    assert "FAILING: 1 failed, 1 timeout; last: no file at all" in text


def test_message_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """Control characters of a submission's message do not reach the terminal."""
    prepared(tmp_path, "a")
    answered(tmp_path, "alpha", "a", 1, status="failed", message="\x1b[2Jgone\x07")
    assert "\x1b" not in status.report(tmp_path, now=NOW)
    assert "\x07" not in status.report(tmp_path, now=NOW)


def test_finished_run(tmp_path: Path) -> None:
    """A finished run says so, and how many cases are scored."""
    prepared(tmp_path, "a")
    for k in range(1, 7):
        answered(tmp_path, "alpha", "a", k)
    score = tmp_path / "results" / "score" / "cvpr25" / "alpha" / "a.csv"
    score.parent.mkdir(parents=True)
    score.touch()
    line = status.report(tmp_path, now=NOW).splitlines()[1]
    assert line == "cvpr25: 6 of 6 answers (100 %), 1 of 1 cases scored; all answered"


def test_loaded_but_silent_team_counts(tmp_path: Path) -> None:
    """A team that is loaded and has not answered yet is shown with nothing done."""
    prepared(tmp_path, "a")
    answered(tmp_path, "alpha", "a", 1)
    write_json(tmp_path / "results" / "predict" / "beta" / "image.json", {})
    text = status.report(tmp_path, now=NOW)
    assert "1 of 12 answers" in text
    assert "  beta       0 of 1 cases    0 % of answers" in text


def test_single_answer_is_too_early(tmp_path: Path) -> None:
    """One answer has no pace."""
    prepared(tmp_path, "a")
    answered(tmp_path, "alpha", "a", 1)
    assert "too early to estimate the end" in status.report(tmp_path, now=NOW)


def test_run_that_has_only_begun(tmp_path: Path) -> None:
    """With nothing but an empty results folder, nobody has answered."""
    (tmp_path / "results").mkdir()
    text = status.report(tmp_path, now=NOW)
    assert text.splitlines()[1:] == ["no submission has answered yet"]


def test_no_run_here(tmp_path: Path) -> None:
    """A folder without results/ is refused."""
    with pytest.raises(ConfigError, match="no results/ here"):
        status.report(tmp_path, now=NOW)


def test_command_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sub-command takes a folder and prints its status."""
    prepared(tmp_path, "a")
    parser = argparse.ArgumentParser()
    status.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["status", str(tmp_path)])
    assert arguments.run(arguments) == 0
    assert "1 cases prepared" in capsys.readouterr().out
