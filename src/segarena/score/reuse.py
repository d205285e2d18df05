"""Scores that need not be measured again.

Snakemake deletes a table before it makes it again, so a metric more in a protocol would cost all
the others again. Each table of scores therefore gets a second name (a hard link, no bytes) in the
folder .kept beside it, with what it was made from; a metric that is in it and would be made
from the same is taken over, digit for digit.
"""

import csv
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from segarena.errors import EngineError
from segarena.files import atomic_write, read_json, read_lines, write_json
from segarena.provenance import file_digest, json_digest

Values = dict[tuple[int, str, str], str]
"""(interaction, label or region, metric) -> value, as it is in the table."""


def made_from(files: Iterable[str | Path], **values: Any) -> str:
    """Return the sha256 of all but the metrics that a table of scores depends on."""
    return json_digest([[file_digest(path) for path in files], values])


def values_of(table: Path, made_from: str, columns: Mapping[str, Any]) -> tuple[Values, set[str]]:
    """Return what was measured before from the same, and the columns that are whole.

    columns: what each is measured by.
    """
    cached = cached_path(table)
    try:
        mark = read_json(_mark(cached))
        if mark["made_from"] != made_from or mark["sha256"] != file_digest(cached):
            return {}, set()
    except (FileNotFoundError, EngineError, KeyError):
        return {}, set()
    before = mark["columns"]
    same = {name for name, by in columns.items() if name in before and before[name] == by}
    lines = csv.reader(read_lines(cached)[1:])
    values = {(int(k), label, name): v for k, label, name, v in lines if name in same}
    return values, same


def remember(table: Path, made_from: str, columns: Mapping[str, Any]) -> None:
    """Give a finished table its second name."""
    cached = cached_path(table)
    link(table, cached)
    mark = {"made_from": made_from, "columns": dict(columns), "sha256": file_digest(cached)}
    write_json(_mark(cached), mark)


def cached_path(path: Path) -> Path:
    """Return the second name of a file."""
    return path.parent / ".kept" / path.name


def link(source: Path, target: Path) -> None:
    """Give a file a second name in place of whatever had it; a copy where links cannot be made."""
    with atomic_write(target) as tmp:
        tmp.unlink()
        try:
            os.link(source, tmp)
        except OSError:
            shutil.copyfile(source, tmp)


def _mark(cached: Path) -> Path:
    return cached.with_suffix(".json")
