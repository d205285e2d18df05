"""Reading a table of scores that anyone may have made, and writing tables that say their origin."""

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd

from segarena.errors import ConfigError
from segarena.files import whole

COLUMNS = ["task", "algorithm", "case", "value"]
MISSING = {"", "na", "n/a", "nan", "null", "none"}
SOFTWARE = ("segarena", "numpy", "scipy", "pandas", "scikit-posthocs")


def read_table(path: str | Path) -> pd.DataFrame:
    """Return a CSV of task, algorithm, case, value; an empty value, NA or NaN is missing.

    Further columns are left aside. Raises ConfigError with the file, the column and the row (the
    header being row 1) where the table cannot be ranked.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not readable as CSV: {' '.join(str(error).split())}") from error
    for column in COLUMNS:
        if column not in table.columns:
            raise ConfigError(
                f"{path}: no column {column!r}; the columns are to be {', '.join(COLUMNS)}"
            )
    if table.empty:
        raise ConfigError(f"{path}: no rows below the header; there is nothing to rank")
    table = table[COLUMNS].apply(lambda column: column.str.strip())
    for column in COLUMNS[:3]:
        _refuse(path, table[column] == "", column, "is empty; write a name")
    value = pd.to_numeric(table["value"], errors="coerce")
    missing = table["value"].str.lower().isin(MISSING)
    bad = ~missing & ~np.isfinite(value.to_numpy(dtype=float))
    if bad.any():
        text = table.loc[bad, "value"].iloc[0]
        _refuse(path, bad, "value", f"is {text!r}, not a finite number; leave it empty if missing")
    repeated = table.duplicated(COLUMNS[:3])
    if repeated.any():
        where = ", ".join(table.loc[repeated, COLUMNS[:3]].iloc[0])
        _refuse(path, repeated, "case", f"stands twice for ({where}); leave one value")
    return table.assign(value=value.where(~missing).astype(float))


def about(**facts: object) -> dict[str, str]:
    """Return what a table should say of its origin: `facts`, and the software's versions."""
    software = "; ".join(f"{name} {_version(name)}" for name in SOFTWARE)
    return {**{name: str(value) for name, value in facts.items()}, "software": software}


def write_table(
    table: pd.DataFrame, stem: str | Path, facts: Mapping[str, str], *, plain_csv: bool = False
) -> None:
    """Write `stem`.csv and `stem`.parquet, each whole or not at all.

    `facts` (see `about`) stand in the CSV as further columns, the same in every row, and in the
    Parquet file's schema metadata under the key segarena, as JSON. `plain_csv` leaves them out of
    the CSV, where others' programs expect the columns of `table` alone.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    stem = Path(stem)
    with whole(stem.with_name(f"{stem.name}.csv")) as aside:
        (table if plain_csv else table.assign(**facts)).to_csv(
            aside, index=False, lineterminator="\n"
        )
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(arrow.schema.metadata or {}), b"segarena": json.dumps(dict(facts)).encode()}
    with whole(stem.with_name(f"{stem.name}.parquet")) as aside:
        pq.write_table(arrow.replace_schema_metadata(metadata), aside)


def _refuse(path: str | Path, bad: pd.Series, column: str, text: str) -> None:
    if bad.any():
        raise ConfigError(
            f"{path}: column {column}, row {int(bad.to_numpy().argmax()) + 2}: {text}"
        )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        import segarena

        return getattr(segarena, "__version__", "not installed")
