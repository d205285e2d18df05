"""What the columns of a team's table are called for readers: words, unit, and best value.

The tables keep the reference's names (DSC_AUC), which say neither that an area over five clicks
is at most 4 nor that a time is in seconds.
"""

import math
import re
from dataclasses import dataclass

from segarena.protocol import Protocol, steps
from segarena.rank.columns import base_of, is_time
from segarena.score.metrics import METRICS, column


@dataclass(frozen=True)
class Heading:
    """A column's name for readers.

    text: the name. unit: what its numbers are, such as "0 to 4" or "seconds". digits: behind the
    decimal point. low, high: the range of its values, None where there is no end.
    """

    text: str
    unit: str
    digits: int
    low: float | None = None
    high: float | None = None


def heading(name: str, protocol: Protocol) -> Heading:
    """Return the heading of a column of a team's table."""
    if is_time(name):
        number = re.search(r"_(\d+)$", name)
        words = {"TotalRunningTime": "Time per case", "SecondsPerClick": "Time per interaction"}
        text = words.get(name) or f"Time of interaction {number[1] if number else ''}"
        return Heading(text, "seconds", 1, 0.0)
    last = len(steps(protocol))
    if at := re.fullmatch(r"No([CF])@(.+)", name):
        if at[1] == "C":
            return Heading(f"Interactions to reach {at[2]} %", f"1 to {last}", 2, 1.0, float(last))
        return Heading(f"Never reaches {at[2]} %", "share of labels", 3, 0.0, 1.0)
    known = {column(metric): METRICS[metric["name"]] for metric in protocol["metrics"]}
    metric = known.get(base_of(name))
    low, high = metric.range if metric else (-math.inf, math.inf)
    unit = metric.unit if metric and metric.unit != "1" else ""
    text = base_of(name)
    if name.endswith("_AUC"):
        steps_counted = last - protocol["series"]["auc_from"]
        text, low, high = f"{text} AUC", low * steps_counted, high * steps_counted
    elif name.endswith("_Final"):
        text = f"{text} final"
    elif number := re.search(r"_(\d+)$", name):
        text = f"{text} after {number[1]}"
    elif name != text:
        text = name.replace("_", " ")
    span = f"{low:g} to {high:g}" if math.isfinite(low) and math.isfinite(high) else ""
    digits = 3 if math.isfinite(high) else 2
    return Heading(text, span or unit, digits, _finite(low), _finite(high))


def explained(names: list[str], protocol: Protocol) -> str:
    """Return what the words of some headings mean, in a sentence or two."""
    last, first = len(steps(protocol)), protocol["series"]["auc_from"]
    said = []
    if any(name.endswith("_AUC") for name in names):
        said.append(
            f"AUC: area under a metric over interactions {first} to {last}, at most {last - first} "
            "times the metric's largest value."
        )
    if any(name.endswith("_Final") for name in names):
        said.append(f"Final: after interaction {last}.")
    return " ".join(said)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
