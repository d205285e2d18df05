"""The same ranking on one label or one region alone (`ranking: {by: [...]}`).

A label's rows are made of its own scores as a case's are made of the means over its labels, by the
same function; times are the case's. The cases that a label is in are the ones that it is ranked on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from segarena.protocol import steps
from segarena.rank.columns import is_time
from segarena.score.table import read_label_scores, row, unanswered


@dataclass(frozen=True)
class View:
    """One label or region: its id or key, its name, and the scores that it is ranked by.

    scores: submission, case, and the ranking's columns, NaN where a value does not count; of the
    cases that have the label.
    """

    label: str
    name: str
    scores: pd.DataFrame

    @property
    def subgroup(self) -> str:
        """What tables call it, such as "label: 4 (spleen)"."""
        kind = "label" if self.label.isdecimal() else "region"
        return f"{kind}: {self.label}" + (f" ({self.name})" if self.name else "")


def views(
    tables: Sequence[str | Path],
    per_repetition: pd.DataFrame,
    calls: pd.DataFrame,
    columns: Sequence[str],
    protocol: Mapping[str, Any],
) -> list[View]:
    """Return a view per label and region of `ranking.by` that any case has.

    tables: results/score/REPETITION/SUBMISSION_metrics.csv; the scores of each case are found
    beside them. per_repetition: those tables with submission, case and repetition, times as they
    count. calls: see `segarena.rank.calls.read_calls`. columns: what is ranked.
    """
    rows: dict[str, list[dict[str, Any]]] = {str(label): [] for label in _by(protocol)}
    if not rows:
        return []
    times = [column for column in columns if is_time(column)]
    numbers = range(1, len(steps(dict(protocol))) + 1)
    by_session = calls.sort_values("interaction").groupby(["repetition", "submission", "case"])
    statuses = by_session["status"].agg(list).to_dict()
    for path in map(Path, tables):
        repetition, submission = path.parent.name, path.name.removesuffix("_metrics.csv")
        mine = (per_repetition["repetition"] == repetition) & (
            per_repetition["submission"] == submission
        )
        for about in per_repetition[mine].to_dict("records"):
            scores = read_label_scores(path.parent / submission / f"{about['case']}.csv")
            seconds = [float(about[f"RunningTime_{k}"]) for k in numbers]
            answers = statuses.get((repetition, submission, about["case"]), [])
            failed = unanswered(answers, protocol["on_failure"])
            for label in rows.keys() & scores.keys():
                found = row(
                    about["case"],
                    scores[label],
                    seconds,
                    dict(protocol),
                    unanswered=failed,
                    labels=int(about["num_class"]),
                )
                kept = {c: about[c] if c in times else found[c] for c in columns}
                kept |= {c: float("nan") for c in columns if pd.isna(about[c])}
                rows[label].append({"submission": submission, "case": about["case"], **kept})
    labels = protocol.get("labels", {})
    return [
        View(label, _name(label, labels), _means(found, columns))
        for label, found in rows.items()
        if found
    ]


def _by(protocol: Mapping[str, Any]) -> list[int | str]:
    return list(protocol["ranking"].get("by", ()))


def _name(label: str, labels: Mapping[str, Mapping[str, Any]]) -> str:
    name = str(labels.get(label, {}).get("name", ""))
    return "" if name == label else name


def _means(rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Return a row per submission and case: its mean over the repetitions."""
    found = pd.DataFrame(rows)
    found[list(columns)] = found[list(columns)].apply(pd.to_numeric)
    return found.groupby(["submission", "case"], as_index=False)[list(columns)].mean()
