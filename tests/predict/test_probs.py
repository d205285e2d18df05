"""Probabilities beside a label map: taken one label at a time, checked, kept with the answer."""

import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segarena.case import has_probs, npy_bytes, probs_of, read_answer
from segarena.predict.answer import BadAnswer, Probs, take_answer
from segarena.predict.runners.process import ProcessRunner
from segarena.predict.session import answer
from segarena.predict.store import Store

SHAPE = (4, 6, 8)
SEGS = np.arange(192, dtype=np.uint8).reshape(SHAPE) % 3
PROBS = np.random.default_rng(0).integers(0, 256, (2, *SHAPE)).astype(np.uint8)
MANY = 1 << 30


def taken(tmp_path: Path, **members: np.ndarray) -> list[np.ndarray]:
    path, kept = tmp_path / "c1.npz", tmp_path / "kept"
    np.savez(path, segs=SEGS, **members)
    assert (take_answer(path, SHAPE, MANY, Probs(2, kept)) == SEGS).all()
    return list(probs_of(kept)) if kept.exists() else []


def test_bytes_are_taken_as_they_are(tmp_path: Path) -> None:
    """uint8 comes out as it went in, label by label."""
    assert np.array_equal(taken(tmp_path, probs=PROBS), PROBS)


def test_half_floats_are_rounded_to_bytes(tmp_path: Path) -> None:
    """float16 from 0 to 1 becomes the nearest of 256 values."""
    halves = (PROBS / 255).astype(np.float16)
    assert np.array_equal(taken(tmp_path, probs=halves), PROBS)


def test_an_answer_without_them_is_whole(tmp_path: Path) -> None:
    """They are optional: nothing is written, and the label map counts."""
    assert taken(tmp_path) == []


def test_nobody_looks_at_them_where_they_are_not_asked_for(tmp_path: Path) -> None:
    """Under other protocols even a broken member changes nothing."""
    path = tmp_path / "c1.npz"
    np.savez(path, segs=SEGS, probs=np.array([object()]))
    assert (take_answer(path, SHAPE, MANY) == SEGS).all()


@pytest.mark.parametrize(
    ("probs", "reason"),
    [
        (PROBS.astype(np.float32) / 255, r"'probs' holds float32; write uint8 \(p \* 255\)"),
        (PROBS[0], r"'probs' has the shape \(4, 6, 8\), expected \(2, 4, 6, 8\): a map per label"),
        (np.concatenate([PROBS, PROBS[:1]]), r"the shape \(3, 4, 6, 8\), expected \(2, 4, 6, 8\)"),
        (np.moveaxis(PROBS, 0, -1).copy(), r"the shape \(4, 6, 8, 2\), expected"),
        (np.asfortranarray(PROBS), r"in Fortran order, expected \(2, 4, 6, 8\)"),
        (np.full(PROBS.shape, np.nan, np.float16), "outside of 0 to 1; write probabilities"),
        (np.full(PROBS.shape, 1.01, np.float16), "outside of 0 to 1; write probabilities"),
        (np.full(PROBS.shape, -3, np.float16), "not logits"),
        (np.full(PROBS.shape, "x", object), "'probs' holds object"),
    ],
)
def test_what_is_no_probability_makes_the_answer_unusable(
    probs: np.ndarray, reason: str, tmp_path: Path
) -> None:
    """One line tells the team what was expected, and nothing is left behind."""
    with pytest.raises(BadAnswer, match=reason):
        taken(tmp_path, probs=probs)
    assert [path.name for path in tmp_path.iterdir()] == ["c1.npz"]


@pytest.mark.parametrize("cut", [1, 300])
def test_a_member_of_another_size_than_its_header_promises(cut: int, tmp_path: Path) -> None:
    """A small file cannot make us read or write more than the maps have."""
    for content in (npy_bytes(PROBS)[:-cut], npy_bytes(PROBS) + bytes(cut)):
        path = tmp_path / "c1.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("segs.npy", npy_bytes(SEGS))
            archive.writestr("probs.npy", content)
        with pytest.raises(BadAnswer, match=r"'probs' unpacks to [\d,]+ bytes, expected"):
            take_answer(path, SHAPE, MANY, Probs(2, tmp_path / "kept"))


def test_every_damaged_byte_is_the_answers_fault(tmp_path: Path) -> None:
    """A changed byte gives the same maps or a BadAnswer, never an error of ours."""
    path, kept = tmp_path / "c1.npz", tmp_path / "kept"
    np.savez_compressed(path, segs=SEGS, probs=PROBS)
    good = path.read_bytes()
    for place in range(0, len(good), 7):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x55]) + good[place + 1 :])
        kept.unlink(missing_ok=True)
        try:
            take_answer(path, SHAPE, MANY, Probs(2, kept))
        except BadAnswer:
            continue
        assert not kept.exists() or np.array_equal(list(probs_of(kept)), PROBS)


SCRIPT = f"""{sys.executable} - <<'END'
import glob, os
import numpy as np
segs = np.ones((4, 6, 8), np.uint8)
probs = np.full((1, 4, 6, 8), 51, np.uint8)
np.savez(os.path.join(os.environ["OUTPUTS"], "CASE.npz"), segs=segs, probs=probs)
END
"""


def in_process(tmp_path: Path, predict_sh: str) -> dict[str, Any]:
    folder = tmp_path / "team"
    folder.mkdir(exist_ok=True)
    (folder / "predict.sh").write_text(predict_sh)
    return ProcessRunner().ready(folder)


@pytest.mark.parametrize("stored", [False, True])
def test_they_are_kept_with_the_answer_and_in_the_store(
    stored: bool, tmp_path: Path, table: Any
) -> None:
    """The record says so, a second run finds both, and another protocol's key is another."""
    store = Store(tmp_path / "store") if stored else None
    asked = replace(table, rules={**table.rules, "probs": True}, store=store)
    for found in (False, stored):
        result = asked.call(in_process(tmp_path, SCRIPT))
        assert (result.status, result.record["probs"]) == ("ok", True)
        assert result.record["found"] == found
        (probs,) = probs_of(tmp_path / "2.npz")
        assert (probs == 51).all() and (result.segs == 1).all()
    plain = replace(table, store=store).call(in_process(tmp_path, SCRIPT))
    assert plain.status == "ok" and "probs" not in plain.record
    assert plain.record["key"] != result.record["key"]
    assert not has_probs(tmp_path / "2.npz")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("on_failure", ["previous", "zeros"])
def test_those_of_the_previous_answer_stay_in_force_with_it(
    on_failure: str, tmp_path: Path, table: Any
) -> None:
    """After a failed call the answer before counts as a whole; with zeros there are none."""
    rules = {**table.rules, "probs": True, "on_failure": on_failure}
    replace(table, rules=rules).call(in_process(tmp_path, SCRIPT))
    record = answer(
        image=in_process(tmp_path, "exit 1"),
        case="CASE",
        image_npz=tmp_path / "image.npz",
        prompts_json=tmp_path / "prompts.json",
        previous_npz=tmp_path / "2.npz",
        rules=rules,
        answer_npz=tmp_path / "3.npz",
        record_json=tmp_path / "3.json",
    )
    assert record["status"] == "crashed"
    assert has_probs(tmp_path / "3.npz") == (on_failure == "previous")
    assert read_answer(tmp_path / "3.npz").any() == (on_failure == "previous")
