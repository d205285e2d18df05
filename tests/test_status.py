"""`segarena status`, from a config and files that a run would have left."""

import argparse
import json
import os
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from segarena import status
from segarena.config import read
from segarena.errors import ConfigError
from segarena.files import write_json
from segarena.plan import FILE, write_plan
from segarena.protocol import load

NOW = datetime(2026, 5, 4, 12, 0, 0).timestamp()


def answered(folder: Path, team: str, case: str, k: int, **record: object) -> Path:
    """Leave what an interaction leaves: a record, written so many seconds before NOW."""
    before = record.pop("before", 0)
    path = folder / "results" / "predict" / "cvpr25" / team / case / f"{k}.json"
    write_json(path, {"status": "ok", "message": "", "limits": {"seconds": 90.0}, **record})
    os.utime(path, (NOW - before, NOW - before))  # type: ignore[operator]
    return path


def planned(folder: Path, *cases: str, teams: tuple[str, ...] = ("alpha",), **plan: object) -> None:
    """Leave what a run leaves when it starts, and its prepared cases."""
    values = {"repetitions": {"cvpr25": 6}, "left_out": {"cvpr25": {}}, "notes": [], **plan}
    names = {"cases": list(cases), "submissions": list(teams)}
    write_json(folder / FILE, {"files": {}, "changes": {}, "plan": names | values})
    for case in cases:
        path = folder / "results" / "prepare" / f"{case}.truth.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def configured(folder: Path, **changes: object) -> Path:
    """Write a config of two cases and two teams into a folder; return its path."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(exist_ok=True)
        for case in ("a", "b"):
            (folder / kind / f"{case}.npz").touch()
    for team in ("alpha", "beta"):
        (folder / "teams" / team).mkdir(parents=True, exist_ok=True)
        (folder / "teams" / team / "predict.sh").touch()
    config = {"cases": {"images": "images", "labels": "labels"}, "submissions": "teams", **changes}
    path = folder / "config" / "config.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(config))
    return path


def test_counts_and_end(tmp_path: Path) -> None:
    """Two of twelve answers ten seconds apart leave ten answers, 100 seconds, to be waited for."""
    planned(tmp_path, "a", "b")
    answered(tmp_path, "alpha", "a", 1, before=10)
    answered(tmp_path, "alpha", "a", 2)
    lines = status.report(tmp_path, now=NOW).splitlines()
    assert lines[0] == "2026-05-04 12:00:00  2 of 2 cases prepared, 0 of 1 submissions loaded"
    assert lines[1] == (
        "cvpr25: 2 of 12 answers (16 %), 0 of 2 cases scored; "
        "about 2 min left, until 2026-05-04 12:01"
    )
    assert lines[2] == "  alpha      0 of 2 cases   16 % of answers"


def test_standing_still_puts_the_end_off(tmp_path: Path) -> None:
    """An hour without an answer makes the end later than the pace before it would."""
    planned(tmp_path, "a")
    answered(tmp_path, "alpha", "a", 1, before=3610)
    answered(tmp_path, "alpha", "a", 2, before=3600)
    assert "about 4 h 01 min left" in status.report(tmp_path, now=NOW)


def test_a_failing_case_is_named_with_its_last_line_and_its_log(tmp_path: Path) -> None:
    """A failing team is marked, with counts by kind; its latest failures come first."""
    planned(tmp_path, "a", "b")
    answered(tmp_path, "alpha", "a", 1, status="timed_out", message="stopped", before=5)
    crash = answered(tmp_path, "alpha", "b", 2, status="crashed", message="ended\nwith 1")
    crash.with_suffix(".log").write_text("crashed: ended with 1\nloading\nKeyError: 'boxes'\n\n")
    answered(tmp_path, "alpha", "a", 3, status="not_asked", message="no box")
    lines = status.report(tmp_path, now=NOW).splitlines()
    assert lines[2].endswith("of answers  FAILING: 1 crashed, 1 timed_out")
    assert lines[3:] == [
        "      b, interaction 2: crashed: ended with 1",
        "          results/predict/cvpr25/alpha/b/2.log",
        "          its last line: KeyError: 'boxes'",
        "      a, interaction 1: timed_out (limit 90.0 s): stopped",
        "          results/predict/cvpr25/alpha/a/1.log",
    ]


def test_many_failures_are_not_all_printed(tmp_path: Path) -> None:
    """Three cases are named; JSON has them all."""
    planned(tmp_path, "a")
    for k in range(1, 7):
        answered(tmp_path, "alpha", "a", k, status="crashed", message="")
    text = status.report(tmp_path, now=NOW)
    assert text.count("interaction") == 3
    assert "and 3 more; --json lists them all" in text
    found = json.loads(status.as_json(status.status(tmp_path, now=NOW)))
    assert len(found["repetitions"]["cvpr25"]["submissions"]["alpha"]["failures"]) == 6


def test_message_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """Control characters of a submission's message or last line do not reach the terminal."""
    planned(tmp_path, "a")
    path = answered(tmp_path, "alpha", "a", 1, status="crashed", message="\x1b[2Jgone\x07")
    path.with_suffix(".log").write_text("crashed: \n\x1b[2Jlast\x07\n")
    assert "\x1b" not in status.report(tmp_path, now=NOW)
    assert "\x07" not in status.report(tmp_path, now=NOW)


def test_finished_run(tmp_path: Path) -> None:
    """A finished run says so, and how many cases are scored."""
    planned(tmp_path, "a")
    for k in range(1, 7):
        answered(tmp_path, "alpha", "a", k)
    score = tmp_path / "results" / "score" / "cvpr25" / "alpha" / "a.csv"
    score.parent.mkdir(parents=True)
    score.touch()
    line = status.report(tmp_path, now=NOW).splitlines()[1]
    assert line == "cvpr25: 6 of 6 answers (100 %), 1 of 1 cases scored; all answered"


def test_a_team_that_has_not_answered_counts(tmp_path: Path) -> None:
    """While images are loaded, all teams and all cases of the config are shown."""
    planned(tmp_path, "a", "b", teams=("alpha", "beta"))
    (tmp_path / "results" / "prepare" / "b.truth.npz").unlink()
    write_json(tmp_path / "results" / "predict" / "beta" / "image.json", {})
    text = status.report(tmp_path, now=NOW)
    assert "1 of 2 cases prepared, 1 of 2 submissions loaded" in text
    assert "0 of 24 answers (0 %)" in text
    assert "  beta       0 of 2 cases    0 % of answers" in text


def test_what_the_config_does_not_name_is_not_counted(tmp_path: Path) -> None:
    """A withdrawn team, a dropped protocol, a case of before and an interaction too many."""
    planned(tmp_path, "a", repetitions={"cvpr25": 1})
    answered(tmp_path, "alpha", "a", 1)
    answered(tmp_path, "alpha", "a", 2)
    answered(tmp_path, "alpha", "old", 1)
    answered(tmp_path, "withdrawn", "a", 1)
    dropped = tmp_path / "results" / "predict" / "noc" / "alpha" / "a" / "1.json"
    write_json(dropped, {"status": "crashed"})
    text = status.report(tmp_path, now=NOW)
    assert "cvpr25: 1 of 1 answers (100 %)" in text
    assert "withdrawn" not in text
    assert "noc" not in text


def test_a_team_that_is_left_out_is_named_and_not_counted(tmp_path: Path) -> None:
    """Its answers are not waited for, in no repetition."""
    planned(
        tmp_path,
        "a",
        teams=("alpha", "beta"),
        repetitions={"cvpr25": 6, "cvpr25.2": 6},
        left_out={"cvpr25": {"beta": "it does not accept clicks"}},
    )
    text = status.report(tmp_path, now=NOW)
    assert "cvpr25: 0 of 6 answers" in text
    assert "cvpr25.2: 0 of 6 answers" in text
    assert "  beta is left out: it does not accept clicks" in text


def test_two_names_of_one_image_are_told(tmp_path: Path) -> None:
    """Two archives of one image, two copies of a folder; not two folders in one base image."""
    teams = ("a", "b", "c", "d", "e", "f")
    planned(tmp_path, "one", teams=teams)
    images = [
        {"image_id": "sha256:1", "sha256": "x"},
        {"image_id": "sha256:1", "sha256": "y"},
        {"image_id": "sha256:base", "sha256": "p", "mounted": True},
        {"image_id": "sha256:base", "sha256": "q", "mounted": True},
        {"image_id": None, "sha256": "z"},
        {"image_id": None, "sha256": "z"},
    ]
    for team, image in zip(teams, images, strict=True):
        write_json(tmp_path / "results" / "predict" / team / "image.json", image)
    warnings = [line for line in status.report(tmp_path, now=NOW).splitlines() if "same" in line]
    assert warnings == [
        "warning: a, b are the same image under 2 names",
        "warning: e, f are the same image under 2 names",
    ]


def test_the_documented_example_is_what_is_printed(tmp_path: Path) -> None:
    """docs/report.md shows a status as this run has it: 400 s for 41 answers, 19 are left."""
    cases, teams = ("liver", "spleen", "a", "b", "c"), ("ellipsoid", "geodesic")
    note = "submissions/late.tar.gz.part: an upload that is not finished; it is not used"
    planned(tmp_path, *cases, teams=teams, notes=[note])
    for team, answers, scored in (("ellipsoid", 23, 3), ("geodesic", 18, 2)):
        for number in range(answers):
            answered(tmp_path, team, cases[number // 6], number % 6 + 1, before=400)
        write_json(tmp_path / "results" / "predict" / team / "image.json", {"image_id": team})
        for case in cases[:scored]:
            path = tmp_path / "results" / "score" / "cvpr25" / team / f"{case}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    stopped = {"status": "timed_out", "message": "stopped at the time limit", "before": 100}
    answered(tmp_path, "geodesic", "liver", 1, **stopped)
    crashed = {"status": "crashed", "message": "predict.sh ended with exit code 1"}
    path = answered(tmp_path, "geodesic", "spleen", 2, **crashed)
    path.with_suffix(".log").write_text("crashed: ended with 1\nKeyError: 'boxes'\n")
    text = (Path(__file__).parents[1] / "docs" / "report.md").read_text(encoding="utf-8")
    printed = status.report(tmp_path, now=NOW)
    assert "".join(f"    {line}\n" for line in printed.splitlines()) in text


def test_single_answer_is_too_early(tmp_path: Path) -> None:
    """One answer has no pace."""
    planned(tmp_path, "a")
    answered(tmp_path, "alpha", "a", 1)
    assert "too early to estimate the end" in status.report(tmp_path, now=NOW)


def test_the_config_alone_is_enough(tmp_path: Path) -> None:
    """Before anything has run, config/config.yaml says what there is to do."""
    configured(tmp_path)
    (tmp_path / "teams" / "late.tar.gz.part").touch()
    lines = status.report(tmp_path, now=NOW).splitlines()
    assert lines[0].endswith("0 of 2 cases prepared, 0 of 2 submissions loaded")
    assert lines[1].startswith("cvpr25: 0 of 24 answers (0 %), 0 of 4 cases scored")
    assert "late.tar.gz.part: an upload that is not finished" in lines[-1]


def test_a_changed_config_counts_from_then_on(tmp_path: Path, monkeypatch) -> None:
    """What the last run wrote down holds for as long as its config is the same."""
    path = configured(tmp_path, protocols=["cvpr25", "noc"])
    monkeypatch.chdir(tmp_path)
    write_plan(read(yaml.safe_load(path.read_text())), [path], {})
    assert "noc: 0 of" in status.report(tmp_path, now=NOW)
    configured(tmp_path, protocols=["cvpr25"])
    assert "noc" not in status.report(tmp_path, now=NOW)
    configured(tmp_path, protocols=["cvpr24"])
    text = status.report(tmp_path, now=NOW)
    assert "noc: 0 of" in text
    assert "warning: the config was changed and cannot be read" in text


def test_another_config_of_the_same_folder(tmp_path: Path) -> None:
    """--configfile asks about another config than that of the last run."""
    planned(tmp_path, "a", "b")
    answered(tmp_path, "alpha", "a", 1)
    other = configured(tmp_path, protocols=["noc"])
    text = status.report(tmp_path, other, now=NOW)
    assert "cvpr25" not in text
    clicks = sum(step["times"] for step in load("noc")["user"])
    assert f"noc: 0 of {2 * 2 * clicks} answers" in text


def test_no_run_here(tmp_path: Path) -> None:
    """A folder without a run and without a config is refused, whatever results/ it has."""
    (tmp_path / "results").mkdir()
    with pytest.raises(ConfigError, match="no run here; name the folder"):
        status.report(tmp_path, now=NOW)
    with pytest.raises(ConfigError, match=r"gone\.yaml: no such file"):
        status.report(tmp_path, tmp_path / "gone.yaml", now=NOW)


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_command_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list) -> None:
    """The sub-command takes a folder and prints its status, as text or as JSON."""
    planned(tmp_path, "a")
    parser = argparse.ArgumentParser()
    status.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["status", str(tmp_path), *flags])
    assert arguments.run(arguments) == 0
    printed = capsys.readouterr().out
    if flags:
        assert json.loads(printed)["cases"] == {"prepared": 1, "planned": 1}
    else:
        assert "1 of 1 cases prepared" in printed
