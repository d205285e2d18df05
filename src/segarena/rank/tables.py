"""Reading a table of scores that anyone may have made, and writing tables that say their origin."""

import csv
import json
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd

from segarena.errors import ConfigError
from segarena.extras import without
from segarena.files import atomic_write

COLUMNS = ["task", "algorithm", "case", "value"]
MISSING = {"", "na", "n/a", "nan", "-nan", "null", "none", "#n/a", "<na>"}
# Twice as much as this overflows. Nothing is measured in such numbers: it is what numpy.nan_to_num
# and the like make of an infinite value.
LARGEST = 1e300
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
SOFTWARE = ("segarena", "numpy", "scipy", "pandas")


def read_table(path: str | Path) -> pd.DataFrame:
    """Return a CSV of task, algorithm, case, value; an empty value, NA or NaN is missing.

    Columns may be separated by commas, semicolons or tabs; beside the last two a number may have a
    decimal comma. Further columns are left aside. Raises ConfigError with the file, the column and
    the row (the line of the file, the header being 1) where the table cannot be ranked.
    """
    separator, lines = _rows(path)
    if not lines:
        raise ConfigError(f"{path}: the file is empty; the columns are to be {', '.join(COLUMNS)}")
    _, header = lines.pop(0)
    for column in COLUMNS:
        if header.count(column) != 1:
            found = "more than one column" if column in header else "no column"
            raise ConfigError(
                f"{path}: {found} {column!r}; the columns are to be {', '.join(COLUMNS)}"
            )
    if not lines:
        raise ConfigError(f"{path}: no rows below the header; there is nothing to rank")
    places = [header.index(column) for column in COLUMNS]
    rows: list[tuple[str, str, str, float]] = []
    first: dict[tuple[str, ...], int] = {}
    marks: set[str] = set()
    for number, fields in lines:
        if len(fields) != len(header):
            raise ConfigError(
                f"{path}: row {number}: {len(fields)} values, but the header has {len(header)}; "
                "write numbers with a decimal point, and quote a name that holds the separator"
            )
        task, algorithm, case, text = (fields[place] for place in places)
        for column, name in zip(COLUMNS, (task, algorithm, case), strict=False):
            if not name:
                raise ConfigError(f"{path}: column {column}, row {number}: is empty; write a name")
        before = first.setdefault((task, algorithm, case), number)
        if before != number:
            raise ConfigError(
                f"{path}: column case, row {number}: ({task}, {algorithm}, {case}) is in row "
                f"{before} already; leave one value"
            )
        where = f"{path}: column value, row {number}"
        marks |= {mark for mark in ".," if mark in text}
        if len(marks) == 2:
            raise ConfigError(
                f"{where}: is {text!r}, but this file has decimal points and commas; use one"
            )
        if separator != "," and DECIMAL_COMMA.fullmatch(text):
            text = text.replace(",", ".")
        rows.append((task, algorithm, case, _number(text, where)))
    return pd.DataFrame(rows, columns=COLUMNS)


def about(**facts: object) -> dict[str, str]:
    """Return what a table should say of its origin: `facts`, and the software's versions."""
    software = "; ".join(f"{name} {_version(name)}" for name in SOFTWARE)
    return {**{name: str(value) for name, value in facts.items()}, "software": software}


def write_table(
    table: pd.DataFrame, stem: str | Path, facts: Mapping[str, str], *, plain_csv: bool = False
) -> None:
    """Write `stem`.csv and, where pyarrow is installed, `stem`.parquet, each whole or not at all.

    `facts` (see `about`) stand in the CSV as further columns, the same in every row, and in the
    Parquet file's schema metadata under the key segarena, as JSON. `plain_csv` leaves them out of
    the CSV, where others' programs expect the columns of `table` alone.
    """
    stem = Path(stem)
    with atomic_write(stem.with_name(f"{stem.name}.csv")) as tmp:
        (table if plain_csv else table.assign(**facts)).to_csv(
            tmp, index=False, lineterminator="\n"
        )
    if without("pyarrow"):
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(arrow.schema.metadata or {}), b"segarena": json.dumps(dict(facts)).encode()}
    with atomic_write(stem.with_name(f"{stem.name}.parquet")) as tmp:
        pq.write_table(arrow.replace_schema_metadata(metadata), tmp)


def _rows(path: str | Path) -> tuple[str, list[tuple[int, list[str]]]]:
    """Return the separator, and the line number and fields of each row that is not empty."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            separator = next((mark for mark in ";\t" if mark in header and "," not in header), ",")
            file.seek(0)
            rows = csv.reader(file, delimiter=separator, strict=True)
            found = [(rows.line_num, [field.strip() for field in row]) for row in rows]
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(f"{path}: not readable as CSV: {' '.join(str(error).split())}") from error
    return separator, [(number, fields) for number, fields in found if any(fields)]


def _number(text: str, where: str) -> float:
    if text.lower() in MISSING:
        return np.nan
    try:
        value = float(text) if "_" not in text else np.nan
    except ValueError:
        value = np.nan
    if not abs(value) <= LARGEST:
        hint = "; write numbers with a decimal point" if "," in text else ""
        size = f" of at most {LARGEST:g}" if abs(value) > LARGEST else ""
        raise ConfigError(
            f"{where}: is {text!r}, not a finite number{size}; leave it empty if missing{hint}"
        )
    return value


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        import segarena

        return getattr(segarena, "__version__", "not installed")
