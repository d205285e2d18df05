"""One call of a submission: its input made, its answer taken, what happened written down.

A submission's failure is a result, not an error: the record's `status` says what happened and the
protocol says what is scored instead. Only the infrastructure's failure raises.
"""

import shutil
import socket
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from segarena.case import (
    append_arrays,
    object_array,
    read_answer,
    read_boxes,
    smallest_unsigned,
    write_answer,
)
from segarena.errors import EngineError
from segarena.files import read_json, write_json
from segarena.predict.runners import Image, Limits, Outcome, runner

Record = dict[str, Any]

LOG_LINES = 100


class BadAnswer(Exception):
    """The answer cannot be used; the text says why, to the team."""


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

    rules: the protocol's name, version, time, limits and on_failure. Raises EngineError where the
    infrastructure fails; then neither file is written.
    """
    said = read_json(said_json)
    previous = read_answer(previous_npz) if previous_npz else None
    segs, record = None, _not_asked(said)
    if said["asked"]:
        segs, record = _call(image, case, image_npz, said, previous, rules)
    if segs is None:
        segs = _fallback(previous, _shape(image_npz), rules["on_failure"], record["status"])
    head = {
        "case": case,
        "protocol": rules["name"],
        "version": rules["version"],
        "interaction": said["interaction"],
    }
    tail = {"image_id": image["image_id"], "runtime": image["runtime"], "sha256": image["sha256"]}
    write_answer(answer_npz, segs)
    write_json(record_json, {**head, **record, **tail, "host": socket.gethostname()})


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


def take_answer(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read what a submission wrote, trusting nothing; raises BadAnswer with the reason.

    It must be a regular file, a .npz with `segs` of the image's shape and whole numbers from 0 up.
    The header is checked before a byte is unpacked, and nothing is ever unpickled.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise BadAnswer(f"{path.name} is not a regular file")
    try:
        with zipfile.ZipFile(path) as archive, archive.open("segs.npy") as member:
            segs = _checked_array(member, shape)
    except KeyError as error:
        raise BadAnswer(f"{path.name} has no key 'segs'") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadAnswer(f"{path.name} cannot be read: {error}") from error
    return _as_labels(segs)


def _call(
    image: Image,
    case: str,
    image_npz: Path,
    said: dict[str, Any],
    previous: np.ndarray | None,
    rules: dict[str, Any],
) -> tuple[np.ndarray | None, Record]:
    shape = _shape(image_npz)
    if previous is None:
        previous = np.zeros(shape, np.uint8)
    limits = _limits(rules, len(said["labels"]))
    with tempfile.TemporaryDirectory(prefix="segarena-", ignore_cleanup_errors=True) as folder:
        inputs, outputs, log = (Path(folder) / name for name in ("inputs", "outputs", "log"))
        inputs.mkdir(mode=0o755)
        outputs.mkdir()
        outputs.chmod(0o777)
        make_input(inputs / f"{case}.npz", image_npz, said, previous)
        outcome = runner(image["runtime"]).run(image, inputs, outputs, log, limits)
        segs, status, message = _judged(outcome, outputs / f"{case}.npz", shape)
        return segs, _record(outcome, limits, status, message, _last_lines(log))


def _judged(
    outcome: Outcome, path: Path, shape: tuple[int, ...]
) -> tuple[np.ndarray | None, str, str]:
    if outcome.timed_out:
        return None, "timed_out", f"stopped after {outcome.seconds:.0f} s"
    if outcome.out_of_memory:
        return None, "out_of_memory", "needed more memory than the limit"
    if outcome.exit_code != 0:
        return None, "crashed", f"predict.sh ended with exit code {outcome.exit_code}"
    if not path.exists() and not path.is_symlink():
        return None, "no_answer", f"no {path.name} in the outputs folder"
    try:
        return take_answer(path, shape), "ok", ""
    except BadAnswer as error:
        return None, "bad_answer", str(error)


def _record(outcome: Outcome, limits: Limits, status: str, message: str, printed: str) -> Record:
    return {
        "status": status,
        "message": message,
        "exit_code": outcome.exit_code,
        "seconds": outcome.seconds,
        "own_seconds": outcome.own_seconds,
        "peak_memory_bytes": outcome.peak_memory_bytes,
        "limits": {"seconds": limits.seconds, "memory_bytes": limits.memory_bytes},
        "printed": printed,
    }


def _not_asked(said: dict[str, Any]) -> Record:
    return {"status": "not_asked", "message": said["reason"], "exit_code": None, "seconds": 0.0}


def _fallback(
    previous: np.ndarray | None, shape: tuple[int, ...], on_failure: str, status: str
) -> np.ndarray:
    if previous is None or (on_failure == "zeros" and status != "not_asked"):
        return np.zeros(shape, np.uint8)
    return previous


def _limits(rules: dict[str, Any], labels: int) -> Limits:
    wanted = int(rules["limits"]["memory_gb"] * 2**30)
    return Limits(
        seconds=rules["time"]["seconds_per_label"] * max(labels, 1),
        memory_bytes=min(wanted, _machine_memory_bytes()),
    )


def _machine_memory_bytes() -> int:
    with Path("/proc/meminfo").open() as file:
        for line in file:
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    raise EngineError("/proc/meminfo does not say how much memory this machine has")


def _shape(image_npz: Path) -> tuple[int, ...]:
    with zipfile.ZipFile(image_npz) as archive, archive.open("imgs.npy") as member:
        return _header(member)[0][:3]


def _header(member: Any) -> tuple[tuple[int, ...], np.dtype]:
    version = npy.read_magic(member)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(member)
    return shape, dtype


def _checked_array(member: Any, shape: tuple[int, ...]) -> np.ndarray:
    found, dtype = _header(member)
    if dtype.hasobject or dtype.kind not in "buif":
        raise BadAnswer(f"'segs' holds {dtype}, expected whole numbers such as uint8")
    if found != shape:
        raise BadAnswer(f"'segs' has the shape {found}, the image has {shape}")
    member.seek(0)
    return npy.read_array(member, allow_pickle=False)


def _as_labels(segs: np.ndarray) -> np.ndarray:
    whole_numbers = segs.dtype.kind != "f" or (segs == np.trunc(segs)).all()
    if not (whole_numbers and np.isfinite(segs).all()):
        raise BadAnswer("'segs' holds values that are not whole numbers")
    low, high = (segs.min(), segs.max()) if segs.size else (0, 0)
    if low < 0:
        raise BadAnswer(f"'segs' holds the negative label {low:g}")
    if high > np.iinfo(np.uint32).max:
        raise BadAnswer(f"'segs' holds the label {high:g}, which is too large")
    return segs.astype(smallest_unsigned(int(high)))


def _drop_last(archive: zipfile.ZipFile, name: str) -> None:
    """Take the last member off an archive open for appending; the next one overwrites it."""
    if name in archive.namelist():
        member = archive.getinfo(name)
        archive.filelist.remove(member)
        del archive.NameToInfo[name]
        archive.start_dir = member.header_offset


def _last_lines(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return "\n".join(text.splitlines()[-LOG_LINES:])
