"""What the teams' tables do not say: which calls failed, and which were not asked for.

The columns of those tables are the reference's. Answers' records,
results/predict/REPETITION/SUBMISSION/ CASE/K.json, are found by their place beside results/score,
not named one by one.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segarena.files import read_json

FINE = frozenset({"ok", "not_asked"})
COLUMNS = ["repetition", "submission", "case", "interaction", "status", "message"]
FACTS = ["seconds", "limit_seconds", "peak_memory_bytes", "memory_limit_bytes"]
FACTS += ["host", "gpu", "runtime", "ended"]
TIMES = "TotalRunningTime"


def read_calls(
    tables: Iterable[str | Path], cases: Sequence[str], *, interactions: int
) -> pd.DataFrame:
    """Return what became of each interaction: repetition, submission, case, interaction, status.

    tables: results/score/REPETITION/SUBMISSION_metrics.csv. A record that is not there has no row.
    The facts of each call are in the columns FACTS; seconds are those that count as its time.
    """
    rows = []
    for table in map(Path, tables):
        repetition, submission = table.parent.name, table.name.removesuffix("_metrics.csv")
        results = table.parent.parent.parent
        for case in cases:
            folder = results / "predict" / repetition / submission / case
            for k in range(1, interactions + 1):
                if (path := folder / f"{k}.json").is_file():
                    record = read_json(path)
                    outcome = (record["status"], record["message"])
                    rows.append((repetition, submission, case, k, *outcome, *_facts(record)))
    return pd.DataFrame(rows, columns=[*COLUMNS, *FACTS])


def _facts(record: dict[str, Any]) -> Iterator[Any]:
    limits, gpu = record.get("limits") or {}, record.get("gpu") or {}
    yield from (record.get("seconds"), limits.get("seconds"))
    yield from (record.get("peak_memory_bytes"), limits.get("memory_bytes"))
    yield from (record.get("host"), gpu.get("model"), record.get("runtime"), record.get("ended"))


def unasked(calls: pd.DataFrame) -> pd.DataFrame:
    """Return the interactions before the first that was asked for, as rows of `calls`.

    There is no answer yet, so a score there is no score: a case without a box has none at
    interaction 1. Once something was asked for, the answer stays in force when nothing more is.
    """
    ordered = calls.sort_values("interaction", kind="stable")
    asked = (ordered["status"] != "not_asked").astype(int)
    keys = [ordered[name] for name in ("repetition", "submission", "case")]
    return ordered[asked.groupby(keys).cummax() == 0]


def without_unasked(
    per_repetition: pd.DataFrame, calls: pd.DataFrame, columns: Iterable[str]
) -> pd.DataFrame:
    """Return the teams' tables without (NaN) the scores before anything was asked for.

    per_repetition: the tables with submission, case and repetition. columns: a metric's value after
    an interaction, such as DSC_1.
    """
    place = pd.MultiIndex.from_frame(per_repetition[["repetition", "submission", "case"]])
    before = unasked(calls)
    per_repetition = per_repetition.copy()
    for column in columns:
        rows = before[before["interaction"] == int(column.rpartition("_")[2])]
        keys = pd.MultiIndex.from_frame(rows[["repetition", "submission", "case"]])
        per_repetition[column] = per_repetition[column].where(~place.isin(keys))
    return per_repetition


def count_failed(
    per_repetition: pd.DataFrame,
    calls: pd.DataFrame,
    columns: Sequence[str],
    *,
    time: dict[str, Any],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Apply `time: {failed: worst}`: a call that failed is not fast, however soon it ended.

    per_repetition: the teams' tables with submission, case and repetition. columns: the times that
    count. A failed call counts as the limit, or as the longest time that anyone took for it if that
    is longer. Where the limit is for the case, the case does. Returns the tables, and a row for
    each value that was changed: submission, case, metric, value.
    """
    per_repetition = per_repetition.copy()
    keys = ["repetition", "submission", "case"]
    failed = calls[~calls["status"].isin(FINE)]
    asked = calls[calls["status"] != "not_asked"].groupby(keys).size()
    place = pd.MultiIndex.from_frame(per_repetition[keys])
    numbers = sorted(calls["interaction"].unique())
    per_case = time.get("per", "call") == "case"
    seconds = {}
    for k in numbers:
        measured = per_repetition[f"RunningTime_{k}"]
        bad = place.isin(pd.MultiIndex.from_frame(failed.loc[failed["interaction"] == k, keys]))
        seconds[k] = measured.where(~bad, _worst(per_repetition, measured))
    any_bad = place.isin(pd.MultiIndex.from_frame(failed[keys]))
    counted = pd.DataFrame({f"RunningTime_{k}": values for k, values in seconds.items()})
    total = counted.sum(axis=1)
    counted["SecondsPerClick"] = total / asked.reindex(place).fillna(1).to_numpy()
    counted[TIMES] = _worst(per_repetition, per_repetition[TIMES]) if per_case else total
    touched = []
    for column in columns:
        changed = any_bad & (counted[column] != per_repetition[column])
        per_repetition[column] = per_repetition[column].where(~changed, counted[column])
        touched.append(
            per_repetition.loc[changed, ["submission", "case", column]].assign(metric=column)
        )
        touched[-1] = touched[-1].rename(columns={column: "value"})
    found = pd.concat(touched).groupby(["submission", "case", "metric"])["value"].mean()
    return per_repetition, found.reset_index()


def _worst(per_repetition: pd.DataFrame, seconds: pd.Series) -> pd.Series:
    longest = seconds.groupby([per_repetition["repetition"], per_repetition["case"]]).transform(
        "max"
    )
    return pd.Series(np.maximum(longest, per_repetition["runtime_upperbound"]), index=seconds.index)
