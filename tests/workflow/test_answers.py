"""`answers: final` leaves the last answer of each case, and all that was made from the others."""

from pathlib import Path

import pytest
from arena import Arena


@pytest.mark.parametrize("jobs", ["interaction", "session"])
def test_a_finished_run_gives_up_its_answers_and_nothing_else(arena: Arena, jobs: str):
    """No call is made; scores and pictures stay; then there is nothing to be done."""
    arena.config["jobs"] = jobs
    arena.run()
    before = contents(arena)
    arena.config["answers"] = "final"
    assert set(arena.plan()) == {"drop", "all"}
    arena.run()
    after = contents(arena)
    gone = {path for path in before if path not in after}
    names = {f"{team}/{case}" for team in ("ada", "bob") for case in ("one", "two")}
    assert gone == {f"predict/short/{name}/{k}1.npz" for name in names for k in ("", ".kept/")}
    assert all(after[path] == before[path] for path in before if path not in gone)
    assert "Nothing to be done" in arena.run()


def test_a_new_submission_still_runs_only_its_own_jobs(arena: Arena):
    """The answers that are gone are missed by nobody, and the newcomer's go, too."""
    arena.config |= {"answers": "final", "jobs": "session"}
    arena.run()
    arena.add_submission("eve")
    plan = arena.plan()
    assert plan["session_short"] == plan["score"] == 2
    assert plan["drop"] == 1
    arena.run()
    answers = arena.path("predict/short").rglob("*.npz")
    assert {path.name for path in answers} == {"2.npz"}
    assert "Nothing to be done" in arena.run()


def test_measuring_anew_is_playing_anew(arena: Arena):
    """As config/README.md says; then the answers go again."""
    arena.config |= {"answers": "final", "jobs": "session"}
    arena.run()
    arena.add_protocol(metrics=[{"name": "DSC"}])
    plan = arena.plan()
    assert plan["session_short"] == plan["score"] == 4
    arena.run()
    assert not list(arena.path("predict").rglob("1.npz"))


def test_an_answer_that_shall_stay_is_asked_for_again(arena: Arena):
    """Where the key says `all` once more."""
    arena.config |= {"answers": "final", "jobs": "session"}
    arena.run()
    arena.config["answers"] = "all"
    assert arena.plan()["session_short"] == 4


def test_a_run_with_its_final_answers_is_archived(arena: Arena):
    """Nothing is played for it."""
    arena.config |= {"answers": "final", "jobs": "session"}
    arena.run()
    printed = arena.run("--dry-run", "archive")
    assert "session_short" not in printed
    arena.run("archive")
    assert len(list(arena.path("archive").glob("*.zip"))) == 1


def contents(arena: Arena) -> dict[str, bytes]:
    """Return every file of a run but logs and the mark that answers were dropped."""
    files = (path for path in arena.path().rglob("*") if path.is_file())
    return {
        str(path.relative_to(arena.path())): path.read_bytes()
        for path in files
        if not _is_new(path, arena.path())
    }


def _is_new(path: Path, results: Path) -> bool:
    return path.name == "dropped.json" or path.relative_to(results).parts[0] == "logs"
