"""`segarena kit export` and the check with what it writes."""

import csv
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from arena import Arena, new_arena

from segarena.cli import main
from segarena.errors import ConfigError
from segarena.kit import read_challenge


@pytest.fixture
def arena(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Arena:
    """A challenge of two cases, one submission and labels with names."""
    arena = new_arena(tmp_path)
    arena.add_case("one")
    arena.add_case("two", shift=2)
    arena.add_submission("team")
    (arena.work / "labels.tsv").write_text("label\tname\n1\tliver\n2\tspleen\n")
    arena.config["sheets"] = {"labels": "labels.tsv"}
    monkeypatch.chdir(arena.work)
    return arena


def rows(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table.read_text().splitlines()))


def export(arena: Arena, *words: str, out: str = "challenge.zip") -> Path:
    config = arena.folder / "config.yaml"
    config.write_text(yaml.safe_dump(arena.config))
    assert main(["kit", "export", str(config), "--out", out, *words]) == 0
    return Path(out)


def test_only_named_cases_leave_the_house(arena: Arena, capsys: Any) -> None:
    """Without --case there is no image and no truth in the file; it says so."""
    with zipfile.ZipFile(export(arena)) as archive:
        assert archive.namelist() == ["challenge.yaml"]
    assert "no sample cases" in capsys.readouterr().out
    with zipfile.ZipFile(export(arena, "--case", "two")) as archive:
        held = ["challenge.yaml", "cases/two.image.npz", "cases/two.truth.npz"]
        assert archive.namelist() == held
    assert "team" not in Path("challenge.zip").read_bytes().decode("latin1")


def test_the_same_challenge_gives_the_same_file(arena: Arena) -> None:
    """Byte for byte, so that its checksum can be published."""
    files = [export(arena, "--case", "one", out=name) for name in ("a.zip", "b.zip")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_challenge_file_says_all_of_the_protocol(arena: Arena) -> None:
    """Limits, label names and metrics with values per label are those of the config."""
    tolerances = {"liver": 1.0, "spleen": 3.0, "default": 2.0}
    arena.add_protocol(metrics=[{"name": "DSC"}, {"name": "NSD", "tolerance_mm": tolerances}])
    challenge = read_challenge(export(arena, "--case", "one"))
    protocol = challenge.protocols["short"]
    assert protocol["limits"] == {"memory_gb": 1}
    assert {key: about["name"] for key, about in protocol["labels"].items()} == {
        "1": "liver",
        "2": "spleen",
    }
    assert protocol["metrics"][1]["tolerance_mm"] == {1: 1.0, 2: 3.0, "default": 2.0}
    assert not challenge.has_gpu


def test_an_unknown_case_is_one_line(arena: Arena, capsys: Any) -> None:
    """Nothing is written."""
    config = arena.folder / "config.yaml"
    config.write_text(yaml.safe_dump(arena.config))
    words = ["kit", "export", str(config), "--out", "x.zip", "--case", "three"]
    assert main(words) == 2
    assert capsys.readouterr().err == "segarena: --case: no case three in the config\n"
    assert not Path("x.zip").exists()


def test_the_check_says_what_the_workflow_will(arena: Arena, capsys: Any) -> None:
    """Scores, status and answers are the same to the last digit; only times differ."""
    metrics = [{"name": "DSC"}, {"name": "NSD", "tolerance_mm": {"liver": 1, "default": 2}}]
    user = [
        {"prompt": "box", "times": 1, "jitter_px": 2},
        {"prompt": "click", "times": 2, "rule": "largest_error"},
        {"prompt": "scribble", "times": 1, "mix": {"line": 1, "centerline": 1, "contour": 1}},
    ]
    arena.add_protocol(metrics=metrics, user=user, state="case")
    challenge = export(arena, "--case", "one", "--case", "two")
    words = ["check", "submissions/team", "--runtime", "process", "--json"]
    words += ["--challenge", str(challenge), "--only", "one", "--only", "two", "--keep", "kept"]
    capsys.readouterr()
    assert main(words) == 0
    checked = json.loads(capsys.readouterr().out)
    arena.run()
    for case in ("one", "two"):
        scored = arena.path("score", "short", "team", f"{case}.csv").read_text()
        assert Path("kept", case, "scores.csv").read_text() == scored
        own = {c["interaction"]: c for c in checked["calls"] if c["case"] == case}
        for k in range(1, 5):
            record = json.loads(
                arena.path("predict", "short", "team", case, f"{k}.json").read_text()
            )
            for key in ("status", "message", "exit_code", "answer_sha256"):
                assert own[k][key] == record[key]
        (mine,) = rows(Path("kept", case, "metrics.csv"))
        theirs = rows(arena.path("score", "short", "team_metrics.csv"))
        (same,) = [row for row in theirs if row["CaseName"] == f"{case}.npz"]
        for name, value in mine.items():
            assert "RunningTime" in name or value == same[name], name


def test_the_bundled_cases_run_under_any_challenge(arena: Arena, capsys: Any) -> None:
    """Also where its metrics, its ignored label and its regions are of labels they do not have."""
    (arena.work / "labels.tsv").write_text("label\tname\tmembers\n1\tliver\t\nall\t\t1+2\n")
    metrics = [{"name": "DSC"}, {"name": "NSD", "tolerance_mm": {"liver": 1, "default": 2}}]
    arena.add_protocol(metrics=metrics, over="regions", ignore_label=2)
    words = ["check", "submissions/team", "--runtime", "process", "--challenge"]
    words += [str(export(arena)), "--only", "bundled", "--only", "bundled-cube", "--json"]
    capsys.readouterr()
    assert main(words) == 0
    calls = json.loads(capsys.readouterr().out)["calls"]
    assert [call["status"] for call in calls] == ["ok"] * 4
    assert all(call["scores"]["DSC"] > 0.3 for call in calls)


def test_a_gpu_that_the_challenge_gives_is_not_judged_without(arena: Arena, capsys: Any) -> None:
    """The check says that it had none."""
    arena.config["gpus"] = 1
    words = ["check", "submissions/team", "--runtime", "process", "--challenge"]
    words += [str(export(arena)), "--only", "bundled-cube:1", "--json"]
    capsys.readouterr()
    assert main(words) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    (found,) = [one for one in findings if one["what"] == "GPU"]
    assert (found["level"], "--gpu" in found["detail"]) == ("not judged", True)


def broken(kind: str, good: Path, path: Path) -> None:
    """Write what is no challenge file."""
    if kind in {"no zip", "empty"}:
        path.write_bytes(b"no zip" if kind == "no zip" else b"")
        return
    with zipfile.ZipFile(good) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    about = yaml.safe_load(members["challenge.yaml"])
    if kind == "another zip":
        del members["challenge.yaml"]
    elif kind == "no truth":
        del members["cases/one.truth.npz"]
    elif kind == "a damaged case":
        members["cases/one.image.npz"] = b"nothing"
    elif kind == "no YAML":
        members["challenge.yaml"] = b"a: [\x00"
    else:
        about |= {
            "a later format": {"format": 2},
            "a path as a name": {"cases": ["../../one"]},
            "no protocols": {"protocols": []},
            "a text as a protocol": {"protocols": ["cvpr25"]},
            "an unknown key": {"protocols": [{**about["protocols"][0], "evil": 1}]},
        }[kind]
        members["challenge.yaml"] = yaml.safe_dump(about).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    "kind",
    [
        *("no zip", "empty", "another zip", "no truth", "a damaged case", "no YAML"),
        *("a later format", "a path as a name", "no protocols", "a text as a protocol"),
        "an unknown key",
    ],
)
def test_what_is_no_challenge_file_is_one_line(kind: str, arena: Arena, capsys: Any) -> None:
    """The exit code is that of a wrong file, and no folder stays."""
    broken(kind, export(arena, "--case", "one"), Path("broken.zip"))
    capsys.readouterr()
    words = ["check", "submissions/team", "--runtime", "process", "--challenge", "broken.zip"]
    assert main([*words, "--only", "one"]) in {2, 3}
    lines = capsys.readouterr().err.splitlines()
    (line,) = [one for one in lines if one.startswith("segarena: ") and "process" not in one]
    assert "broken.zip" in line or "one" in line
    assert not Path("segarena-check").exists()


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """It raises the error of a wrong argument."""
    with pytest.raises(ConfigError, match="no challenge file"):
        read_challenge(tmp_path / "nothing.zip")
