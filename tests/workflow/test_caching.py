"""A finished run costs nothing again, and a change costs only what it must."""

import fcntl
import os
import re
from pathlib import Path

import numpy as np
import pytest
from arena import PREDICT, Arena

from segarena.files import read_json, write_json
from segarena.predict.store import ANSWER_CHECKS
from segarena.provenance import file_digest


def test_a_finished_run_repeated_does_nothing(arena: Arena):
    """The second run says that there is nothing to be done."""
    assert "Nothing to be done" in arena.run()


def test_a_new_submission_runs_only_its_own_jobs(arena: Arena):
    """Nothing of the other submissions is predicted or scored again."""
    arena.add_submission("eve")
    plan = arena.plan()
    assert plan["image"] == 1
    assert plan["prompt"] == plan["predict"] == 4
    assert plan["score"] == 2
    assert plan["metrics"] == plan["rank"] == 1
    assert "prepare" not in plan


def test_a_changed_submission_runs_only_its_own_jobs(arena: Arena):
    """The folder's content is its identity, so the other submission keeps its answers."""
    arena.add_submission("bob", PREDICT + "\n# better\n")
    before = {path: path.read_bytes() for path in arena.path("predict/short/ada").rglob("*.json")}
    plan = arena.plan()
    assert plan["image"] == 1
    assert plan["predict"] == 4
    arena.run()
    after = {path: path.read_bytes() for path in arena.path("predict/short/ada").rglob("*.json")}
    assert before == after


def test_a_touched_but_unchanged_submission_runs_nothing(arena: Arena):
    """A newer file time alone is no reason."""
    for path in (arena.work / "submissions" / "bob").iterdir():
        path.touch()
    assert "Nothing to be done" in arena.run()


def test_a_new_case_runs_only_its_own_jobs(arena: Arena):
    """The other cases are not prepared, predicted or scored again; the tables are written anew."""
    arena.add_case("three", shift=2)
    plan = arena.plan()
    assert plan["prepare"] == 1
    assert plan["prompt"] == plan["predict"] == 4
    assert plan["score"] == 2
    assert plan["metrics"] == 2
    assert "image" not in plan


def test_a_new_case_is_one_session_a_submission(arena: Arena):
    """So it is where one job runs all interactions, in a run that began job by job."""
    arena.config["jobs"] = "session"
    arena.run()
    arena.add_case("three", shift=2)
    plan = arena.plan()
    assert plan["prepare"] == 1
    assert plan["session_short"] == plan["score"] == plan["metrics"] == 2
    assert not {"image", "prompt", "predict"} & set(plan)


def test_a_changed_metric_parameter_rescores_without_a_container(arena: Arena):
    """Scores, tables and ranks follow; nothing is prompted or predicted."""
    arena.add_protocol(metrics=[{"name": "DSC"}, {"name": "NSD", "tolerance_mm": 1}])
    plan = arena.plan()
    assert plan["score"] == 4
    assert not {"prepare", "prompt", "image", "predict"} & set(plan)


def test_a_metric_more_is_all_that_is_measured(arena: Arena):
    """What stands in the tables is taken over, digit for digit: here, digits that nobody measured.

    Then a table that was changed by hand: nothing is taken over from it.
    """
    table = arena.path("score/short/ada/one.csv")
    measured = table.read_text()
    marked = _with_value(measured, "0.123456789")
    cached = table.parent / ".kept" / table.name
    cached.unlink()
    cached.write_text(marked)
    mark = read_json(cached.with_suffix(".json"))
    write_json(cached.with_suffix(".json"), {**mark, "sha256": file_digest(cached)})
    metrics = [{"name": "DSC"}, {"name": "NSD", "tolerance_mm": 2}]
    arena.add_protocol(metrics=[*metrics, {"name": "IoU"}])
    arena.run()
    assert [line for line in table.read_text().splitlines() if ",IoU," not in line] == (
        marked.splitlines()
    )
    cached.write_text(marked)
    arena.add_protocol(metrics=metrics)
    arena.run()
    assert table.read_text() == measured


def test_no_old_table_stands_after_a_failed_scoring(arena: Arena):
    """All new scores fail to be written, once; the next run makes them and what follows."""
    script, full = arena.project / "src/segarena/score/step.py", arena.folder / "full"
    fails = f"assert not Path({str(full)!r}).exists()\n    table = Path(output)"
    _replace(script, "table = Path(output)", fails)
    full.touch()
    assert "error(s) stopped this run" in arena.run(expect=1)
    full.unlink()
    plan = arena.plan()
    assert plan["score"] == 4
    assert plan["metrics"] == 2


def test_what_is_deleted_between_two_stages_is_made_again(arena: Arena):
    """Also where all that was made from it stands."""
    for name in ("prepare/one.truth.npz", "predict/ada/image.json", "report/short/cases/one.js"):
        arena.path(name).unlink()
    plan = arena.plan()
    assert plan["prepare"] == plan["image"] == plan["case_picture"] == 1


def test_a_deleted_answer_comes_back_without_a_call(arena: Arena):
    """Though all that was made from it is there; the store has it, with the time it took."""
    answer = arena.path("predict/short/ada/one/1.npz")
    before = answer.read_bytes(), read_json(answer.with_suffix(".json"))
    answer.unlink()
    arena.run()
    after = answer.read_bytes(), read_json(answer.with_suffix(".json"))
    assert after == (before[0], {**before[1], "found": True})


def test_changed_code_reruns_the_rules_that_use_it(arena: Arena):
    """A change in a scoring module rescores; nothing before it runs."""
    _replace(arena.project / "src/segarena/score/table.py", '"num_class": labels', '"num_class": 1')
    plan = arena.plan()
    assert plan["metrics"] == 2
    assert not {"prepare", "prompt", "image", "predict", "score"} & set(plan)


def test_changed_code_around_a_call_reruns_nothing(arena: Arena):
    """An answer follows from what the submission saw, not from our code."""
    _replace(arena.project / "src/segarena/predict/session.py", '"no_answer"', '"nothing"')
    assert "Nothing to be done" in arena.run()


def test_another_check_of_answers_reruns_predict(arena: Arena):
    """Whoever changes what counts as an answer raises its number."""
    store = arena.project / "src/segarena/predict/store.py"
    _replace(store, f"ANSWER_CHECKS = {ANSWER_CHECKS}", f"ANSWER_CHECKS = {ANSWER_CHECKS + 1}")
    assert arena.plan()["predict"] == 8


def test_a_renamed_submission_is_not_called_again(arena: Arena):
    """Its tables are made under the new name, from the answers in the store."""
    folder = arena.work / "submissions"
    (folder / "bob").rename(folder / "eve")
    arena.config["jobs"] = "session"
    arena.run()
    records = [read_json(path) for path in arena.path("predict/short/eve").glob("*/*.json")]
    assert len(records) == 4
    assert all(record["found"] for record in records)
    board = arena.path("rank/short/leaderboard.csv").read_text()
    assert "eve" in board
    assert "bob" not in board


def test_what_is_answered_needs_no_gpu(
    empty_arena: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A renamed submission finds its answers while somebody else has the only device."""
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho '0, GPU-1, Model, 1.0'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    arena = empty_arena
    arena.config["gpus"] = 1
    arena.add_case("one")
    arena.add_submission("ada")
    arena.run("results/score/short/ada_metrics.csv")
    assert read_json(arena.path("predict/short/ada/one/1.json"))["gpu"]["devices"] == ["GPU-1"]
    (arena.work / "submissions/ada").rename(arena.work / "submissions/eve")
    with (tmp_path / "segarena-gpus" / "GPU-1").open() as device:
        fcntl.flock(device, fcntl.LOCK_EX)
        arena.run("results/score/short/eve_metrics.csv")
    assert read_json(arena.path("predict/short/eve/one/2.json"))["found"]


def test_a_removed_case_leaves_the_tables(arena: Arena):
    """In one run, together with another change, which counts as well."""
    for kind in ("images", "labels"):
        (arena.work / kind / "two.npz").unlink()
    arena.add_protocol(metrics=[{"name": "DSC"}, {"name": "NSD", "tolerance_mm": 0.1}])
    plan = arena.plan()
    assert plan["score"] == plan["metrics"] == 2
    assert plan["cases"] == plan["rank"] == plan["report"] == 1
    assert not {"prepare", "prompt", "predict"} & set(plan)


def test_a_corrected_truth_that_is_older_counts(arena: Arena):
    """As after `cp -p`; the answers to what the user says as before are not asked again."""
    path = arena.work / "labels" / "one.npz"
    gts = np.load(path)["gts"]
    gts[0, 0, 0] = 1
    np.savez(path, gts=gts)
    os.utime(path, (1, 1))
    arena.run()
    first = read_json(arena.path("predict/short/ada/one/1.json"))
    assert first["found"]
    assert "Nothing to be done" in arena.run()


def test_touched_or_aged_cases_run_nothing(arena: Arena):
    """Their content counts, not their time."""
    for number, path in enumerate((arena.work / "labels").iterdir()):
        os.utime(path, (number, number))
    for path in (arena.work / "images").iterdir():
        path.touch()
    assert "Nothing to be done" in arena.run()


def test_the_same_code_checked_out_again_runs_nothing(arena: Arena):
    """A script's time is no change."""
    for path in arena.project.rglob("*"):
        path.touch()
    assert "Nothing to be done" in arena.run()


@pytest.mark.parametrize(
    "name",
    [
        "prepare/one.truth.npz",
        "prompt/short/ada/one/1.json",
        "predict/short/ada/one/2.json",
        "score/short/ada_metrics.csv",
        "rank/short/leaderboard.csv",
        "report/short/index.html",
    ],
)
@pytest.mark.parametrize("left", [0, 7])
def test_an_emptied_or_cut_result_with_its_old_time_is_made_again(
    name: str, left: int, arena: Arena
):
    """Before anything is built on it."""
    path = arena.path(name)
    before = path.stat()
    os.truncate(path, left)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "1 result(s) were emptied or cut" in arena.run("--dry-run")
    assert not path.exists()


def test_a_changed_comment_reruns_nothing(arena: Arena):
    """What does not change what the code does is no reason to run a container."""
    module = arena.project / "src/segarena/predict/session.py"
    module.write_text("# A remark.\n" + module.read_text())
    assert "Nothing to be done" in arena.run()


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert len(re.findall(re.escape(old), text)) >= 1
    path.write_text(text.replace(old, new))


def _with_value(table: str, value: str) -> str:
    """Return a table of scores with another value in its first row."""
    head, first, *others = table.splitlines()
    return "\n".join([head, f"{first.rsplit(',', 1)[0]},{value}", *others, ""])
