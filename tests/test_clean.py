"""`segarena clean` lists what no config names, and removes nothing else, and never by itself."""

import argparse
import json
from pathlib import Path

import pytest

from segarena import clean, run
from segarena.errors import ConfigError
from segarena.files import write_json
from segarena.plan import FILE, Plan

NAMED = [
    "prepare/one.image.npz",
    "prepare/one.truth.npz",
    "prepare/one.json",
    "prepare/cases.tsv",
    "prompt/short/ada/one/1.json",
    "predict/short/ada/one/1.npz",
    "predict/short.2/ada/one/1.npz",
    "predict/ada/image.json",
    "score/short/ada/one.csv",
    "score/short/ada_metrics.csv",
    "score/short/ada_labels.csv",
    "rank/short/leaderboard.csv",
    "report/short/index.html",
    "report/short/cases/one.webp",
    "report/short/answers/ada/one.png",
    "report/short/errors/ada/one.png",
    "report/short/viewer/index.html",
    "report/short/viewer/cases/one/image.nii.gz",
    "report/short/viewer/answers/ada/one.nii.gz",
    "logs/report/short/viewer.log",
    "logs/report/short/viewer/answers/ada.log",
    "logs/predict/short/ada/one/session.log",
    "logs/predict/ada.log",
    "logs/report/short/answers/ada.log",
    "logs/score/short/ada_metrics.log",
    "archive/arena-2026-11-27.zip",
    "notes.txt",
]
UNNAMED = [
    "prepare/two.image.npz",
    "prepare/two.truth.npz",
    "prepare/two.json",
    "prompt/short/bob",
    "prompt/short/ada/two",
    "prompt/short/ada/one/2.json",
    "prompt/noc",
    "predict/short/bob",
    "predict/short.3",
    "predict/bob",
    "score/short/bob_metrics.csv",
    "score/short/bob_labels.csv",
    "score/short/ada/two.csv",
    "score/noc",
    "rank/noc",
    "report/noc",
    "report/short/cases/two.truth.png",
    "report/short/answers/bob",
    "report/short/answers/ada/two.png",
    "report/short/errors/bob",
    "report/short/errors/ada/two.png",
    "report/short/viewer/cases/two",
    "report/short/viewer/answers/bob",
    "report/short/viewer/prompts/ada/two.nii.gz",
    "logs/predict/short/bob",
    "logs/predict/bob.log",
    "logs/prepare/two.log",
    "logs/report/short/viewer/answers/bob.log",
    "logs/score/short/bob_metrics.log",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of one team and one case that once had a second of each, and another protocol."""
    plan = {
        "cases": ["one"],
        "submissions": ["ada", "eve"],
        "repetitions": {"short": 1, "short.2": 1},
        "left_out": {"short": {"eve": "it does not accept clicks"}},
        "notes": [],
    }
    write_json(tmp_path / FILE, {"files": {}, "changes": {}, "plan": plan})
    for name in NAMED + UNNAMED:
        path = tmp_path / "results" / name
        if path.suffix in {"", ".3"}:
            path /= "file.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def cleaned(folder: Path, *flags: str) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser()
    clean.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["clean", str(folder), *flags])
    return arguments.run(arguments)


def left(folder: Path) -> set[str]:
    """Return all files under results/."""
    results = folder / "results"
    return {str(path.relative_to(results)) for path in results.rglob("*") if path.is_file()}


def test_what_no_config_names_is_listed_and_nothing_is_removed(folder: Path, capsys):
    """A withdrawn team, a dropped protocol, an old case, and an interaction too many."""
    before = left(folder)
    assert cleaned(folder) == 0
    *listed, last = capsys.readouterr().out.splitlines()
    assert sorted(listed) == sorted(f"{folder}/results/{name}" for name in UNNAMED)
    assert last == f"{len(UNNAMED)}; --yes removes them"
    assert left(folder) == before


def test_the_list_comes_as_json(folder: Path, capsys):
    """All paths, however many."""
    assert cleaned(folder, "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert sorted(listed) == sorted(f"{folder}/results/{name}" for name in UNNAMED)


def test_with_yes_it_is_removed_and_all_else_stays(folder: Path, capsys):
    """What the config names, archives and files of others are still there; then all is clean."""
    assert cleaned(folder, "--yes") == 0
    assert left(folder) == set(NAMED)
    run._held.pop().close()  # of the lock, which ends with the process
    capsys.readouterr()
    assert cleaned(folder) == 0
    assert capsys.readouterr().out.startswith("nothing to clean")


def test_a_team_that_is_left_out_now_has_no_results(folder: Path):
    """What was run before it declared what it accepts counts nowhere any more."""
    path = folder / "results" / "predict" / "short" / "eve" / "one" / "1.npz"
    path.parent.mkdir(parents=True)
    path.touch()
    plan = Plan(["one"], ["ada", "eve"], {"short": 1}, {"short": {"eve": "no clicks"}}, [])
    assert path.parents[1] in list(clean.unnamed(folder / "results", plan))


def test_nothing_is_removed_while_a_run_is_at_work(folder: Path):
    """The folder's lock is asked for first."""
    run.lock(folder / run.LOCK)
    try:
        with pytest.raises(ConfigError, match="another run is at work here"):
            cleaned(folder, "--yes")
    finally:
        run._held.pop().close()
    assert len(left(folder)) == len(NAMED + UNNAMED)


def test_a_link_is_removed_and_not_what_it_leads_to(folder: Path, tmp_path: Path):
    """A folder that is kept elsewhere stays there."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    link = folder / "results" / "prompt" / "old"
    link.symlink_to(elsewhere)
    clean.remove(link)
    assert not link.is_symlink()
    assert (elsewhere / "file").exists()
