"""What a call leaves is there at the next interaction of its case, and nowhere else."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segarena.case import write_image, write_truth
from segarena.files import read_json, write_json
from segarena.predict import runners
from segarena.predict.runners.process import ProcessRunner
from segarena.predict.session_step import run_session
from segarena.predict.state import StateLost, mark, pack, unpack
from segarena.predict.store import Store
from segarena.prepare.nifti import prepare_case
from segarena.protocol import load, prompt_values, steps

REFERENCE = Path(__file__).parents[1] / "data" / "reference"
SHAPE = (4, 6, 8)
MOST = {"most_files": 100, "most_bytes": 10_000}

# Leaves the number of its calls in outputs and beside its input, and answers with it.
COUNTING = """
for place in "$INPUTS" "$OUTPUTS"; do
    mkdir -p "$place/deep"
    echo x >>"$place/deep/calls"
done
[ "$(wc -l <"$INPUTS/deep/calls")" = "$(wc -l <"$OUTPUTS/deep/calls")" ] || exit 3
python3 - <<'PY'
import os, numpy as np
calls = len(open(os.environ["OUTPUTS"] + "/deep/calls").read().split())
np.savez(os.environ["OUTPUTS"] + "/CASE.npz", segs=np.full((4, 6, 8), calls, np.uint8))
PY
"""


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """Two folders in which a call has left files."""
    folder = tmp_path / "call"
    (folder / "inputs" / "deep").mkdir(parents=True)
    (folder / "outputs").mkdir()
    (folder / "inputs" / "CASE.npz").write_text("the input")
    (folder / "inputs" / "deep" / "logits").write_text("1 2 3")
    (folder / "outputs" / "CASE.npz").write_text("the answer")
    (folder / "outputs" / "run.sh").write_text("echo hi")
    (folder / "outputs" / "run.sh").chmod(0o700)
    return folder


def empty(folder: Path) -> Path:
    for name in ("inputs", "outputs"):
        (folder / name).mkdir(parents=True)
    return folder


def test_files_folders_and_times_come_back_for_everybody(left: Path, tmp_path: Path):
    """All but the input is unpacked as it was, usable by any user, programs as programs."""
    os.utime(left / "outputs" / "CASE.npz", ns=(5 * 10**9, 5 * 10**9))
    digest, names = pack(tmp_path / "state", left, "CASE.npz", **MOST)
    assert digest
    assert names == ["inputs/deep", "inputs/deep/logits", "outputs/CASE.npz", "outputs/run.sh"]
    there = empty(tmp_path / "next")
    unpack(tmp_path / "state", there)
    found = {str(p.relative_to(there)) for p in there.rglob("*")} - {"inputs", "outputs"}
    assert found == set(names)
    assert (there / "inputs/deep/logits").read_text() == "1 2 3"
    modes = [(there / name).stat().st_mode & 0o777 for name in names]
    assert modes == [0o777, 0o666, 0o666, 0o777]
    assert (there / "outputs/CASE.npz").stat().st_mtime == 5


def test_links_and_special_files_are_not_kept(left: Path, tmp_path: Path):
    """What a link leads to is never read, and a fifo is not waited for."""
    before = pack(tmp_path / "state", left, "CASE.npz", **MOST)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "truth").write_text("1")
    (left / "outputs" / "link").symlink_to(tmp_path / "secret" / "truth")
    (left / "outputs" / "folder").symlink_to(tmp_path / "secret")
    os.mkfifo(left / "outputs" / "fifo")
    assert pack(tmp_path / "state", left, "CASE.npz", **MOST) == before


def test_the_digest_is_of_names_contents_and_programs(left: Path, tmp_path: Path):
    """Times, and modes that say nothing of a program, make no difference; all else does."""

    def digest() -> str:
        return pack(tmp_path / "state", left, "CASE.npz", **MOST)[0]

    first = digest()
    os.utime(left / "outputs" / "CASE.npz", ns=(7, 7))
    (left / "outputs" / "CASE.npz").chmod(0o600)
    (left / "inputs" / "CASE.npz").write_text("another input")
    assert digest() == first
    found = {first}
    (left / "outputs" / "run.sh").chmod(0o600)
    found.add(digest())
    (left / "outputs" / "run.sh").write_text("echo ho")
    found.add(digest())
    (left / "outputs" / "run.sh").rename(left / "outputs" / "go.sh")
    found.add(digest())
    (left / "outputs" / "empty").mkdir()
    found.add(digest())
    assert len(found) == 5


@pytest.mark.parametrize("excess", ["files", "bytes", "sparse", "depth"])
def test_more_than_the_limits_allow_is_a_sentence_for_the_team(
    left: Path, tmp_path: Path, excess: str
):
    """Very many files, large ones, large ones without blocks, very deep folders: ValueError."""
    if excess == "files":
        for number in range(100):
            (left / "outputs" / str(number)).touch()
    elif excess == "bytes":
        (left / "outputs" / "large").write_bytes(bytes(10_001))
    elif excess == "sparse":
        with (left / "outputs" / "large").open("wb") as file:
            file.truncate(1 << 40)
    else:
        deep = left / "outputs"
        for _ in range(15):
            deep = deep / ("d" * 200)
            deep.mkdir()
    with pytest.raises(ValueError, match=r"files|bytes|folders"):
        pack(tmp_path / "state", left, "CASE.npz", **MOST)


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_state_that_is_gone_or_damaged_is_named(left: Path, tmp_path: Path, damage: str):
    """The message says what to do; nothing is taken for a state that is none."""
    pack(tmp_path / "state", left, "CASE.npz", **MOST)
    if damage == "gone":
        (tmp_path / "state").unlink()
    else:
        os.truncate(tmp_path / "state", 700)
    with pytest.raises(StateLost, match="segarena forget"):
        unpack(tmp_path / "state", empty(tmp_path / "next"))


def test_a_mark_changes_when_a_file_is_written(tmp_path: Path):
    """Same bytes written again are another mark; a changed mode is not."""
    path = tmp_path / "file"
    assert mark(path) == ()
    path.write_text("same")
    os.utime(path, ns=(5, 5))
    first = mark(path)
    path.chmod(0o600)
    assert mark(path) == first
    path.write_text("same")
    assert mark(path) != first


def counting(tmp_path: Path, predict_sh: str = COUNTING) -> dict[str, Any]:
    folder = tmp_path / "team"
    folder.mkdir(exist_ok=True)
    (folder / "predict.sh").write_text(predict_sh)
    return ProcessRunner().ready(folder)


def with_state(table: Any, **changes: Any) -> Any:
    return replace(table, rules={**table.rules, "state": "case"}, **changes)


def after(table: Any, played: Any, **changes: Any) -> Any:
    """The table at the next interaction, whose record of the one before is that of `played`."""
    return replace(table, previous=played.segs, before=played.record, **changes)


def test_each_call_finds_what_the_calls_before_left(tmp_path: Path, table: Any):
    """In outputs and beside the input; with `state: call` each call is the first one."""
    image, case = counting(tmp_path), with_state(table)
    for calls in (1, 2, 3):
        played = case.call(image)
        assert (played.status, played.segs.max()) == ("ok", calls)
        case = after(case, played)
    table.call(image)
    assert table.call(image).segs.max() == 1


def test_an_old_answer_never_counts_as_a_new_one(tmp_path: Path, table: Any):
    """A call that writes none has given none, although a file of that name was there."""
    case = with_state(table)
    played = case.call(counting(tmp_path))
    quiet = counting(tmp_path, 'test -f "$OUTPUTS/CASE.npz" && chmod 600 "$OUTPUTS/CASE.npz"')
    second = after(case, played).call(quiet)
    assert second.status == "no_answer"
    assert "that of an earlier call" in second.message
    assert (second.segs == played.segs).all()


def test_what_a_failed_call_left_is_there_too(tmp_path: Path, table: Any):
    """As in the reference, where nothing is taken away after a crash."""
    case = with_state(table)
    played = case.call(counting(tmp_path, f"{COUNTING}\nexit 1"))
    assert played.status == "crashed"
    assert after(case, played).call(counting(tmp_path)).segs.max() == 2


def test_too_much_to_keep_is_told_and_not_kept(tmp_path: Path, table: Any):
    """The answer counts; the next call finds what the one before the excess left."""
    case = with_state(table)
    first = case.call(counting(tmp_path))
    more = counting(tmp_path, f'{COUNTING}\ntruncate -s 1T "$OUTPUTS/large"')
    second = after(case, first).call(more)
    assert (second.status, second.segs.max()) == ("ok", 2)
    assert "is not kept: 1,099,511," in second.message
    assert after(case, second).call(counting(tmp_path)).segs.max() == 2


def test_what_was_left_is_part_of_the_key(tmp_path: Path, table: Any):
    """The same input after another state is another question; after the same it is known."""
    store = Store(tmp_path / "store")
    case = with_state(table, store=store)
    first = case.call(counting(tmp_path))
    second = after(case, first).call(counting(tmp_path))
    keys = {
        after(case, replace(first, record={**first.record, "state": state}))
        .call(counting(tmp_path))
        .record["key"]
        for state in (first.record["state"], None)
    }
    assert len(keys | {first.record["key"]}) == 3
    assert second.record["key"] in keys


def test_only_the_newest_state_is_kept(tmp_path: Path, table: Any):
    """What an interaction left goes when the next one is recorded."""
    store = Store(tmp_path / "store")
    case = with_state(table, store=store)
    first = case.call(counting(tmp_path))
    assert store.state_file(first.record["key"]).is_file()
    second = after(case, first).call(counting(tmp_path))
    assert not store.state_file(first.record["key"]).exists()
    assert store.state_file(second.record["key"]).is_file()


@pytest.fixture
def session(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """A factory: session(image, case, store) plays cvpr25 on a case of the reference's."""

    def run(
        image: dict[str, Any], case: str, store: str | None = None, name: str = "played"
    ) -> Any:
        folder = tmp_path / name
        folder.mkdir()
        files = [REFERENCE / "cases" / kind / f"{case}.npz" for kind in ("images", "truth")]
        prepared, truth, _ = prepare_case(
            *files, case=case, modality=None, window=None, box=True, seed=1
        )
        write_image(folder / "image.npz", prepared)
        write_truth(folder / "truth.npz", truth)
        write_json(folder / "submission.json", image)
        protocol = load("cvpr25")
        numbers = range(1, len(steps(protocol)) + 1)
        names = [n for k in numbers for n in (f"p{k}.json", f"{k}.npz", f"{k}.json")]
        inputs = {"submission": "submission.json", "image": "image.npz", "truth": "truth.npz"}
        return list(
            run_session(
                {key: str(folder / value) for key, value in inputs.items()},
                [str(folder / n) for n in names],
                case=case,
                steps=[prompt_values(protocol, k) for k in numbers],
                values={"rules": protocol},
                store=store,
            )
        )

    return run


@pytest.mark.parametrize("runtime", ["docker", "podman", "apptainer"], indirect=True)
def test_a_submission_that_remembers_answers_as_under_the_reference(
    runtime: str,
    submission_archive: Callable[..., Path],
    session: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """Every answer is the one that the reference's own script got from it, in each engine."""
    monkeypatch.chdir(tmp_path)
    archive = tmp_path / "memory.tar.gz"
    submission_archive(REFERENCE / "submissions/memory", archive, numpy_spec="numpy==1.26.4")
    image = runners.ready(archive, runtime=runtime, base_image="")
    records = session(image, "SYN_edges_gaps_0", str(tmp_path / "store"))
    theirs = np.load(REFERENCE / "expected/memory/SYN_edges_gaps_0.npz")["all_segs"]
    for k, segs in enumerate(theirs, start=1):
        np.testing.assert_array_equal(np.load(tmp_path / f"played/{k}.npz")["segs"], segs)
    statuses = [record["status"] for record in records]
    assert statuses == ["ok", "ok", "ok", "no_answer", "ok", "ok"]


def test_a_session_whose_state_is_gone_is_played_from_its_first_interaction(
    session: Callable[..., Any], tmp_path: Path
):
    """Three answers are known, their files are not: the same answers come out in the end."""
    image = ProcessRunner().ready(_copy(REFERENCE / "submissions/memory", tmp_path))
    store = Store(tmp_path / "store")
    whole = session(image, "CT_vessels_nobox", str(store.folder))
    for record in whole[3:]:
        store.forget(record["key"])
    assert not any(store.folder.glob("answers/*/*.state"))
    again = session(image, "CT_vessels_nobox", str(store.folder), "again")
    assert [r["answer_sha256"] for r in again[-6:]] == [r["answer_sha256"] for r in whole]
    assert not any(record["found"] for record in again[-6:])
    assert read_json(tmp_path / "again/6.json") == again[-1]


def test_a_session_that_was_cut_short_goes_on_from_its_state(
    session: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What had been answered is found, and the rest continues from the files that were left."""
    folder = _copy(REFERENCE / "submissions/memory", tmp_path)
    image, store = ProcessRunner().ready(folder), Store(tmp_path / "store")
    calls: list[Path] = []
    run = ProcessRunner.run

    def third_fails(self: ProcessRunner, *arguments: Any) -> Any:
        calls.append(arguments[1])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run(self, *arguments)

    monkeypatch.setattr(ProcessRunner, "run", third_fails)
    with pytest.raises(KeyboardInterrupt):
        session(image, "SYN_edges_gaps_0", str(store.folder))
    again = session(image, "SYN_edges_gaps_0", str(store.folder), "again")
    assert [record["found"] for record in again] == [True, True, False, False, False, False]
    theirs = np.load(REFERENCE / "expected/memory/SYN_edges_gaps_0.npz")["all_segs"]
    for k, segs in enumerate(theirs, start=1):
        np.testing.assert_array_equal(np.load(tmp_path / f"again/{k}.npz")["segs"], segs)


def _copy(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "memory"))
