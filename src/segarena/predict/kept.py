"""Answers that need not be asked for again.

Snakemake deletes a job's outputs before it runs the job, and again when the job fails. A session
that loses its node at interaction 15 would start at 1, and a changed `jobs` key would run every
container anew. So each answer and its record get a second name (a hard link, no bytes) in the
folder .kept beside them, and a call is skipped when what it would be made from is certain to be
the same: the record says what its answer was made from, and the digest of the answer itself.

To have a case played again, delete its folder under results/predict: .kept goes with it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segarena.files import read_json, whole, write_json
from segarena.provenance import file_digest

FOLDER = ".kept"


def made_from(
    *,
    image: dict[str, Any],
    image_npz: str | Path,
    said_json: str | Path,
    previous_npz: str | Path | None,
    values: dict[str, Any],
) -> str:
    """Return the sha256 of all that an answer depends on.

    image: image.json's content, of which only what runs counts, not where it lay. values: the part
    of the protocol that predict uses, the digest of its code, and whatever else decides.
    """
    parts = {
        "submission": [image["sha256"], image["image_id"], image["runtime"]],
        "image": file_digest(image_npz),
        "said": file_digest(said_json),
        "previous": file_digest(previous_npz) if previous_npz else None,
        "values": values,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def once(answer_npz: Path, record_json: Path, made_from: str, call: Callable[[], None]) -> bool:
    """Run `call`, which writes both files, unless they were kept and made from the same.

    Returns whether it ran.
    """
    kept_npz, kept_json = (path.parent / FOLDER / path.name for path in (answer_npz, record_json))
    if _valid(kept_npz, kept_json, made_from):
        _link(kept_npz, answer_npz)
        _link(kept_json, record_json)
        return False
    call()
    marks = {
        "made_from": made_from,
        "answer_sha256": file_digest(answer_npz),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(record_json, {**read_json(record_json), **marks})
    _link(answer_npz, kept_npz)
    _link(record_json, kept_json)
    return True


def _valid(answer_npz: Path, record_json: Path, made_from: str) -> bool:
    try:
        record = read_json(record_json)
        return record["made_from"] == made_from and record["answer_sha256"] == file_digest(
            answer_npz
        )
    except (FileNotFoundError, ValueError, KeyError):
        return False


def _link(source: Path, target: Path) -> None:
    """Give a file a second name in place of whatever had it; a copy where links cannot be made."""
    with whole(target) as aside:
        aside.unlink()
        try:
            os.link(source, aside)
        except OSError:
            shutil.copyfile(source, aside)
