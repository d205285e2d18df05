"""What a submission reaches on each label and each region, over all cases.

The value of a case is the one after the last interaction. The interval is the t interval of the
mean over cases at 95 %: it needs no seed, and says nothing about a label that only one case has.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from segarena.files import read_lines
from segarena.score.metrics import column

LABEL_COLUMNS = ("label", "name", "metric", "cases", "mean", "median", "lower", "upper")
CONFIDENCE = 0.95


def label_rows(
    score_files: Sequence[str | Path], values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return a row per label and metric, labels by id, then regions.

    score_files: results/score/PROTOCOL/SUBMISSION/CASE.csv. values: the protocol's metrics, and
    `labels`, what they are called. Cases that lack a label, or whose value is none (NaN), do not
    count; time limits are not applied. An interval of one case, or with infinite values, is empty.
    """
    named = values.get("labels", {})
    regions = [name for name, about in named.items() if "members" in about]
    measured = [column(metric) for metric in values["metrics"]]
    last: dict[tuple[str, str], list[float]] = {}
    for path in score_files:
        lines = list(csv.DictReader(read_lines(path)))
        final = max(int(line["interaction"]) for line in lines)
        for line in lines:
            if int(line["interaction"]) == final and line["metric"] in measured:
                last.setdefault((line["label"], line["metric"]), []).append(float(line["value"]))
    labels = sorted((label for label, _ in last if label.isdecimal()), key=int)
    labels += [name for name in regions if any(label == name for label, _ in last)]
    return [
        {
            "label": label,
            "name": named.get(label, {}).get("name", ""),
            "metric": name,
            **_summary(last.get((label, name), [])),
        }
        for label in dict.fromkeys(labels)
        for name in measured
    ]


def _summary(found: list[float]) -> dict[str, Any]:
    """Return the number of values, their mean and median, and the interval of the mean."""
    numbers = np.array([value for value in found if not math.isnan(value)])
    summary: dict[str, Any] = dict.fromkeys(LABEL_COLUMNS[4:], "")
    summary["cases"] = len(numbers)
    if len(numbers) == 0:
        return summary
    mean = float(np.mean(numbers))
    summary |= {"mean": mean, "median": float(np.median(numbers))}
    if len(numbers) > 1 and np.isfinite(numbers).all():
        error = float(np.std(numbers, ddof=1)) / math.sqrt(len(numbers))
        half = float(special.stdtrit(len(numbers) - 1, (1 + CONFIDENCE) / 2)) * error
        summary |= {"lower": mean - half, "upper": mean + half}
    return summary
