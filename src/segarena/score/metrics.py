"""The metric catalogue: every metric by name, with what it needs and what it means.

A metric is one small function of a `Pair` (one label in truth and answer). What is costly, the
surfaces and their distances, belongs to the pair and is computed once, when the first metric asks.
docs/metrics.md shows this catalogue as a table; a test keeps the two in step.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from segarena.errors import ConfigError
from segarena.score import surface
from segarena.score.pair import Pair, pairs

OUTSIDE_KEYS = {"name", "as", "zero_unless"}
"""Keys of a protocol's metric that are not parameters of the metric itself."""


class Score(NamedTuple):
    """What one metric says about one label."""

    label: int
    metric: str
    value: float


@dataclass(frozen=True)
class Metric:
    """One metric of the catalogue.

    needs: "labels" or "surfaces". parameters: names and defaults; None stands for "must be given".
    on_empty_answer, on_empty_truth, on_both_empty: the value then.
    """

    name: str
    function: Callable[..., float]
    unit: str
    larger_is_better: bool
    range: tuple[float, float]
    needs: str
    on_empty_answer: float
    on_empty_truth: float
    on_both_empty: float
    parameters: Mapping[str, Any] = field(default_factory=dict)


def dsc(pair: Pair, /) -> float:
    """Return the Dice similarity coefficient (Dice 1945)."""
    return 2 * pair.common_voxels / (pair.truth_voxels + pair.answer_voxels)


def nsd(pair: Pair, /, *, tolerance_mm: float, dimensions: int | None) -> float:
    """Return the normalised surface dice (Nikolov et al. 2021)."""
    return surface.nsd(pair, tolerance_mm=tolerance_mm, dimensions=dimensions or pair.dimensions)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("DSC", dsc, "1", True, (0, 1), "labels", 0, 0, np.nan),
        Metric(
            "NSD",
            nsd,
            "1",
            True,
            (0, 1),
            "surfaces",
            0,
            0,
            np.nan,
            {"tolerance_mm": None, "dimensions": 0},
        ),
    )
}


def score(
    truth: np.ndarray,
    answer: np.ndarray,
    spacing_mm: tuple[float, float, float],
    metrics: Iterable[Mapping[str, Any]],
) -> list[Score]:
    """Measure an answer: one score per label of the truth (sorted) and metric (as listed).

    truth, answer: label maps (D, H, W), 0 is background. metrics: a protocol's list.
    Raises ConfigError as `check` does.
    """
    metrics = list(metrics)
    check(metrics)
    return [
        Score(pair.label, column(metric), _value(pair, metric))
        for pair in pairs(truth, answer, spacing_mm)
        for metric in metrics
    ]


def check(metrics: Iterable[Mapping[str, Any]]) -> None:
    """Raise ConfigError where a protocol's list of metrics names what the catalogue lacks."""
    columns: set[str] = set()
    for position, given in enumerate(metrics):
        key = f"metrics.{position}"
        metric = METRICS.get(given.get("name", ""))
        if metric is None:
            known = ", ".join(METRICS)
            raise ConfigError(f"{key}.name: no metric {given.get('name')!r}; known: {known}")
        for name in set(given) - OUTSIDE_KEYS - set(metric.parameters):
            known = ", ".join(metric.parameters) or "none"
            raise ConfigError(
                f"{key}.{name}: {metric.name} has no such parameter; it knows: {known}"
            )
        for name, default in metric.parameters.items():
            if default is None and name not in given:
                raise ConfigError(f"{key}: {metric.name} needs {name}")
        if column(given) in columns:
            raise ConfigError(
                f"{key}: {column(given)} is listed twice; name one of them with `as: OTHER`"
            )
        columns.add(column(given))


def column(metric: Mapping[str, Any]) -> str:
    """Return the name that a protocol's metric has in tables."""
    return str(metric.get("as", metric["name"]))


def _value(pair: Pair, given: Mapping[str, Any]) -> float:
    metric = METRICS[given["name"]]
    if not pair.truth_voxels or not pair.answer_voxels:
        if pair.truth_voxels:
            return metric.on_empty_answer
        return metric.on_empty_truth if pair.answer_voxels else metric.on_both_empty
    parameters = {name: given.get(name, value) for name, value in metric.parameters.items()}
    return float(metric.function(pair, **parameters))
