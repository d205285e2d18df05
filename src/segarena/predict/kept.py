"""Answers that need not be asked for again.

Snakemake deletes a job's outputs before it runs the job, and again when the job fails. A session
that loses its node at interaction 15 would start at 1, and a changed `jobs` key would run every
container anew. So each answer and its record get a second name (a hard link, no bytes) in the
folder .kept beside them, and a call is skipped when what it would be made from is certain to be
the same: the record says what its answer was made from, and the digest of the answer itself.

To have a case played again, delete its folder under results/predict: .kept goes with it.
"""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segarena.errors import EngineError
from segarena.files import read_json, whole, write_json
from segarena.provenance import file_digest, json_digest

FOLDER = ".kept"


def made_from(
    *,
    image: dict[str, Any],
    files: list[str | Path],
    values: dict[str, Any],
) -> str:
    """Return the sha256 of all that an answer depends on.

    image: image.json's content, of which only what runs counts, not where it lay. files: what the
    call reads, always in the same order; a previous record counts, since the time that it used up
    does. values: the part of the protocol that predict uses, and the digest of its code.
    """
    parts = {
        "submission": [image["sha256"], image["image_id"], image["runtime"]],
        "files": [file_digest(path) for path in files],
        "values": values,
    }
    return json_digest(parts)


def once(
    answer_npz: Path,
    record_json: Path,
    made_from: str,
    call: Callable[[], None],
    *,
    same: Path | None = None,
    **also: Any,
) -> bool:
    """Run `call`, which writes both files, unless they were kept and made from the same.

    same: an answer beside its record that may have been made from the same, too. It is copied, not
    linked: Snakemake gives the output of a job a new time, which would be that of both. also: what
    else the record says. Returns whether it ran.
    """
    pair = answer_npz, record_json
    if _valid(beside(answer_npz), beside(record_json), made_from):
        for path in pair:
            link(beside(path), path)
        return False
    if same is not None and _valid(same, same.with_suffix(".json"), made_from):
        for path in pair:
            with whole(path) as aside:
                shutil.copyfile(same.with_suffix(path.suffix), aside)
        return False
    call()
    marks = {
        "made_from": made_from,
        "answer_sha256": file_digest(answer_npz),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(record_json, {**read_json(record_json), **also, **marks})
    for path in pair:
        link(path, beside(path))
    return True


def drop(answer_npz: Path) -> int:
    """Remove an answer under both its names and return the bytes that this frees."""
    freed = 0
    for path in (answer_npz, beside(answer_npz)):
        if path.exists():
            freed = path.stat().st_size
            path.unlink()
    return freed


def beside(path: Path) -> Path:
    """Return the second name of a file."""
    return path.parent / FOLDER / path.name


def _valid(answer_npz: Path, record_json: Path, made_from: str) -> bool:
    try:
        record = read_json(record_json)
        same = record["made_from"] == made_from
        return same and record["answer_sha256"] == file_digest(answer_npz)
    except (FileNotFoundError, EngineError, KeyError):
        return False


def link(source: Path, target: Path) -> None:
    """Give a file a second name in place of whatever had it; a copy where links cannot be made."""
    with whole(target) as aside:
        aside.unlink()
        try:
            os.link(source, aside)
        except OSError:
            shutil.copyfile(source, aside)
