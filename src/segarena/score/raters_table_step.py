"""Summarise what submissions reach against each rater, and the raters against each other."""

import csv
import math
from pathlib import Path

import numpy as np

from segarena.files import read_lines
from segarena.score.table import write_table

HUMANS = "raters"
"""Who a row is about, where each rater is scored against the others."""

ALL = "all"
"""The rater of a row that is a mean over the raters."""

COLUMNS = ("who", "rater", "metric", "cases", "mean", "least", "most")


def main(score_files: list[str], output: str) -> None:
    """Write one row per submission (or the raters themselves), rater and metric.

    score_files: .../_raters/CASE.csv, and .../_raters/SUBMISSION/CASE.csv. A case counts with its
    mean over labels, and for all raters together with the mean over these; least and most are over
    cases. Values that do not count (nan) are left out.
    """
    found: dict[tuple[str, str, str], list[float]] = {}
    for path in map(Path, score_files):
        who = HUMANS if path.parent.name == "_raters" else path.parent.name
        by_label: dict[tuple[str, str], list[float]] = {}
        for line in csv.DictReader(read_lines(path)):
            key = line["rater"], line["metric"]
            by_label.setdefault(key, []).append(float(line["value"]))
        means = {key: _mean(values) for key, values in by_label.items()}
        for (rater, metric), value in means.items():
            found.setdefault((who, rater, metric), []).append(value)
        for metric in dict.fromkeys(metric for _, metric in means):
            value = _mean([value for (_, name), value in means.items() if name == metric])
            found.setdefault((who, ALL, metric), []).append(value)
    rows = []
    for (who, rater, metric), values in sorted(found.items(), key=lambda one: _order(one[0])):
        counted = [value for value in values if not math.isnan(value)]
        row = {"who": who, "rater": rater, "metric": metric, "cases": len(counted)}
        if counted:
            row |= {"mean": _mean(counted), "least": min(counted), "most": max(counted)}
        rows.append(row)
    write_table(output, rows, columns=COLUMNS)


def _order(key: tuple[str, str, str]) -> tuple[bool, str, bool]:
    """Return the key of rows: the raters first, then submissions; all raters before each."""
    who, rater, _ = key
    return who != HUMANS, who, rater != ALL


def _mean(values: list[float]) -> float:
    counted = [value for value in values if not math.isnan(value)]
    return float(np.mean(counted)) if counted else math.nan
