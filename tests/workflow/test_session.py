"""One job that runs a whole session gives the same files, and keeps what is answered."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from arena import Arena

from segarena.predict.store import Store


def test_a_session_gives_the_files_that_single_jobs_give(finished: Arena, empty_arena: Arena):
    """Every prompt, every answer and every score is the same."""
    other = empty_arena
    for name in ("one", "two"):
        other.add_case(name)
    for name in ("ada", "bob"):
        other.add_submission(name)
    other.run()
    assert contents(other) == contents(finished)


def test_a_changed_key_asks_nothing_again(arena: Arena):
    """A finished run whose jobs are cut in another way keeps all its answers."""
    before = records(arena)
    arena.config["jobs"] = "session"
    arena.run()
    assert records(arena) == before
    arena.config["jobs"] = "interaction"
    arena.run()
    assert records(arena) == before


def test_a_session_cut_short_takes_up_after_its_last_answer(arena: Arena):
    """What the store has comes back though Snakemake deleted it; the rest is asked for.

    Ada and Bob are the same program, so one call answers both.
    """
    before = records(arena)
    arena.config["jobs"] = "session"
    folder = arena.path("predict/short/ada/one")
    Store(arena.work / "store").forget(json.loads((folder / "2.json").read_text())["key"])
    for path in folder.glob("2.*"):
        path.unlink()
    arena.run()
    after = records(arena)
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {"predict/short/ada/one/2.json", "predict/short/bob/one/2.json"}


def records(arena: Arena) -> dict[str, Any]:
    """Return every record: seconds and all, so that a call made again shows."""
    files = arena.path("predict").glob("*/*/*/*.json")
    found = {name_of(arena, path): json.loads(path.read_text()) for path in files}
    return {name: {**record, "found": None} for name, record in found.items()}


def contents(arena: Arena) -> dict[str, Any]:
    """Return the prompts, the answers and the scores, less what differs from run to run."""
    found: dict[str, Any] = {}
    for path in arena.path("prompt").rglob("*.json"):
        found[name_of(arena, path)] = json.loads(path.read_text())
    for path in arena.path("predict").glob("*/*/*/*.npz"):
        found[name_of(arena, path)] = np.load(path)["segs"].tolist()
    for path in arena.path("score").glob("*/*/*.csv"):
        found[name_of(arena, path)] = path.read_text()
    return found


def name_of(arena: Arena, path: Path) -> str:
    """Return a path under results/."""
    return str(path.relative_to(arena.path()))
