"""`answers: final` leaves the last answer of each case, and all that was made from the others."""

import shutil
from pathlib import Path

import pytest
from arena import Arena

DRAW = ("--allowed-rules", "answer_pictures", "--", "results/report/short/answers/ada")


@pytest.fixture(scope="module", params=["interaction", "session"])
def final(
    finished: Arena, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Arena:
    """A finished run, in either way, told to keep the final answers alone; do not change it."""
    arena = finished.copy(tmp_path_factory.mktemp("final"))
    arena.config |= {"jobs": request.param, "answers": "final"}
    arena.run()
    return arena


def test_a_finished_run_gives_up_its_answers_and_nothing_else(finished: Arena, final: Arena):
    """No call is made; records, scores and pictures stay; then there is nothing to be done."""
    before, after = contents(finished), contents(final)
    names = [f"{team}/{case}" for team in ("ada", "bob") for case in ("one", "two")]
    gone = {f"predict/short/{name}/1.npz" for name in names}
    assert set(before) - set(after) == gone
    assert all(after[path] == before[path] for path in before if path not in gone)
    assert "Nothing to be done" in final.run()


def test_a_new_submission_still_runs_only_its_own_jobs(final: Arena, tmp_path: Path):
    """Nobody misses the answers that are gone; the newcomer's will go, too."""
    arena = final.copy(tmp_path)
    arena.add_submission("eve")
    plan = arena.plan()
    assert plan["image"] == plan["drop"] == 1
    assert plan["score"] == plan.get("session_short", plan.get("prompt", 0) // 2) == 2


def test_measuring_anew_is_playing_anew(final: Arena, tmp_path: Path):
    """As config/README.md says."""
    arena = final.copy(tmp_path)
    arena.add_protocol(metrics=[{"name": "DSC"}])
    plan = arena.plan()
    assert plan["score"] == plan.get("session_short", plan.get("predict", 0) // 2) == 4
    assert plan["drop"] == 2


def test_what_shall_stay_after_all_is_played_again(final: Arena, tmp_path: Path):
    """Where the key says `all` once more."""
    arena = final.copy(tmp_path)
    arena.config["answers"] = "all"
    plan = arena.plan()
    assert plan.get("session_short", plan.get("predict", 0) // 2) == 4


def test_a_run_with_its_final_answers_is_archived(final: Arena, tmp_path: Path):
    """Nothing is played for it."""
    arena = final.copy(tmp_path)
    arena.run("archive")
    assert len(list(arena.path("archive").glob("*.zip"))) == 1
    assert contents(arena).items() >= contents(final).items()


def test_pictures_are_drawn_anew_without_the_answers_that_are_gone(final: Arena, tmp_path: Path):
    """No container is asked; but the last answer must be there."""
    arena = final.copy(tmp_path)
    pictures = arena.path("report/short/answers/ada")
    shutil.rmtree(pictures)
    assert not {"session_short", "prompt", "predict"} & set(arena.plan())
    arena.run(*DRAW)
    assert len(list(pictures.glob("*.png"))) == 2
    shutil.rmtree(pictures)
    arena.path("predict/short/ada/one/2.npz").unlink()
    arena.run(*DRAW, expect=1)


def test_pictures_miss_an_answer_where_all_are_kept(arena: Arena):
    """It is not drawn as one that was dropped."""
    shutil.rmtree(arena.path("report/short/answers/ada"))
    arena.path("predict/short/ada/one/1.npz").unlink()
    arena.run(*DRAW, expect=1)


def contents(arena: Arena) -> dict[str, bytes]:
    """Return prompts, answers, scores and pictures, by path; found or asked is the same."""
    drawn = ("report/short/answers", "report/short/cases")
    folders = ("prompt/short", "predict/short", "score/short", *drawn)
    files = [path for name in folders for path in arena.path(name).rglob("*") if path.is_file()]
    return {
        str(path.relative_to(arena.path())): path.read_bytes().replace(b": true", b": false")
        for path in files
        if path.name != "dropped.json"
    }
