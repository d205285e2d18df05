"""What an interaction leaves behind: the answer in force, the record, the team's log, the time."""

import os
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segarena.case import read_image
from segarena.errors import EngineError
from segarena.predict import session
from segarena.predict.answer import BadAnswer, take_answer
from segarena.predict.runners import Outcome, watch
from segarena.predict.runners.process import ProcessRunner

SHAPE = (4, 6, 8)


class Payload:
    """Leaves a file when it is unpickled, which proves that it was."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def in_process(tmp_path: Path, predict_sh: str, **files: bytes) -> dict[str, Any]:
    folder = tmp_path / "team"
    folder.mkdir(exist_ok=True)
    (folder / "predict.sh").write_text(predict_sh)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return ProcessRunner().ready(folder)


@pytest.mark.parametrize("form", ["segs", "another key", "bare"])
def test_a_pickled_answer_is_never_unpickled(form: str, tmp_path: Path) -> None:
    """A payload in `segs`, in a key nobody asked for, or in a bare pickle is not run."""
    mark, path = tmp_path / "was-run", tmp_path / "CASE.npz"
    pickled = np.array([Payload(mark)], object)
    good = np.ones(SHAPE, np.uint8)
    if form == "bare":
        path.write_bytes(pickle.dumps(Payload(mark)))
    else:
        with path.open("wb") as file:
            np.savez(
                file, **({"segs": pickled} if form == "segs" else {"x": pickled, "segs": good})
            )
    if form == "another key":
        assert (take_answer(path, SHAPE, 10**6) == good).all()
    else:
        with pytest.raises(BadAnswer):
            take_answer(path, SHAPE, 10**6)
    assert not mark.exists()
    if form != "bare":  # the payload is a real one: numpy runs it when it is told to
        with np.load(path, allow_pickle=True) as archive:
            assert archive["segs" if form == "segs" else "x"].size == 1
        assert mark.exists()


def test_an_answer_with_a_huge_directory_is_refused(tmp_path: Path) -> None:
    """An archive of many thousand members is not listed, since its list would fill our memory."""
    import zipfile

    path = tmp_path / "CASE.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(15_000):
            archive.writestr(f"{number:064}", b"")
    with pytest.raises(BadAnswer, match="directory of contents is too large"):
        take_answer(path, SHAPE, 10**9)


def test_a_failed_call_leaves_the_previous_answer_in_force(tmp_path: Path, table: Any) -> None:
    """on_failure: previous scores what was answered before."""
    before = np.full(SHAPE, 3, np.uint8)
    result = replace(table, previous=before).call(in_process(tmp_path, "exit 1"))
    assert (result.segs == before).all()
    assert result.status == "crashed"


def test_a_failed_call_can_count_as_zeros(tmp_path: Path, table: Any) -> None:
    """on_failure: zeros forgets what was answered before."""
    rules = {**table.rules, "on_failure": "zeros"}
    before = np.full(SHAPE, 3, np.uint8)
    result = replace(table, previous=before, rules=rules).call(in_process(tmp_path, "exit 1"))
    assert not result.segs.any()


def test_the_log_for_the_team_is_short_and_harmless(tmp_path: Path, table: Any) -> None:
    """The last 100 lines are kept, long ones cut, without what could steer a terminal."""
    script = "i=0; while [ $i -lt 150 ]; do echo line $i; i=$((i+1)); done; printf '\\033[2Jx\\n'"
    lines = table.call(in_process(tmp_path, script)).log.splitlines()
    assert lines[0].startswith("no_answer: no 'CASE.npz' in the outputs folder (it is empty)")
    assert (lines[1], lines[-1], len(lines)) == ("line 51", "?[2Jx", 101)


def test_every_status_is_on_the_list(tmp_path: Path, table: Any) -> None:
    """A record's status is one of the closed list that the documentation explains."""
    text = (Path(__file__).parents[2] / "docs" / "isolation.md").read_text(encoding="utf-8")
    for status in session.STATUSES:
        assert f"`{status}`" in text
    assert table.call(in_process(tmp_path, "true")).status in session.STATUSES


def test_the_time_of_a_case_is_what_is_left_of_it(tmp_path: Path, table: Any) -> None:
    """With per: case all interactions share 60 s a label; 59 s have been used before."""
    used = replace(table, previous=np.zeros(SHAPE, np.uint8), used_seconds=59.0)
    result = used.call(in_process(tmp_path, "sleep 30"))
    assert result.status == "timed_out"
    assert result.record["limits"]["seconds"] == pytest.approx(1.0)
    assert result.record["case_seconds"] > 60
    limit = r"stopped after \d\.\d s: the limit is 60 s for the case, of which 1\.0 s were left"
    assert re.fullmatch(limit, result.record["message"])


def test_a_case_without_time_left_starts_nothing(tmp_path: Path, table: Any) -> None:
    """Where the case scores 0 anyway no more machine time is spent on it."""
    used = replace(table, previous=np.zeros(SHAPE, np.uint8), used_seconds=60.5)
    result = used.call(in_process(tmp_path, f"touch {tmp_path}/was-run"))
    assert (result.status, result.record["seconds"]) == ("timed_out", 0)
    message = "nothing was run: the limit is 60 s for the case, and all of it was used before"
    assert result.record["message"] == message
    assert not (tmp_path / "was-run").exists()


def test_the_time_of_a_call_is_its_own(tmp_path: Path, table: Any) -> None:
    """With per: call what was used before does not count."""
    rules = {**table.rules, "time": {**table.rules["time"], "per": "call"}}
    used = replace(table, previous=np.zeros(SHAPE, np.uint8), used_seconds=500.0, rules=rules)
    result = used.call(in_process(tmp_path, "true"))
    assert result.record["limits"]["seconds"] == 60
    assert result.status == "no_answer"


def test_a_limit_is_for_the_call_unless_a_protocol_says_otherwise(
    tmp_path: Path, table: Any
) -> None:
    """Without `per` a call has its own time, and the message of one that was stopped says so."""
    rules = {**table.rules, "time": {"seconds_per_label": 1, "on_overtime": "warn", "kill_at": 2}}
    used = replace(table, previous=np.zeros(SHAPE, np.uint8), used_seconds=500.0, rules=rules)
    result = used.call(in_process(tmp_path, "sleep 30"))
    assert result.status == "timed_out"
    limit = r"stopped after \d+\.\d s: the limit is 2 s for the call"
    assert re.fullmatch(limit, result.record["message"])


def test_where_overtime_is_only_noted_calls_are_killed_later(tmp_path: Path, table: Any) -> None:
    """on_overtime: warn lets a case run to kill_at times its limit."""
    time = {"seconds_per_label": 60, "per": "case", "on_overtime": "warn", "kill_at": 10}
    used = replace(
        table,
        previous=np.zeros(SHAPE, np.uint8),
        used_seconds=70.0,
        rules={**table.rules, "time": time},
    )
    assert used.call(in_process(tmp_path, "true")).record["limits"]["seconds"] == 530


def test_a_process_that_sleeps_is_killed_with_its_children(tmp_path: Path, table: Any) -> None:
    """Without a container, too, the time limit is hard."""
    rules = {**table.rules, "time": {"seconds_per_label": 1, "on_overtime": "zero"}}
    result = replace(table, rules=rules).call(in_process(tmp_path, "sleep 100 & sleep 100"))
    assert result.status == "timed_out"


def test_a_disk_without_room_is_our_failure(
    tmp_path: Path, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is run, and nothing is recorded, where its output might not fit."""
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(watch.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(EngineError, match="make room, run again"):
        table.call(in_process(tmp_path, "true"))
    assert not (tmp_path / "2.json").exists()


def test_a_damaged_image_file_is_our_failure(tmp_path: Path, table: Any) -> None:
    """A prepared case that was cut short is named, and no submission is blamed."""
    image = in_process(tmp_path, "true")
    table.call(image)
    path = tmp_path / "image.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(EngineError, match="delete it and run again"):
        session.image_shape(path)


def test_the_input_is_what_the_challenge_gives(tmp_path: Path, table: Any) -> None:
    """A box without clicks: imgs, spacing and boxes, and nothing else."""
    image = in_process(tmp_path, 'cp "$INPUTS"/CASE.npz ../seen.npz')
    table.call(image)
    with np.load(tmp_path / "seen.npz", allow_pickle=True) as case:
        assert sorted(case.files) == ["boxes", "imgs", "spacing"]
    assert read_image(tmp_path / "seen.npz").imgs.shape == SHAPE


def test_temporary_folders_tell_whose_they_are() -> None:
    """The next run in a folder finds what a killed one left in the temporary folder."""
    one, other = Path("/a/run"), Path("/another/run")
    assert session.calls_prefix(one) == session.calls_prefix(Path(os.fspath(one)))
    assert session.calls_prefix(one) != session.calls_prefix(other)


def test_what_a_disk_must_have_room_for_goes_by_the_case(
    tmp_path: Path, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small case runs with 66 MiB, whatever output_gb allows; a large one does not."""
    usage = type("Usage", (), {"free": 66 << 20})
    monkeypatch.setattr(watch.shutil, "disk_usage", lambda _: usage)
    rules = {**table.rules, "limits": {"memory_gb": 0.5, "output_gb": 2}}
    called = replace(table, rules=rules).call(in_process(tmp_path, "true"))
    assert called.status == "no_answer"
    monkeypatch.setattr(session, "image_shape", lambda _: (64, 512, 512))
    with pytest.raises(EngineError, match=r"320 MiB are needed"):  # 64 MiB, and 16 bytes a voxel
        replace(table, rules=rules).call(in_process(tmp_path, "true"))


@pytest.mark.parametrize(
    ("written", "files", "ours"), [(3 << 20, 1, True), (12 << 20, 1, False), (1000, 2000, False)]
)
def test_what_is_more_than_the_disk_had_room_for_is_ours(
    written: int,
    files: int,
    ours: bool,
    tmp_path: Path,
    table: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call that its own limits allow is not blamed where the disk was too small for it."""
    usage = type("Usage", (), {"free": 66 << 20})
    monkeypatch.setattr(watch.shutil, "disk_usage", lambda _: usage)

    def run(_: Any, __: Path, outputs: Path, log: Path, limits: Any) -> Outcome:
        assert limits.output_bytes == 2 << 20  # of the 10 MiB that table.rules allow
        for number in range(files):
            (outputs / str(number)).write_bytes(os.urandom(written // files))
        return Outcome(137, 1.0, 1.0, too_much_output=watch.excess(outputs, limits))

    monkeypatch.setattr(session, "run", run)
    image = in_process(tmp_path, "true")
    if ours:
        with pytest.raises(EngineError, match=r"room for 2 MiB .*10.2 MiB are allowed"):
            table.call(image)
    else:
        assert table.call(image).status == "too_much_output"
