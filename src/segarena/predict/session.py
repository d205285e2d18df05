"""One call of a submission: its input made, its answer taken, what happened written down.

A submission's failure is a result, not an error: the record's `status` says what happened and the
protocol says what is scored instead. Only the infrastructure's failure raises.
"""

import hashlib
import shutil
import socket
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from segarena.case import (
    append_arrays,
    object_array,
    read_answer,
    read_boxes,
    write_answer,
)
from segarena.errors import EngineError
from segarena.files import read_json, whole, write_json
from segarena.predict.answer import BadAnswer, NoAnswer, image_shape, take_answer
from segarena.predict.runners import Image, Limits, Outcome, runner
from segarena.predict.runners.watch import check_room, machine_memory_bytes, readable

Record = dict[str, Any]

STATUSES = {
    "ok": "a usable answer was given in time",
    "not_asked": "the user had nothing to say, so nothing was run",
    "no_answer": "predict.sh ended well but left no file of the right name",
    "bad_answer": "there is an answer, but it is not a label map of this image",
    "crashed": "predict.sh ended with an exit code other than 0, or could not be started",
    "timed_out": "stopped at the time limit, or the case's time was used up before",
    "out_of_memory": "the memory limit was reached and there is no usable answer",
    "too_much_output": "stopped at a limit on files, output or disk",
    "bad_image": "the archive or folder is no usable submission; nothing was run",
}
"""Every status that a record can have; docs/isolation.md tells what leads to each."""

LOG_LINES = 100
LOG_LINE_CHARACTERS = 2000

_LEAST_FREE_BYTES = 64 << 20
"""Room that a disk must have left after a call, or a failure is put down to the disk."""


def answer(
    *,
    image: Image,
    case: str,
    image_npz: Path,
    said_json: Path,
    previous_npz: Path | None,
    rules: dict[str, Any],
    answer_npz: Path,
    record_json: Path,
) -> None:
    """Play one interaction: write the answer in force after it, and the record of how it went.

    rules: the protocol's name, version, time, limits and on_failure. Beside the record its .log is
    for the team: what happened and the last lines that its program printed. The record of the
    interaction before lies beside `previous_npz`. Raises EngineError where the infrastructure
    fails; then nothing is written.
    """
    said = read_json(said_json)
    previous = read_answer(previous_npz) if previous_npz else None
    used = read_json(previous_npz.with_suffix(".json"))["case_seconds"] if previous_npz else 0.0
    shape = image_shape(image_npz)
    limits = limits_of(rules, len(said["labels"]), used)
    segs, record, printed = None, _not_run(image, said, limits), ""
    if record is None:
        before = np.zeros(shape, np.uint8) if previous is None else previous
        segs, record, printed = _call(image, case, image_npz, said, before, limits)
    if segs is None:
        segs = _fallback(previous, shape, rules["on_failure"], record["status"])
    head = {
        "case": case,
        "protocol": rules["name"],
        "version": rules["version"],
        "interaction": said["interaction"],
    }
    tail = {
        "case_seconds": used + record["seconds"],
        **{key: image[key] for key in ("image_id", "runtime", "sha256")},
        "host": socket.gethostname(),
    }
    with _our_disk(answer_npz.parent):
        write_answer(answer_npz, segs)
        with whole(record_json.with_suffix(".log")) as aside:
            message = _printable(record["message"])
            aside.write_text(f"{record['status']}: {message}\n{printed}", "utf-8")
        write_json(record_json, {**head, **record, **tail})


def make_input(path: Path, image_npz: Path, said: dict[str, Any], previous: np.ndarray) -> None:
    """Write the .npz that a submission reads: the prepared image and all that the user has said.

    The image is not compressed again: the prepared archive is copied and the small members are
    appended. Keys, shapes, dtypes and pickled forms are the reference evaluation's; prev_pred is
    there from the first click or scribble on. Labels that were clicked unequally often make
    clicks_order an array of lists.
    """
    shutil.copyfile(image_npz, path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        more: dict[str, np.ndarray] = {}
        if said["boxes"] != read_boxes(image_npz):
            _drop_last(archive, "boxes.npy")
            if said["boxes"] is not None:
                more["boxes"] = object_array(said["boxes"])
        if any(said["clicks_order"]):
            order = said["clicks_order"]
            even = len({len(kinds) for kinds in order}) == 1
            more["clicks"] = object_array(said["clicks"])
            more["clicks_order"] = np.array(order) if even else object_array(order)
        if "scribbles" in said:
            more["scribbles"] = object_array(said["scribbles"])
        if any(said["clicks_order"]) or "scribbles" in said:
            more["prev_pred"] = previous
        append_arrays(archive, more)


def calls_prefix(run_folder: Path) -> str:
    """Return how the temporary folders of a run's calls begin, so that the next run finds them."""
    return f"segarena-{hashlib.sha256(str(run_folder).encode()).hexdigest()[:12]}-"


def _call(
    image: Image,
    case: str,
    image_npz: Path,
    said: dict[str, Any],
    previous: np.ndarray,
    limits: Limits,
) -> tuple[np.ndarray | None, Record, str]:
    shape = image_shape(image_npz)
    with _call_folder() as folder:
        inputs, outputs, log = (folder / name for name in ("inputs", "outputs", "log"))
        with _our_disk(folder):
            inputs.mkdir(mode=0o755)
            outputs.mkdir()
            outputs.chmod(0o777)  # whoever the image's user is: root without capabilities, too
            make_input(inputs / f"{case}.npz", image_npz, said, previous)
        check_room(folder, limits.output_bytes + _LEAST_FREE_BYTES)
        outcome = runner(image["runtime"]).run(image, inputs, outputs, log, limits)
        segs, status, message = _judged(outcome, outputs / f"{case}.npz", shape, limits)
        if status != "ok":
            check_room(folder, _LEAST_FREE_BYTES)
        record = _record(outcome, limits, status, message)
        if image.get("tells_written"):
            record["written"] = list(outcome.written)
        return segs, record, _last_lines(log)


def _judged(
    outcome: Outcome, path: Path, shape: tuple[int, ...], limits: Limits
) -> tuple[np.ndarray | None, str, str]:
    """Return the answer, if it counts, the status and a message."""
    segs, failure = None, _failure(outcome)
    if failure is None:
        try:
            segs, failure = take_answer(path, shape, limits.output_bytes), ("ok", "")
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


def _exit(code: int | None) -> str:
    hints = {
        126: "; a program cannot be executed (is it executable, is it for this architecture?)",
        127: "; a program was not found (is predict.sh in /workspace, is there an sh?)",
        137: "; it was killed (SIGKILL)",
        139: "; it broke off with a segmentation fault",
    }
    return f"predict.sh ended with exit code {code}{hints.get(code or 0, '')}"


def _record(outcome: Outcome, limits: Limits, status: str, message: str) -> Record:
    return {
        "status": status,
        "message": message,
        "exit_code": outcome.exit_code,
        "seconds": outcome.seconds,
        "own_seconds": outcome.own_seconds,
        "peak_memory_bytes": outcome.peak_memory_bytes,
        "limits": _told(limits),
    }


def _not_run(image: Image, said: dict[str, Any], limits: Limits) -> Record | None:
    """Return the record of a call that is not made, or None."""
    if not said["asked"]:
        status, message = "not_asked", said["reason"]
    elif image.get("status") == "bad_image":
        status, message = "bad_image", image["message"]
    elif limits.seconds <= 0:
        status, message = "timed_out", "the time for this case was used up before; nothing was run"
    else:
        return None
    return {
        "status": status,
        "message": message,
        "exit_code": None,
        "seconds": 0.0,
        "own_seconds": 0.0,
        "peak_memory_bytes": None,
        "limits": _told(limits),
    }


def _told(limits: Limits) -> dict[str, float]:
    return {"seconds": limits.seconds, "memory_bytes": limits.memory_bytes}


def _fallback(
    previous: np.ndarray | None, shape: tuple[int, ...], on_failure: str, status: str
) -> np.ndarray:
    if previous is None or (on_failure == "zeros" and status != "not_asked"):
        return np.zeros(shape, np.uint8)
    return previous


def limits_of(rules: dict[str, Any], labels: int, used_seconds: float) -> Limits:
    """Return the limits of the next call, given the seconds that the case has used already."""
    time = rules["time"]
    seconds = time["seconds_per_label"] * max(labels, 1)
    if time["on_overtime"] == "warn":  # where more time is worth nothing, none is spent
        seconds *= time.get("kill_at", 1)
    if time.get("per", "case") == "case":
        seconds -= used_seconds
    return Limits.of(rules["limits"], seconds=seconds, machine_memory_bytes=machine_memory_bytes())


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


def _last_lines(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    lines = (line[:LOG_LINE_CHARACTERS] for line in text.splitlines()[-LOG_LINES:])
    return "".join(f"{_printable(line)}\n" for line in lines)


def _printable(line: str) -> str:
    """Take out what could steer the terminal of whoever reads the log."""
    return "".join(c if c.isprintable() or c == "\t" else "?" for c in line)
