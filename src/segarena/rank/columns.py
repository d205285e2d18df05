"""Which way the columns of a team's table are better, and what is the worst that they can hold.

The catalogue of metrics knows both for a metric; a column is a metric's name with what was made of
its series behind it (`HD95_Final`). Times and numbers of clicks are no metrics and are recognised
by their names.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from segarena.score.metrics import METRICS, column

_SUFFIX = re.compile(r"(_(AUC|Final|\d+|Final_min\d+)|@[\d.]+s)$")
_EFFORT = re.compile(r"Boxes|Clicks|ScribbledVoxels|EffortSeconds(_\d+)?|.+_(Regret|Harmful)")
_TIMES = re.compile(r"TotalRunningTime|RunningTime_\d+|SecondsPerClick")


def base_of(name: str) -> str:
    """Return the metric that a column of a team's table is made of: HD95 for HD95_Final."""
    return _SUFFIX.sub("", name)


def is_numbered(name: str) -> bool:
    """Say whether a column is a metric's value after one interaction, such as DSC_1."""
    return not is_time(name) and re.search(r"_\d+$", name) is not None


def is_time(name: str) -> bool:
    """Say whether a column of a team's table is a time."""
    return _TIMES.fullmatch(name) is not None


def directions(
    columns: Sequence[str], metrics: Sequence[Mapping[str, Any]], *, interactions: int
) -> tuple[set[str], dict[str, float]]:
    """Return the columns where smaller is better, and the worst value of those that have one.

    columns: of a team's table. metrics: the protocol's. NoC@q is at worst the number of
    interactions, NoF@q 1; a share such as DSC 0; a distance or a time has no worst value.
    """
    by_name = {column(metric): METRICS[metric["name"]] for metric in metrics}
    smaller: set[str] = set()
    worst: dict[str, float] = {}
    for name in columns:
        metric = by_name.get(base_of(name))
        if name.startswith(("NoC@", "NoF@")):
            smaller.add(name)
            worst[name] = float(interactions) if name.startswith("NoC@") else 1.0
        elif (
            is_time(name)
            or _EFFORT.fullmatch(name)
            or (metric is not None and not metric.larger_is_better)
        ):
            smaller.add(name)
        elif metric is not None and math.isfinite(metric.range[0]):
            worst[name] = metric.range[0]
    return smaller, worst
