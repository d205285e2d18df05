"""An answer is asked for once: it is known by all that the submission saw, and by nothing else."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segarena.case import Image, write_image
from segarena.errors import EngineError
from segarena.files import read_json
from segarena.predict import store as store_module
from segarena.predict.runners import Limits
from segarena.predict.runners.process import ProcessRunner
from segarena.predict.store import Store, answer_key, seen_digest, within

KEY = "ab" + "0" * 62
LIMITS = Limits(seconds=60, memory_bytes=2**30)
ARCHIVE = {"sha256": "a", "image_id": "b", "runtime": "docker", "source": "/here/team.tar.gz"}
FOLDER = {**ARCHIVE, "mounted": True}
PROCESS = {**ARCHIVE, "image_id": None, "runtime": "process"}
BOXES = [{"z_min": 0, "z_max": 1, "z_mid": 0, "z_mid_x_min": 0, "z_mid_y_min": 0} | {
    "z_mid_x_max": 1, "z_mid_y_max": 1}]  # fmt: skip
# Leaves a mark at each call, then answers with ones.
COUNTING = """
echo called >>"{calls}"
python3 - <<'PY'
import glob, os, numpy as np
for path in glob.glob(os.path.join(os.environ["INPUTS"], "*.npz")):
    segs = np.ones(np.load(path, allow_pickle=True)["imgs"].shape, np.uint8)
    np.savez(os.path.join(os.environ["OUTPUTS"], os.path.basename(path)), segs=segs)
PY
"""


def facts(**changes: Any) -> dict[str, Any]:
    """What is known of a call that took 5 s of 60."""
    usual = {"status": "ok", "message": "", "seconds": 5.0, "timed_out": False}
    return {**usual, "limits": {"seconds": 60.0}, **changes}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


def test_what_is_kept_is_found(store: Store, tmp_path: Path):
    """Facts and label map come back, as a file of its own."""
    segs = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    written = store.keep(KEY, segs, facts())
    assert store.find(KEY) == written
    store.copy_answer(KEY, tmp_path / "1.npz")
    assert (np.load(tmp_path / "1.npz")["segs"] == segs).all()
    stored = next(store.folder.rglob("*.npz"))
    assert not stored.samefile(tmp_path / "1.npz")


@pytest.mark.parametrize("damage", ["cut", "emptied", "replaced", "removed", "facts", "checks"])
def test_a_damaged_answer_is_not_found(damage: str, store: Store, monkeypatch: Any):
    """Nor is one that was checked by other rules."""
    store.keep(KEY, np.ones((2, 3, 4), np.uint8), facts())
    answer, about = (next(store.folder.rglob(f"*.{kind}")) for kind in ("npz", "json"))
    if damage == "removed":
        answer.unlink()
    elif damage == "facts":
        about.chmod(0o644)
        about.write_text("[]")
    elif damage == "checks":
        monkeypatch.setattr(store_module, "ANSWER_CHECKS", -1)
    else:
        answer.chmod(0o644)
        content = answer.read_bytes()
        new = {"cut": content[:-10], "emptied": b"", "replaced": content[:-1] + b"x"}
        answer.write_bytes(new[damage])
    assert store.find(KEY) is None


def test_a_forgotten_answer_is_gone(store: Store):
    """With all its files."""
    store.keep(KEY, np.ones((2, 3, 4), np.uint8), facts())
    assert store.forget(KEY) > 0
    assert list(store.keys()) == []
    assert store.find(KEY) is None


@pytest.mark.parametrize(
    ("stored", "limit", "counts"),
    [
        (facts(), 6, "ok"),
        (facts(), 5, "ok"),
        (facts(), 4, "timed_out"),
        (facts(status="crashed"), 60, "crashed"),
        (facts(status="timed_out", timed_out=True), 60, "timed_out"),
        (facts(status="timed_out", timed_out=True), 30, "timed_out"),
        (facts(status="timed_out", timed_out=True), 61, None),
    ],
)
def test_a_stored_call_under_another_time_limit(stored: Any, limit: float, counts: str | None):
    """A call that ended by itself counts under every limit; a killed one up to its own limit."""
    found = within(stored, limit)
    assert (found["status"] if found else None) == counts
    if found and counts == "timed_out":
        assert found["seconds"] <= limit


def test_only_one_job_asks_at_a_time(store: Store):
    """Whoever comes second waits until the first has its answer."""
    at_work, most = 0, 0

    def ask() -> None:
        nonlocal at_work, most
        with store.asking(KEY):
            at_work += 1
            most = max(most, at_work)
            threading.Event().wait(0.02)
            at_work -= 1

    jobs = [threading.Thread(target=ask) for _ in range(8)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert most == 1


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path):
    """In one line, with the cure."""
    (tmp_path / "store").write_text("a file")
    with (
        pytest.raises(EngineError, match="the store cannot be written"),
        Store(tmp_path / "store").asking(KEY),
    ):
        pass


def key(image: dict[str, Any] = ARCHIVE, **changes: Any) -> str:
    usual: dict[str, Any] = {"case": "CASE", "limits": LIMITS, "gpu": False, "seen": "s"}
    return answer_key(image, **{**usual, "origin": [], **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"case": "OTHER"},
        {"gpu": True},
        {"seen": "t"},
        {"origin": ["a run"]},
        {"limits": replace(LIMITS, memory_bytes=2**29)},
        {"limits": replace(LIMITS, cpus=2.0)},
        {"limits": replace(LIMITS, user="caller")},
        {"limits": replace(LIMITS, keep_state=True)},
        {"limits": replace(LIMITS, warm=True)},
        {"image": {**ARCHIVE, "image_id": "c"}},
        {"image": {**ARCHIVE, "runtime": "podman"}},
    ],
)
def test_whatever_a_submission_can_notice_is_another_key(changes: dict[str, Any]):
    """Case, device, limits, image and runtime."""
    assert key(**changes) != key()


def test_what_a_submission_cannot_notice_is_the_same_key():
    """The time limit, where an archive lies, and how it was packed; a folder is its files."""
    moved = {**ARCHIVE, "source": "/there/other.tar", "sha256": "packed again"}
    assert key(moved, limits=replace(LIMITS, seconds=1)) == key()
    assert key({**FOLDER, "sha256": "other files"}) != key(FOLDER)
    assert key({**PROCESS, "sha256": "other files"}) != key(PROCESS)


@pytest.fixture
def image_npz(tmp_path: Path) -> Path:
    """A prepared image with boxes."""
    imgs = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    write_image(tmp_path / "image.npz", Image(imgs, (3.0, 1.0, 1.0), BOXES))
    return tmp_path / "image.npz"


def test_what_was_seen_follows_the_arrays_and_not_the_bytes_of_the_file(
    image_npz: Path, tmp_path: Path
):
    """The same image packed otherwise is the same; another voxel, box or history is not."""
    imgs = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    plain, boxes = tmp_path / "plain.npz", np.empty(1, object)
    boxes[:] = BOXES
    np.savez(plain, spacing=np.array([3.0, 1.0, 1.0]), boxes=boxes, imgs=imgs)
    seen = seen_digest("", image_npz, {})
    assert seen_digest("", plain, {}) == seen
    others = []
    for name, image in {
        "voxel": Image(imgs + 1, (3.0, 1.0, 1.0), BOXES),
        "dtype": Image(imgs.astype(np.int16), (3.0, 1.0, 1.0), BOXES),
        "shape": Image(imgs.reshape(3, 2, 4), (3.0, 1.0, 1.0), BOXES),
        "spacing": Image(imgs, (3.0, 1.0, 2.0), BOXES),
        "boxes": Image(imgs, (3.0, 1.0, 1.0), [{**BOXES[0], "z_max": 0}]),
        "no boxes": Image(imgs, (3.0, 1.0, 1.0), None),
    }.items():
        write_image(tmp_path / f"{name}.npz", image)
        others.append(seen_digest("", tmp_path / f"{name}.npz", {}))
    others += [seen_digest("before", image_npz, {}), seen_digest("", image_npz, {"clicks": [[1]]})]
    others += [seen_digest("", image_npz, {"prev_pred": imgs})]
    others += [seen_digest("", image_npz, {}, "what the interaction before left")]
    assert len({seen, *others}) == 1 + len(others)
    assert seen_digest("", image_npz, {"boxes": None}) == others[5]


def counting(tmp_path: Path) -> dict[str, Any]:
    """A submission that notes each of its calls outside of its folder."""
    folder = tmp_path / "team"
    folder.mkdir()
    (folder / "predict.sh").write_text(COUNTING.replace("{calls}", str(tmp_path / "calls")))
    return ProcessRunner().ready(folder)


def test_the_second_time_nothing_is_called(tmp_path: Path, table: Any, store: Store):
    """The answer is the same; the record says that it was found, and keeps the measured time."""
    image = counting(tmp_path)
    first = replace(table, store=store).call(image)
    second = replace(table, store=store).call(image)
    assert (tmp_path / "calls").read_text() == "called\n"
    assert (second.segs == first.segs).all()
    assert not first.record["found"]
    assert second.record == {**first.record, "found": True}
    assert second.log == first.log


def test_another_protocol_and_a_later_limit_find_it_too(tmp_path: Path, table: Any, store: Store):
    """Neither a protocol's name nor its time is seen by a submission."""
    image = counting(tmp_path)
    replace(table, store=store).call(image)
    time = {"seconds_per_label": 600, "on_overtime": "warn"}
    other = {**table.rules, "name": "other", "version": 2, "time": time}
    assert replace(table, store=store, rules=other).call(image).record["found"]
    assert (tmp_path / "calls").read_text() == "called\n"


def test_what_only_we_can_put_right_is_not_kept(
    tmp_path: Path, table: Any, store: Store, monkeypatch: pytest.MonkeyPatch
):
    """An engine that fails leaves nothing that a later run could take for an answer."""

    def fails(*_: Any) -> None:
        raise EngineError("the engine is down")

    monkeypatch.setattr(ProcessRunner, "run", fails)
    with pytest.raises(EngineError, match="the engine is down"):
        replace(table, store=store).call(counting(tmp_path))
    assert list(store.keys()) == []


def test_a_job_without_its_gpu_asks_for_nothing(tmp_path: Path, table: Any, store: Store):
    """It was planned without one because the answer was there, and the answer is gone."""
    with pytest.raises(EngineError, match="run the same command again"):
        replace(table, store=store, with_gpu=True).call(counting(tmp_path))
    assert not (tmp_path / "calls").exists()


def test_a_session_is_known_by_its_answers(store: Store):
    """As long as all of them are there."""
    store.keep(KEY, np.ones((2, 3, 4), np.uint8), facts())
    store.keep_session("cd" * 32, [KEY])
    assert store.has_session("cd" * 32)
    assert not store.has_session("ef" * 32)
    store.forget(KEY)
    assert not store.has_session("cd" * 32)


def test_a_store_lists_the_runs_that_use_it(store: Store, tmp_path: Path):
    """Each once."""
    for _ in range(2):
        store.register(tmp_path / "one")
    store.register(tmp_path / "two")
    assert store.runs() == [tmp_path / "one", tmp_path / "two"]
    assert read_json(next(store.folder.glob("runs/*.json")))["folder"]
