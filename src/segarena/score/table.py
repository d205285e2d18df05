"""A submission's table: what a series of interactions means, one row a case.

The columns and their order are those of the reference evaluation (CVPR 2025), for any metrics and
any number of interactions: times, then AUC, final and per-interaction means over the labels. The
case's name carries `.npz` there, so it does here.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from segarena.files import whole

Scores = dict[str, dict[int, list[float]]]
Row = dict[str, Any]


def read_scores(path: str | Path) -> Scores:
    """Read results/score/PROTOCOL/SUBMISSION/CASE.csv: metric -> interaction -> value per label."""
    scores: Scores = {}
    with Path(path).open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            series = scores.setdefault(line["metric"], {})
            series.setdefault(int(line["interaction"]), []).append(float(line["value"]))
    return scores


def row(case: str, scores: Scores, seconds: list[float], values: dict[str, Any]) -> Row:
    """Return a case's row: means over labels, AUC, final value, running times in seconds.

    values: the protocol's metrics, series and time. Where the case took longer than the protocol
    allows and `on_overtime` is zero, all its scores are 0, as the challenge's rules say.
    """
    means = {_column(metric): _means(scores, metric) for metric in values["metrics"]}
    labels = len(next(iter(next(iter(scores.values())).values())))
    bound = values["time"]["seconds_per_label"] * labels
    time = values["time"]
    per_case = time.get("per", "case") == "case"  # per call, an answer that is late has failed
    if per_case and time["on_overtime"] == "zero" and sum(seconds) > bound:
        means = {name: np.zeros_like(series) for name, series in means.items()}
    first = values["series"]["auc_from"] - 1
    numbered = range(1, len(seconds) + 1)
    return {
        "CaseName": f"{case}.npz",
        "TotalRunningTime": sum(seconds),
        **{f"RunningTime_{k}": seconds[k - 1] for k in numbered},
        **{f"{name}_AUC": float(np.trapezoid(series[first:])) for name, series in means.items()},
        **{f"{name}_Final": float(series[-1]) for name, series in means.items()},
        **{f"{name}_{k}": float(series[k - 1]) for name, series in means.items() for k in numbered},
        "num_class": labels,
        "runtime_upperbound": bound,
    }


def write_table(path: str | Path, rows: list[Row]) -> None:
    """Write the rows as CSV; numbers with all their digits."""
    with whole(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _column(metric: dict[str, Any]) -> str:
    return metric.get("as", metric["name"])


def _means(scores: Scores, metric: dict[str, Any]) -> np.ndarray:
    series = _mean_series(scores, _column(metric))
    gate = metric.get("zero_unless")
    if gate:
        series = np.where(_mean_series(scores, gate["metric"]) > gate["above"], series, 0.0)
    return series


def _mean_series(scores: Scores, name: str) -> np.ndarray:
    series = scores[name]
    return np.array([np.mean(series[k]) for k in sorted(series)])
