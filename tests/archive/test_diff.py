"""Which numbers changed between two runs, and why; and a run played again from its archive."""

import hashlib
import json
from argparse import Namespace
from pathlib import Path

import pytest
from arena import PREDICT, Arena

from segarena.archive import command
from segarena.archive.diff import compare, open_run
from segarena.errors import ConfigError

SCORES = "results/score/short/ada/one.csv"


def edited(files, name, **changes):
    files[name] = json.dumps({**json.loads(files[name]), **changes}).encode()


def rescored(files):
    """Change the first score, of interaction 1 and label 1."""
    lines = files[SCORES].decode().splitlines()
    lines[1] = "1,1,DSC,0.5"
    files[SCORES] = "\n".join(lines).encode()


def changes(one: Path, other: Path):
    with open_run(one) as first, open_run(other) as second:
        return compare(first, second)


def test_an_archive_and_its_run_are_the_same(archive: Path, archived_run: Arena):
    """The folder of a run may stand for its archive."""
    difference = changes(archive, archived_run.work)
    assert (difference.changes, difference.alone) == ([], [])
    assert difference.compared == 4 * 8


def test_what_is_left_of_a_withdrawn_submission_is_no_part_of_a_run(
    archive: Path, archived_run: Arena, tmp_path: Path
):
    """Its scores stay in the folder until somebody cleans it, but the last run did not have it."""
    run = archived_run.copy(tmp_path)
    plan = run.work / ".snakemake/segarena/plan.json"
    written = json.loads(plan.read_text())
    written["plan"]["submissions"] = ["ada"]
    plan.write_text(json.dumps(written))
    difference = changes(archive, run.work)
    assert len(difference.alone) == 2
    assert all("bob" in line for line in difference.alone)
    assert difference.compared == 2 * 8


def test_a_changed_submission_is_named_as_the_reason(archive: Path, tampered):
    """The answer differs first, and the submission's digest differs."""

    def change(files):
        rescored(files)
        edited(files, "results/predict/short/ada/one/1.json", answer_sha256="0" * 64)
        facts = json.loads(files["run.json"])
        facts["submissions"]["ada"]["sha256"] = "f" * 64
        files["run.json"] = json.dumps(facts).encode()

    (changed,) = changes(archive, tampered(change)).changes
    assert (changed.interaction, changed.label, changed.metric) == ("1", "1", "DSC")
    assert changed.after == "0.5"
    assert changed.why.startswith("the answer at interaction 1 differs: submission (sha256 ")


def test_an_answer_that_differs_for_no_known_reason_is_blamed_on_chance(archive: Path, tampered):
    """Nothing but the answer changed."""

    def change(files):
        rescored(files)
        edited(files, "results/predict/short/ada/one/1.json", answer_sha256="0" * 64)

    (changed,) = changes(archive, tampered(change)).changes
    assert changed.why.endswith("the submission may not be deterministic")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("code", {"score": "0" * 16}, "same answers: code (score "),
        ("cases", {"truth_sha256": "0" * 64}, "same answers: case (truth_sha256 "),
    ],
)
def test_changed_code_and_a_changed_case_are_named(archive, tampered, key, value, reason):
    """The same answers score otherwise."""

    def change(files):
        rescored(files)
        facts = json.loads(files["run.json"])
        (facts["cases"]["one"] if key == "cases" else facts[key]).update(value)
        files["run.json"] = json.dumps(facts).encode()

    (changed,) = changes(archive, tampered(change)).changes
    assert changed.why.startswith(reason)


def test_a_changed_protocol_and_seed_are_named(archive: Path, tampered):
    """The version and the seed of both runs stand in the reason."""

    def change(files):
        rescored(files)
        name = "config/protocols/short.yaml"
        files[name] = files[name].replace(b"version: 1", b"version: 2")
        files[name] = files[name].replace(b"seed: 42", b"seed: 43")

    (changed,) = changes(archive, tampered(change)).changes
    assert changed.why.startswith("same answers: protocol (")
    assert "version 1 -> 2" in changed.why
    assert "seed 42 -> 43" in changed.why


def test_another_place_on_the_leaderboard_is_told(archive: Path, tampered):
    """By submission, with both places."""

    def change(files):
        name = "results/rank/short/leaderboard.csv"
        head, first, second = files[name].decode().splitlines()
        assert first.startswith("1,ada,")
        files[name] = "\n".join([head, second.replace("1,bob", "2,bob", 1), first]).encode()

    facts = changes(archive, tampered(change)).facts
    assert facts == ["leaderboard short: bob is 1, then 2"]


def test_a_session_that_only_one_run_has_is_told(archive: Path, tampered):
    """It is no change of a number."""
    difference = changes(archive, tampered(lambda files: files.pop(SCORES)))
    assert difference.alone == ["short/ada/one: only in the first"]
    assert difference.changes == []


def test_what_is_no_run_is_told(tmp_path: Path):
    """An empty folder."""
    with pytest.raises(ConfigError, match="neither an archive nor the folder of a run"):
        changes(tmp_path, tmp_path)


def test_differences_come_as_json(archive: Path, tampered, capsys):
    """The changed score with its reason, and nothing else on stdout."""
    arguments = Namespace(a=archive, b=tampered(rescored), json=True)
    assert command.run_diff(arguments) == 1
    found = json.loads(capsys.readouterr().out)
    (change,) = found["changes"]
    assert (change["submission"], change["interaction"], change["after"]) == ("ada", "1", "0.5")
    assert found["compared"] == 4 * 8


def rerun(archive: Path, arena: Arena, out: Path) -> int:
    cases = arena.work
    return command.run_rerun(
        Namespace(
            archive=archive,
            submissions=arena.work / "submissions",
            cases=cases,
            out=out,
            cores=2,
            runtime="process",
            json=False,
        )
    )


def test_a_run_played_again_from_its_archive_is_bit_identical(
    archive: Path, archived_run: Arena, tmp_path: Path, capsys, monkeypatch
):
    """Deterministic submissions answer the same; one that changed is told, with the reason."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    out = tmp_path / "again"
    assert rerun(archive, archived_run, out) == 0
    assert "0 of 32 scores differ" in capsys.readouterr().out
    for path in archived_run.path("predict").rglob("short/*/*/[12].npz"):
        again = out / "results" / path.relative_to(archived_run.path())
        assert (
            hashlib.sha256(again.read_bytes()).digest()
            == hashlib.sha256(path.read_bytes()).digest()
        )
    changed = archived_run.copy(tmp_path / "changed")
    changed.add_submission("bob", PREDICT.replace("= i\n", "= 3 - i\n"))
    assert rerun(archive, changed, out) == 1
    printed = capsys.readouterr().out
    assert "not as archived: submission bob: its sha256 is not the archived one" in printed
    assert "parted: short/bob/one: the answer at interaction 1 differs" in printed
    assert "submission (sha256 " in printed
    assert "short/ada" not in printed
