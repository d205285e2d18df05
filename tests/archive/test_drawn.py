"""Scribbles that people drew lie in the archive, are checked, and are played again."""

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from arena import Arena, new_arena

from segarena.archive.rerun import set_up
from segarena.archive.verify import verify

DRAWN = "scribbles/plane.npz"
PROMPT = "results/prompt/pens{}/ada/plane/1.json"


@pytest.fixture(scope="module")
def drawn_run(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """One case on which two people drew, played with the pen of each, and archived."""
    arena = new_arena(tmp_path_factory.mktemp("drawn"))
    gts = np.zeros((1, 16, 20), np.uint8)
    gts[0, 4:12, 5:15] = 1
    image = {"imgs": gts * 90 + 20, "spacing": np.ones(3)}
    np.savez(arena.folder_of("images") / "plane.npz", **image)
    np.savez(arena.folder_of("labels") / "plane.npz", gts=gts)
    strokes = np.zeros((2, 2, 16, 20), np.float32)
    strokes[0, 0, 6, 7:13] = strokes[0, 1, 1, 3:17] = 1
    strokes[1, 0, 5:11, 9] = strokes[1, 1, 14, 3:17] = 1
    np.savez(arena.folder_of("pens") / "of-plane.npz", scribbles=strokes)
    (arena.work / "cases.tsv").write_text("case\tscribbles\nplane\tpens/of-plane.npz\n")
    arena.add_submission("ada")
    user = [{"prompt": "drawn", "times": 1, "threshold": 0.5}]
    arena.add_protocol(name="pens", user=user, repeat=2)
    arena.config["sheets"] = {"cases": "cases.tsv"}
    arena.config["archive"] = {"name": "pens", "answers": "all"}
    arena.run("archive")
    return arena


@pytest.fixture(scope="module")
def archive(drawn_run: Arena) -> Path:
    """The archive; read it."""
    (path,) = drawn_run.path("archive").glob("pens-*.zip")
    return path


def test_what_people_drew_is_archived_as_it_was(drawn_run: Arena, archive: Path) -> None:
    """Under the name of its case, whatever the file was called."""
    with zipfile.ZipFile(archive) as packed:
        assert packed.read(DRAWN) == (drawn_run.work / "pens/of-plane.npz").read_bytes()


def test_drawn_prompts_are_checked_against_what_was_drawn(drawn_run: Arena, archive: Path) -> None:
    """With the truth nothing is left unchecked, and all of it holds."""
    found = verify(archive, truth=drawn_run.path("prepare"))
    assert (found.wrong, found.unchecked) == ([], [])
    assert found.checked["prompts from answers and truth"] == 2


def test_another_drawing_is_found(drawn_run: Arena, tampered) -> None:
    """With all digests made again: the prompts of neither repetition are what the file has now."""

    def change(files: dict[str, bytes]) -> None:
        with np.load(io.BytesIO(files[DRAWN])) as drawn:
            moved = np.roll(drawn["scribbles"], 1, axis=-1)
        content = io.BytesIO()
        np.savez(content, scribbles=moved)
        files[DRAWN] = content.getvalue()

    wrong = verify(tampered(change), truth=drawn_run.path("prepare")).wrong
    assert wrong == [
        f"{PROMPT.format(repetition)}: is not what the user says to the answer before"
        for repetition in ("", ".2")
    ]


def test_a_drawing_that_is_missing_is_told(tampered) -> None:
    """And one of no case has no place."""

    def change(files: dict[str, bytes]) -> None:
        files["scribbles/eve.npz"] = files.pop(DRAWN)

    wrong = verify(tampered(change)).wrong
    assert f"{DRAWN}: missing" in wrong
    assert "scribbles/eve.npz: has no place in the archive" in wrong


def test_a_run_is_set_up_again_with_the_archived_drawings(
    drawn_run: Arena, archive: Path, tmp_path: Path
) -> None:
    """The sheet names them where they lie now."""
    folders = {"submissions": drawn_run.work / "submissions", "cases": drawn_run.work}
    assert set_up(archive, out=tmp_path, runtime="process", **folders) == []
    with (tmp_path / "cases.tsv").open(newline="") as file:
        (row,) = csv.DictReader(file, delimiter="\t")
    assert row == {"case": "plane", "scribbles": DRAWN}
    there = (tmp_path / DRAWN).read_bytes()
    assert there == (drawn_run.work / "pens/of-plane.npz").read_bytes()
