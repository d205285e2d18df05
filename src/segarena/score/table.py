"""A submission's table: what a series of interactions means, one row a case.

The columns and their order are those of the reference evaluation (CVPR 2025), for any metrics and
any number of interactions: times, then AUC, final and per-interaction means over the labels. The
case's name carries `.npz` there, so it does here. After them comes what a protocol's `series.noc`
asks for.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segarena.errors import CaseError, EngineError
from segarena.files import atomic_write, read_lines
from segarena.protocol import has_empty_rule
from segarena.score.curves import auc, harmful, regret
from segarena.score.metrics import METRICS, column
from segarena.score.noc import AREAS, failed, large_enough, noc
from segarena.score.prompted import COUNTS, seconds_of

Scores = dict[str, dict[int, list[float]]]
Row = dict[str, Any]

INVENTED = "invented_voxels"
"""Rows of a case's scores that are no metric: the voxels of labels that the truth does not have."""

_WORST = {True: 0.0, False: float("inf"), None: float("nan")}
"""The value of answers that do not count, by `larger_is_better`."""


def read_scores(path: str | Path, *, over: str = "labels") -> Scores:
    """Read results/score/PROTOCOL/SUBMISSION/CASE.csv: metric -> interaction -> value per label.

    over: "regions" gives the values of regions instead; CaseError where the case has none. Labels
    that an answer invented are left out. Raises EngineError where lines are missing: half a table
    must not become a score.
    """
    scores: Scores = {}
    for line in csv.DictReader(read_lines(path)):
        if line["metric"] == INVENTED or line["label"].isdecimal() != (over == "labels"):
            continue
        series = scores.setdefault(line["metric"], {})
        series.setdefault(int(line["interaction"]), []).append(float(line["value"]))
    if not scores and over == "regions":
        raise CaseError(f"{path}: no region is in this case, and the protocol says over: regions")
    if len({tuple((k, len(v)) for k, v in series.items()) for series in scores.values()}) != 1:
        raise EngineError(f"{path}: lines are missing; delete it and run again")
    return scores


def read_label_scores(path: str | Path) -> dict[str, Scores]:
    """Return the same of each label and region: its id or key -> metric -> interaction -> values.

    There is one value per interaction.
    """
    found: dict[str, Scores] = {}
    for line in csv.DictReader(read_lines(path)):
        if line["metric"] != INVENTED:
            series = found.setdefault(line["label"], {}).setdefault(line["metric"], {})
            series.setdefault(int(line["interaction"]), []).append(float(line["value"]))
    return found


def row(
    case: str,
    scores: Scores,
    seconds: list[float],
    values: dict[str, Any],
    *,
    asked: Sequence[bool] | None = None,
    unanswered: Sequence[bool] = (),
    labels: int | None = None,
    given: Scores | None = None,
) -> Row:
    """Return a case's row: means over labels, AUC, final value, running times in seconds.

    values: the protocol's metrics, series and time. asked: whether each interaction was asked for;
    all were, unless given. unanswered: see `unanswered`; in a case without foreground such an
    interaction has the worst scores, since the empty answer is the right one, but nobody gave it.
    labels: how many the case has, where `scores` are those of regions; given: the scores of its
    labels then.
    Where the case took longer than the protocol allows and `on_overtime` is zero, all its scores
    are 0, as the challenge's rules say; or infinite, where less is better.
    """
    if len(seconds) != len(next(iter(scores.values()))):
        raise EngineError(f"{case}: interactions are missing in its scores; delete them, run again")
    given = given or scores
    if any(unanswered) and not any(map(any, scores.get(AREAS[0], {0: [1]}).values())):
        failed_at = [k for k, is_failed in enumerate(unanswered, start=1) if is_failed]
        scores = {
            name: series | _worst({k: series[k] for k in failed_at}, name, values["metrics"])
            for name, series in scores.items()
        }
    means = {column(metric): _means(scores, metric) for metric in values["metrics"]}
    labels = labels or len(next(iter(next(iter(scores.values())).values())))
    bound = values["time"]["seconds_per_label"] * labels
    time = values["time"]
    per_case = time.get("per", "call") == "case"  # per call, an answer that is late has failed
    if per_case and time["on_overtime"] == "zero" and sum(seconds) > bound:
        scores = {name: _worst(series, name, values["metrics"]) for name, series in scores.items()}
        means = {column(metric): _means(scores, metric) for metric in values["metrics"]}
    first = values["series"]["auc_from"]
    numbered = range(1, len(seconds) + 1)
    return {
        "CaseName": f"{case}.npz",
        "TotalRunningTime": sum(seconds),
        **{f"RunningTime_{k}": seconds[k - 1] for k in numbered},
        **{
            f"{name}_AUC": float(auc(series.tolist(), auc_from=first))
            for name, series in means.items()
        },
        **{f"{name}_Final": float(series[-1]) for name, series in means.items()},
        **{f"{name}_{k}": float(series[k - 1]) for name, series in means.items() for k in numbered},
        "num_class": labels,
        "runtime_upperbound": bound,
        **_noc_columns(scores, seconds, values, asked or [True] * len(seconds)),
        **_empty_columns(scores, values["metrics"]),
        **_regret_columns(means, values),
        **_effort_columns(means, given, values),
    }


def unanswered(statuses: Sequence[str], on_failure: str) -> list[bool]:
    """Return of each interaction whether it was asked for and there is no answer to score.

    statuses: of each call. on_failure: the protocol's; with "previous" an answer stays in force.
    """
    found: list[bool] = []
    is_failed = False
    for status in statuses:
        if status == "ok":
            is_failed = False
        elif status != "not_asked":
            is_failed = is_failed or on_failure == "zeros" or "ok" not in statuses[: len(found)]
        found.append(is_failed)
    return found


def write_table(path: str | Path, rows: list[Row], *, columns: Sequence[str] = ()) -> None:
    """Write the rows as CSV; numbers with all their digits. columns: those of the first row, unless
    given."""
    with atomic_write(path) as tmp, tmp.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns or list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _noc_columns(
    scores: Scores, seconds: list[float], values: dict[str, Any], asked: Sequence[bool]
) -> Row:
    """Return NoC@q, NoF@q and seconds per click, and the means over labels that are large enough.

    NoC@q is the mean over labels, NoF@q the share of labels that never reach q.
    """
    wanted = values["series"].get("noc")
    if wanted is None:
        return {}
    ious = [column(metric) for metric in values["metrics"] if metric["name"] == "IoU"]
    name = wanted.get("metric") or ious[0]
    every = zip(*(scores[name][k] for k in sorted(scores[name])), strict=True)
    # A label without any IoU is one that does not count: neither truth nor answer has it.
    series = [one for one in every if not all(map(math.isnan, one))]
    clicks = len(seconds)
    asked_seconds = [second for second, was in zip(seconds, asked, strict=True) if was]
    columns: Row = {
        f"NoC@{100 * q:g}": _mean([noc(s, q, max_clicks=clicks) for s in series])
        for q in wanted["at"]
    }
    columns |= {
        f"NoF@{100 * q:g}": _mean([failed(s, q, max_clicks=clicks) for s in series])
        for q in wanted["at"]
    }
    columns["SecondsPerClick"] = float(np.mean(asked_seconds)) if asked_seconds else 0.0
    if "min_area_px" in wanted:
        columns |= _large_columns(scores, values, wanted["min_area_px"])
    return columns


def _empty_columns(scores: Scores, metrics: Sequence[dict[str, Any]]) -> Row:
    """Return how many values of a metric are of labels without voxels, where a rule gives them."""
    ruled = [column(metric) for metric in metrics if has_empty_rule(metric)]
    if not ruled:
        return {}
    truth, answer = (scores[name] for name in AREAS)
    number = sum(not (t and a) for k in truth for t, a in zip(truth[k], answer[k], strict=True))
    return {f"{name}_Empty": number for name in ruled}


def _regret_columns(means: dict[str, np.ndarray], values: dict[str, Any]) -> Row:
    """Return how far each of `series.regret` fell below its best, and how often it got worse."""
    known = _directions(values["metrics"])
    columns: Row = {}
    for name in values["series"].get("regret", ()):
        for what, function in (("Regret", regret), ("Harmful", harmful)):
            larger = known[name] is not False
            columns[f"{name}_{what}"] = function(means[name].tolist(), larger_is_better=larger)
    return columns


def _effort_columns(means: dict[str, np.ndarray], given: Scores, values: dict[str, Any]) -> Row:
    """Return what the user gave, how long it takes by `series.effort`, and scores by that time.

    A score at so many seconds is that of the last interaction that a person has finished by then;
    the worst value before the first one.
    """
    model = values["series"].get("effort")
    if model is None:
        return {}
    numbered = sorted(given[COUNTS[0]])
    totals = [{name: sum(given[name][k]) for name in COUNTS} for k in numbered]
    spent = [seconds_of(total, model) for total in totals]
    boxes, clicks, voxels = (totals[-1][name] for name in COUNTS)
    columns: Row = {"Boxes": boxes, "Clicks": clicks, "ScribbledVoxels": voxels}
    columns |= {"EffortSeconds": spent[-1]}
    columns |= {f"EffortSeconds_{k}": spent[k - 1] for k in numbered}
    known = _directions(values["metrics"])
    for most in model.get("at", ()):
        done = sum(seconds <= most for seconds in spent)
        columns |= {
            f"{name}@{most:g}s": float(series[done - 1]) if done else _WORST[known[name]]
            for name, series in means.items()
        }
    return columns


def _directions(metrics: Sequence[dict[str, Any]]) -> dict[str, bool | None]:
    return {column(metric): METRICS[metric["name"]].larger_is_better for metric in metrics}


def _large_columns(scores: Scores, values: dict[str, Any], min_area: int) -> Row:
    """Return each metric's last mean over the labels that a fork's filter keeps, and their number.

    Empty where it keeps none.
    """
    truth, answer = (scores[name][max(scores[name])] for name in AREAS)
    large = [
        large_enough(int(t), int(a), min_area=min_area) for t, a in zip(truth, answer, strict=True)
    ]
    columns: Row = {f"Kept_min{min_area}": sum(large)}
    for metric in values["metrics"]:
        last = scores[column(metric)][max(scores[column(metric)])]
        chosen = [value for value, is_large in zip(last, large, strict=True) if is_large]
        columns[f"{column(metric)}_Final_min{min_area}"] = np.mean(chosen) if chosen else ""
    return columns


def _worst(
    series: dict[int, list[float]], name: str, metrics: list[dict[str, Any]]
) -> dict[int, list[float]]:
    """Return a metric's series as of answers that do not count; what has no value has none."""
    value = _WORST[_directions(metrics).get(name, True)]
    return {
        k: [math.nan if math.isnan(label) else value for label in labels]
        for k, labels in series.items()
    }


def _means(scores: Scores, metric: dict[str, Any]) -> np.ndarray:
    series = _mean_series(scores, column(metric))
    gate = metric.get("zero_unless")
    if gate:
        worst = _WORST[METRICS[metric["name"]].larger_is_better]
        is_below = _mean_series(scores, gate["metric"]) <= gate["above"]
        series = np.where(is_below & ~np.isnan(series), worst, series)
    return series


def _mean_series(scores: Scores, name: str) -> np.ndarray:
    series = scores[name]
    return np.array([_mean(series[k]) for k in sorted(series)])


def _mean(values: Sequence[float]) -> float:
    """Return the mean over the labels that have a value; nan where none has."""
    counted = [value for value in values if not math.isnan(value)]
    return float(np.mean(counted)) if counted else math.nan
