"""One call of a submission: its input made, its answer taken, what happened written down.

A submission's failure is a result, not an error: the record's `status` says what happened and the
protocol says what is scored instead. Only the infrastructure's failure raises.
"""

import math
import shutil
import socket
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segarena.case import (
    append_arrays,
    has_probs,
    object_array,
    read_answer,
    read_boxes,
    write_answer,
)
from segarena.errors import EngineError
from segarena.files import atomic_write, read_json, write_json
from segarena.predict import gpu, state
from segarena.predict.answer import BadAnswer, NoAnswer, Probs, image_shape, take_answer
from segarena.predict.runners import Image, Limits, Outcome, calls_prefix, run
from segarena.predict.runners.watch import check_room, excess, machine_memory_bytes, readable
from segarena.predict.store import Facts, Members, Store, answer_key, seen_digest, within
from segarena.predict.warm import WarmContainer
from segarena.provenance import file_digest
from segarena.untrusted import printable

Record = dict[str, Any]
State = dict[str, Any]
"""What a call has left: its digest, the key of that call's answer, whether it is but the answer."""

STATUSES = {
    "ok": "a usable answer was given in time",
    "not_asked": "the user had no new prompt, so nothing was run",
    "no_answer": "predict.sh exited with 0 but wrote no file named like the input",
    "bad_answer": "there is an answer, but it is not a label map of this image",
    "crashed": "predict.sh ended with an exit code other than 0, or could not be started",
    "timed_out": "stopped at the time limit, or the case's time was used up before",
    "out_of_memory": "the memory limit was reached and there is no usable answer",
    "too_much_output": "stopped at a limit on files, output or disk",
    "bad_image": "the archive or folder is no usable submission; nothing was run",
}
"""Every status that a record can have; docs/isolation.md says what leads to each."""

START_SECONDS = 300.0
"""What a warm container may take until it is ready, where the protocol does not say."""

LOG_LINES = 100
LOG_LINE_CHARACTERS = 2000

_LEAST_FREE_BYTES = 64 << 20
"""Room that a disk must have left after a call, or a failure is put down to the disk."""

_ANSWER_VOXEL_BYTES = 16
"""Room per voxel that a disk must have for an answer: int64, not compressed, written twice."""


def answer(
    *,
    image: Image,
    case: str,
    image_npz: Path,
    prompts_json: Path,
    previous_npz: Path | None,
    rules: dict[str, Any],
    answer_npz: Path,
    record_json: Path,
    store: Store | None = None,
    with_gpu: bool = False,
    origin: tuple[str, ...] = (),
    warm: WarmContainer | None = None,
) -> Record:
    """Run one interaction: write the answer in force after it and the record of how it went.

    rules: the protocol's name, version, time, limits, state and on_failure. Beside the record its
    .log is for the team: what happened and the last lines that its program printed. The record of
    the interaction before is beside `previous_npz`. store: where an answer is looked up before it
    is asked for, and kept. with_gpu: whether calls have a GPU. origin: see `answer_key`. Returns
    the record. Raises EngineError where the infrastructure fails; then nothing is written.
    StateLost: what the interaction before left is needed and gone. warm: the case's container, for
    a protocol with `container: warm` and a submission that has a serve.sh.
    """
    prompts = read_json(prompts_json)
    before = read_json(previous_npz.with_suffix(".json")) if previous_npz else {}
    used, seen = before.get("case_seconds", 0.0), before.get("seen", "")
    left, states = before.get("state"), store or Store(answer_npz.parent / ".states")
    previous = read_answer(previous_npz) if previous_npz else None
    shape = image_shape(image_npz)
    limits = limits_of(rules, len(prompts["labels"]), used)
    probs, limits = _with_probs(rules, limits, len(prompts["labels"]), shape, answer_npz)
    if warm is not None and rules.get("container") == "warm" and image.get("serves"):
        limits = replace(limits, warm=True, keep_state=False)
    found, key, facts = False, None, _not_run(image, prompts, limits)
    if facts is None:
        zeros = np.zeros(shape, np.uint8)
        members = _new_members(image_npz, prompts, zeros if previous is None else previous)
        seen = seen_digest(seen, image_npz, members, left["digest"] if left else "")
        asks: dict[str, Any] = {"seen": seen, "origin": list(origin), "probs": bool(probs)}
        key = answer_key(image, case, limits, gpu=with_gpu, **asks)
        ask = partial(_call, image, case, image_npz, members, limits)
        if limits.warm and warm is not None:
            starts = rules["time"].get("start_seconds", START_SECONDS)
            number = prompts["interaction"]
            ask = partial(_call_warm, warm, image, case, image_npz, members, limits, number, starts)
        elif limits.keep_state:
            ask = partial(ask, states=states, left=left, key=key)
        ask = partial(ask, probs=probs) if probs else ask
        found, facts = _reuse_or_ask(store, key, ask, limits, with_gpu=with_gpu)
        left = facts.get("state")
    if facts["status"] == "timed_out" and facts.get("is_ready", True):
        facts["message"] = _overtime(
            rules["time"], len(prompts["labels"]), limits, facts["seconds"]
        )
    segs = facts.pop("segs", None)
    head = {
        "case": case,
        "protocol": rules["name"],
        "version": rules["version"],
        "interaction": prompts["interaction"],
    }
    keys = ("status", "message", "exit_code", "seconds", "own_seconds", "peak_memory_bytes")
    more = ("container", "start_seconds", "gpu_use", "limits", "written", "probs")
    what_happened = {key: facts[key] for key in (*keys, *more) if key in facts}
    tail = {
        "case_seconds": used + facts["seconds"],
        **{key: image[key] for key in ("image_id", "runtime", "sha256")},
        "found": found,
        "seen": seen,
        "key": key,
        **{key: facts[key] for key in ("host", "gpu", "ended")},
        **({"state": left} if left else {}),
    }
    with _our_disk(answer_npz.parent):
        if store is not None and key is not None and facts["status"] == "ok":
            store.copy_answer(key, answer_npz)
        else:
            kept = facts.pop("probs_file", None)
            if segs is None:
                segs = _fallback(previous, shape, rules["on_failure"], facts["status"])
                kept = _fallback_probs(previous_npz, probs) if segs is previous else None
            _write_in_force(answer_npz, segs, kept, probs)
        _write_log(record_json.with_suffix(".log"), facts)
        record = {**head, **what_happened, **tail, "answer_sha256": file_digest(answer_npz)}
        write_json(record_json, record)
    if limits.keep_state and before.get("state") not in (None, left):
        states.drop_state(before["state"])
    return record


def _reuse_or_ask(
    store: Store | None, key: str, ask: Callable[[], Facts], limits: Limits, *, with_gpu: bool
) -> tuple[bool, Facts]:
    """Return whether the store has an answer that counts, and how its call went; else make it."""
    if store is None:
        return False, _metered(ask)
    with store.asking(key):
        stored = store.find(key)
        facts = within(stored, limits.seconds) if stored else None
        if facts is not None:
            return True, {**facts, "limits": _limits_as_json(limits)}
        if with_gpu and not gpu.assigned():
            raise EngineError(
                f"{store.folder}: an answer that was here is gone or damaged, and this job has no "
                "GPU to ask for it again; run the same command again"
            )
        facts = _metered(ask)
        with _our_disk(store.folder):
            probs = facts.pop("probs_file", None)
            kept = store.keep(key, facts.pop("segs"), facts, probs)
            if probs is not None:
                probs.unlink()
            return False, kept


def _metered(ask: Callable[[], Facts]) -> Facts:
    """Make the call, and say with how it went what it cost on the GPUs that it held."""
    devices = gpu.assigned()
    if not devices:
        return ask()
    from segarena.predict.gpu_meter import metered  # NVML takes a tenth of a second to import

    with metered(devices) as use:
        facts = ask()
    return {**facts, "gpu_use": use}


def make_input(path: Path, image_npz: Path, prompts: dict[str, Any], previous: np.ndarray) -> None:
    """Write the .npz that a submission reads: the prepared image and all prompts so far.

    previous: the answer in force, zeros before the first one.
    """
    _write_input(path, image_npz, _new_members(image_npz, prompts, previous))


def _new_members(image_npz: Path, prompts: dict[str, Any], previous: np.ndarray) -> Members:
    """Return what the input of a submission has in place of the image file's members, or beside.

    prev_pred is there from the first click or scribble on.
    """
    members: Members = {}
    if prompts["boxes"] != read_boxes(image_npz):
        members["boxes"] = prompts["boxes"]
    if any(prompts["clicks_order"]):
        members["clicks"] = prompts["clicks"]
        members["clicks_order"] = prompts["clicks_order"]
    members |= {key: prompts[key] for key in ("scribbles", "scribbles_order") if key in prompts}
    if any(prompts["clicks_order"]) or "scribbles" in prompts:
        members["prev_pred"] = previous
    return members


def _write_input(path: Path, image_npz: Path, members: Members) -> None:
    """Write the input; keys, shapes, dtypes and pickled forms are the reference evaluation's.

    The image is not compressed again: the prepared archive is copied and the small members are
    appended. Labels that were clicked unequally often make clicks_order an array of lists.
    """
    shutil.copyfile(image_npz, path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        if "boxes" in members:
            _drop_last(archive, "boxes.npy")
        arrays = {name: _array(name, value) for name, value in members.items() if value is not None}
        append_arrays(archive, arrays)


def _array(name: str, value: np.ndarray | list[Any]) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value
    even = name == "clicks_order" and len({len(kinds) for kinds in value}) == 1
    return np.array(value) if even else object_array(value)


def _call(
    image: Image,
    case: str,
    image_npz: Path,
    members: Members,
    limits: Limits,
    *,
    states: Store | None = None,
    left: State | None = None,
    key: str = "",
    probs: Probs | None = None,
) -> Facts:
    """Run one call and return how it went; `segs` is the label map, None where it is unusable.

    states: where the files that a call leaves are kept, under `key`.
    left: those of the call before. probs: see `take_answer`.
    """
    shape, answer_file = image_shape(image_npz), f"outputs/{case}.npz"
    with _call_folder() as folder:
        inputs, outputs, log = (folder / name for name in ("inputs", "outputs", "log"))
        with _our_disk(folder):
            # Explicit modes, whatever the umask: the image's user may be anybody, and even root
            # has no capabilities.
            for path in (inputs, outputs):
                path.mkdir()
                path.chmod(0o777)
            if states is not None and left:
                state.unpack(states.state_file(left["key"]), folder)
            _write_input(inputs / f"{case}.npz", image_npz, members)
            (inputs / f"{case}.npz").chmod(0o666)
        allowed = _within_room(folder, shape, limits)
        before = state.mark(folder / answer_file)
        outcome = run(image, inputs, outputs, log, allowed)
        if outcome.too_much_output and excess(outputs, allowed) and not excess(outputs, limits):
            raise EngineError(
                f"{folder.parent}: the disk had room for {readable(allowed.output_bytes)} of what "
                f"a call writes, and {readable(limits.output_bytes)} are allowed; make room, run "
                "again"
            )
        answer_path = folder / answer_file
        segs, status, message = _judged(outcome, answer_path, shape, limits, before, probs)
        if status != "ok":
            check_room(folder, _LEAST_FREE_BYTES)
        if status in {"crashed", "no_answer"}:
            message += _entrypoint_hint(image)
        if states is not None:
            left, problem = _keep_state(states, key, left, folder, case, limits, status)
            message = "; ".join(filter(None, (message, problem)))
        facts = _facts(status, message, limits, outcome) | _probs_facts(probs)
        if left:
            facts["state"] = left
        if image.get("report_writes"):
            facts["written"] = list(outcome.written)
        printed = log.read_bytes() if log.is_file() else b""
        return {**facts, "segs": segs, "printed": _last_lines(printed)}


def _call_warm(
    warm: WarmContainer,
    image: Image,
    case: str,
    image_npz: Path,
    members: Members,
    limits: Limits,
    number: int,
    start_seconds: float,
    probs: Probs | None = None,
) -> Facts:
    """Ask the case's container and return how it went, as `_call` does."""
    write = partial(_write_input, image_npz=image_npz, members=members)
    shape, place = image_shape(image_npz), Path(tempfile.gettempdir())
    with _our_disk(place):
        allowed = _within_room(place, shape, limits)
        asked = warm.ask(image, f"{case}.npz", number, write, allowed, start_seconds)
    outcome = asked.outcome
    segs, status, message = _judged(outcome, asked.answer, shape, limits, (), probs)
    if not asked.is_ready and status in {"no_answer", "timed_out"}:
        segs, ends = None, f"after {asked.start_seconds:.1f} s"
        message = f"serve.sh was not ready (it makes outputs/ready) {ends}"
    elif status == "no_answer":
        message = f"no outputs/{number}/{case}.npz; serve.sh renames its answer there"
    facts = _facts(status, message.replace("predict.sh", "serve.sh"), limits, outcome)
    facts |= _probs_facts(probs)
    warmth = {"start_seconds": asked.start_seconds, "is_ready": asked.is_ready}
    return {**facts, **warmth, "segs": segs, "printed": _last_lines(asked.printed)}


def _keep_state(
    states: Store,
    key: str,
    left: State | None,
    folder: Path,
    case: str,
    limits: Limits,
    status: str,
) -> tuple[State | None, str]:
    """Keep what a call has left and return it; else what the call before left, and why."""
    if status == "too_much_output":
        return left, ""
    most = {"most_files": limits.output_files, "most_bytes": limits.output_bytes}
    try:
        with _our_disk(states.folder):
            digest, names = state.pack(states.state_file(key), folder, f"{case}.npz", **most)
    except ValueError as error:
        return left, f"what it left for its next call is not kept: {error}"
    answer_only = names == [f"outputs/{case}.npz"]
    return ({"digest": digest, "key": key, "answer_only": answer_only} if digest else None), ""


def _within_room(folder: Path, shape: tuple[int, ...], limits: Limits) -> Limits:
    """Return the limits of a call, its output no larger than the disk of its folder has room for.

    So what is needed goes by the case, and no call fills the disk. Raises EngineError where there
    is no room for an answer.
    """
    needed = min(limits.output_bytes, _ANSWER_VOXEL_BYTES * math.prod(shape))
    check_room(folder, needed + _LEAST_FREE_BYTES)
    free = shutil.disk_usage(folder).free - _LEAST_FREE_BYTES
    return replace(limits, output_bytes=min(limits.output_bytes, free))


def _judged(
    outcome: Outcome,
    path: Path,
    shape: tuple[int, ...],
    limits: Limits,
    before: tuple[int, ...],
    probs: Probs | None = None,
) -> tuple[np.ndarray | None, str, str]:
    """Return the answer, if it counts, the status and a message.

    before: the mark of an answer that was there before the call, which never counts as a new one.
    probs: see `take_answer`.
    """
    if probs is not None:
        probs.file.unlink(missing_ok=True)  # what a killed job has left
    segs, failure = None, _failure(outcome)
    if failure is None and before and state.mark(path) == before:
        failure = ("no_answer", f"{path.name} in the outputs folder is that of an earlier call")
    if failure is None:
        try:
            segs, failure = take_answer(path, shape, limits.output_bytes, probs), ("ok", "")
        except NoAnswer as error:
            failure = ("no_answer", str(error))
        except BadAnswer as error:
            failure = ("bad_answer", str(error))
    status, message = failure
    # A child may be killed for its memory under a shell that ends with 0 all the same.
    if outcome.out_of_memory and status in {"crashed", "no_answer", "bad_answer"}:
        memory = f"needed more memory than the limit of {readable(limits.memory_bytes)}"
        return None, "out_of_memory", f"{memory} ({message})"
    return segs, status, message


def _probs_facts(probs: Probs | None) -> Facts:
    """Return whether an answer has probabilities, and the file of those; nothing if not asked."""
    if probs is None:
        return {}
    found = probs.file.is_file()
    return {"probs": found} | ({"probs_file": probs.file} if found else {})


def _failure(outcome: Outcome) -> tuple[str, str] | None:
    """Return status and message of a call that did not end well, whatever it wrote."""
    if outcome.cannot_start:
        return "crashed", f"the image cannot be started: {outcome.cannot_start}"
    if outcome.too_much_output:
        return "too_much_output", outcome.too_much_output
    if outcome.timed_out:
        return "timed_out", f"stopped at the time limit, after {outcome.seconds:.1f} s"
    if outcome.exit_code != 0:
        return "crashed", _exit(outcome.exit_code)
    return None


def _entrypoint_hint(image: Image) -> str:
    """Return what to know of a failed call whose image has an ENTRYPOINT, as it may be why."""
    words = image.get("entrypoint")
    if not words:
        return ""
    shown = printable(words if isinstance(words, str) else " ".join(words), 80)
    return (
        f"; the image's ENTRYPOINT ({shown}) gets `sh predict.sh` as its arguments and must run "
        'it: end it with exec "$@", or write ENTRYPOINT [] in the Dockerfile'
    )


def _exit(code: int | None) -> str:
    hints = {
        126: "; a program cannot be executed (is it executable, is it for this architecture?)",
        127: "; a program was not found (is predict.sh in the image's WORKDIR, is there an sh?)",
        137: "; it was killed (SIGKILL)",
        139: "; it broke off with a segmentation fault",
    }
    return f"predict.sh ended with exit code {code}{hints.get(code or 0, '')}"


def _facts(status: str, message: str, limits: Limits, outcome: Outcome | None = None) -> Facts:
    """Return how a call went, where and when; without an outcome, of one that was not made."""
    return {
        "status": status,
        "message": message,
        "exit_code": outcome.exit_code if outcome else None,
        "seconds": outcome.seconds if outcome else 0.0,
        "own_seconds": outcome.own_seconds if outcome else 0.0,
        "peak_memory_bytes": outcome.peak_memory_bytes if outcome else None,
        "timed_out": outcome.timed_out if outcome else False,
        "limits": _limits_as_json(limits),
        "container": "warm" if limits.warm else "fresh",
        "host": socket.gethostname(),
        "gpu": gpu.described(),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _not_run(image: Image, prompts: dict[str, Any], limits: Limits) -> Facts | None:
    """Return the facts of a call that is not made, or None."""
    if not prompts["asked"]:
        return _facts("not_asked", prompts["reason"], limits)
    if image.get("status") == "bad_image":
        return _facts("bad_image", image["message"], limits)
    if limits.seconds <= 0:
        message = "the time for this case was used up before; nothing was run"
        return _facts("timed_out", message, limits)
    return None


def _limits_as_json(limits: Limits) -> dict[str, float]:
    return {"seconds": limits.seconds, "memory_bytes": limits.memory_bytes}


def _fallback(
    previous: np.ndarray | None, shape: tuple[int, ...], on_failure: str, status: str
) -> np.ndarray:
    if previous is None or (on_failure == "zeros" and status != "not_asked"):
        return np.zeros(shape, np.uint8)
    return previous


def _with_probs(
    rules: dict[str, Any], limits: Limits, labels: int, shape: tuple[int, ...], answer_npz: Path
) -> tuple[Probs | None, Limits]:
    """Return where an answer's probabilities are put on their way, and the limits with them.

    None, and the same limits, where no probabilities are measured. The limit on what is written is
    for label maps; a byte per voxel and label comes on top.
    """
    if not rules.get("probs"):
        return None, limits
    probs = Probs(labels, answer_npz.with_name(f".{answer_npz.stem}.probs"))
    room = limits.output_bytes + labels * math.prod(shape)
    return probs, replace(limits, output_bytes=room)


def _write_in_force(
    path: Path, segs: np.ndarray, probs_npz: Path | None, probs: Probs | None
) -> None:
    write_answer(path, segs, probs_npz)
    if probs is not None:
        probs.file.unlink(missing_ok=True)


def _write_log(path: Path, facts: Facts) -> None:
    with atomic_write(path) as tmp:
        message = _printable(facts["message"])
        tmp.write_text(f"{facts['status']}: {message}\n{facts.get('printed', '')}", "utf-8")


def _fallback_probs(previous_npz: Path | None, probs: Probs | None) -> Path | None:
    """Return the answer whose probabilities stay in force with its label map."""
    if probs is None or previous_npz is None:
        return None
    return previous_npz if has_probs(previous_npz) else None


def limits_of(rules: dict[str, Any], labels: int, used_seconds: float) -> Limits:
    """Return the limits of the next call, given the seconds that the case has used already."""
    seconds = _seconds(rules["time"], labels)
    if _is_per_case(rules["time"]):
        seconds -= used_seconds
    return Limits.of(
        rules["limits"],
        seconds=seconds,
        machine_memory_bytes=machine_memory_bytes(),
        keep_state=rules.get("state") == "case",
    )


def _overtime(time: dict[str, Any], labels: int, limits: Limits, seconds: float) -> str:
    """Return the message of a call that was stopped, or not made, for lack of time.

    It is made from the protocol, since an answer of the store may come from another one.
    """
    per_case = _is_per_case(time)
    limit = f"the limit is {_seconds(time, labels):g} s for the {'case' if per_case else 'call'}"
    if limits.seconds <= 0:
        return f"nothing was run: {limit}, and all of it was used before"
    left = f", of which {limits.seconds:.1f} s were left" if per_case else ""
    return f"stopped after {seconds:.1f} s: {limit}{left}"


def _is_per_case(time: dict[str, Any]) -> bool:
    return bool(time.get("per", "call") == "case")


def _seconds(time: dict[str, Any], labels: int) -> float:
    # Where more time is worth nothing, none is spent.
    times = time.get("kill_at", 1) if time["on_overtime"] == "warn" else 1
    return float(time["seconds_per_label"] * max(labels, 1) * times)


@contextmanager
def _call_folder() -> Iterator[Path]:
    """Yield a folder that only we can enter, so that what a submission leaves there is harmless."""
    with _our_disk(Path(tempfile.gettempdir())):
        folder = Path(tempfile.mkdtemp(prefix=calls_prefix(Path.cwd())))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _our_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EngineError(f"{folder}: cannot be written ({error}); make room, run again") from error


def _drop_last(archive: zipfile.ZipFile, name: str) -> None:
    """Take the last member off an archive open for appending; the next one overwrites it."""
    if name in archive.namelist():
        member = archive.getinfo(name)
        archive.filelist.remove(member)
        del archive.NameToInfo[name]
        archive.start_dir = member.header_offset


def _last_lines(printed: bytes) -> str:
    text = printed.decode("utf-8", errors="replace")
    lines = (line[:LOG_LINE_CHARACTERS] for line in text.splitlines()[-LOG_LINES:])
    return "".join(f"{_printable(line)}\n" for line in lines)


def _printable(line: str) -> str:
    """Take out what could steer the terminal of whoever reads the log."""
    return "".join(c if c.isprintable() or c == "\t" else "?" for c in line)
