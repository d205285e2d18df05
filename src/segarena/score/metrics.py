"""The metric catalogue: every metric by name, with what it needs and what it means.

A metric is one small function of a `Pair` (one label in truth and answer). What is costly, the
surfaces and their distances, is kept with the pair and made once, when the first metric asks.
docs/metrics.md shows this catalogue as a table; a test keeps the two in step.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from segarena.errors import ConfigError
from segarena.score import overlap, surface, topology
from segarena.score.pair import Pair, Spacing, pairs

OUTSIDE_KEYS = {"name", "as", "zero_unless"}
"""Keys of a protocol's metric that are not parameters of the metric itself."""

NAN, INF = math.nan, math.inf


class Score(NamedTuple):
    """What one metric says about one label."""

    label: int
    metric: str
    value: float


@dataclass(frozen=True)
class Parameter:
    """What a metric's parameter may be.

    default: None where it must be given. choices: the words it may be, or None for a number above
    0. per_label: a mapping from labels to numbers, with a `default`, will do as well.
    """

    default: Any = None
    choices: tuple[Any, ...] | None = None
    per_label: bool = False


POINTS = Parameter("elements", ("elements", "voxels"))
DIMENSIONS = Parameter("auto", ("auto", 2, 3))
SURFACE = {"points": POINTS, "dimensions": DIMENSIONS}


@dataclass(frozen=True)
class Metric:
    """One metric of the catalogue.

    needs: "labels", "surfaces" or "probabilities". empty_answer, empty_truth, both_empty: the value
    then; None where the function knows. range: smallest and largest value.
    """

    name: str
    function: Callable[..., float]
    unit: str
    larger_is_better: bool
    range: tuple[float, float]
    needs: str
    empty_answer: float | None
    empty_truth: float | None
    both_empty: float | None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


def nsd(pair: Pair, /, *, tolerance_mm: float, points: str, dimensions: Any) -> float:
    """Return the normalised surface dice (Nikolov et al. 2021)."""
    kind = surface.kind_for(pair, points, dimensions)
    return surface.nsd(pair, kind, tolerance_mm=tolerance_mm)


def hd(pair: Pair, /, *, points: str, dimensions: Any) -> float:
    """Return the Hausdorff distance: the largest distance in either direction."""
    both = surface.distances(pair, surface.kind_for(pair, points, dimensions))
    return float(max(one.millimetres[-1] for one in both))


def hd95(
    pair: Pair,
    /,
    *,
    percentile: float,
    pooling: str,
    interpolation: str,
    points: str,
    dimensions: Any,
) -> float:
    """Return a percentile of the surface distances instead of the largest."""
    both = surface.distances(pair, surface.kind_for(pair, points, dimensions))
    sets = both if pooling == "larger" else (surface.pooled(both),)
    return max(one.percentile(percentile, interpolation=interpolation) for one in sets)


def assd(pair: Pair, /, *, points: str, dimensions: Any) -> float:
    """Return the average symmetric surface distance: the mean over both surfaces together."""
    return surface.pooled(surface.distances(pair, surface.kind_for(pair, points, dimensions))).mean


def masd(pair: Pair, /, *, points: str, dimensions: Any) -> float:
    """Return the mean average surface distance: the mean of the two directions' means."""
    one, other = surface.distances(pair, surface.kind_for(pair, points, dimensions))
    return (one.mean + other.mean) / 2


_SHARE = ("1", True, (0.0, 1.0))
_DISTANCE = ("mm", False, (0.0, INF), "surfaces", INF, INF, NAN)
_TOLERANCE = {"tolerance_mm": Parameter(per_label=True)}
_PERCENTILE = {
    "percentile": Parameter(95),
    "pooling": Parameter("larger", ("larger", "pooled")),
    "interpolation": Parameter("none", ("none", "linear")),
}

METRICS = {
    metric.name: metric
    for metric in (
        Metric("DSC", overlap.dsc, *_SHARE, "labels", 0, 0, NAN),
        Metric("IoU", overlap.iou, *_SHARE, "labels", 0, 0, NAN),
        Metric("Precision", overlap.precision, *_SHARE, "labels", 0, 0, NAN),
        Metric("Recall", overlap.recall, *_SHARE, "labels", 0, NAN, NAN),
        Metric(
            "RVE", overlap.relative_volume_error, "1", False, (0, INF), "labels", 1, INF, NAN
        ),
        Metric(
            "BoundaryIoU", overlap.boundary_iou, *_SHARE, "labels", 0, 0, NAN,
            {"width_mm": Parameter(per_label=True)},
        ),
        Metric("NSD", nsd, *_SHARE, "surfaces", 0, 0, NAN, _TOLERANCE | SURFACE),
        Metric("HD", hd, *_DISTANCE, SURFACE),
        Metric("HD95", hd95, *_DISTANCE, _PERCENTILE | SURFACE),
        Metric("ASSD", assd, *_DISTANCE, SURFACE),
        Metric("MASD", masd, *_DISTANCE, SURFACE),
        Metric("clDice", topology.cldice, *_SHARE, "labels", 0, 0, NAN),
        Metric("Components", topology.components, "1", False, (0, INF), "labels", None, None, None),
        Metric(
            "Betti0Error", topology.betti0_error, "1", False, (0, INF), "labels", None, None, None
        ),
    )
}  # fmt: skip


def score(
    truth: np.ndarray,
    answer: np.ndarray,
    spacing_mm: Spacing,
    metrics: Iterable[Mapping[str, Any]],
    *,
    labels: Sequence[int] | None = None,
) -> list[Score]:
    """Measure an answer: one score per label and metric, labels first, metrics as listed.

    truth, answer: label maps (D, H, W), 0 is background. metrics: a protocol's list, for example
    [{"name": "NSD", "tolerance_mm": 2}]. labels: those of the truth, sorted, unless given.
    Raises ConfigError as `check` does, CaseError where the maps cannot be compared.
    """
    metrics = list(metrics)
    check(metrics)
    z, y, x = (float(spacing) for spacing in spacing_mm)
    return [
        Score(pair.label, column(metric), _value(pair, metric))
        for pair in pairs(truth, answer, (z, y, x), labels)
        for metric in metrics
    ]


def check(metrics: Iterable[Mapping[str, Any]]) -> None:
    """Raise ConfigError where a protocol's list of metrics does not fit the catalogue."""
    columns: set[str] = set()
    for position, given in enumerate(metrics):
        key = f"metrics.{position}"
        metric = METRICS.get(given.get("name", ""))
        if metric is None:
            known = ", ".join(METRICS)
            raise ConfigError(f"{key}.name: no metric {given.get('name')!r}; known: {known}")
        _check_parameters(key, metric, given)
        if column(given) in columns:
            raise ConfigError(
                f"{key}: {column(given)} is listed twice; name one of them with `as: OTHER`"
            )
        columns.add(column(given))


def column(metric: Mapping[str, Any]) -> str:
    """Return the name that a protocol's metric has in tables."""
    return str(metric.get("as", metric["name"]))


def _check_parameters(key: str, metric: Metric, given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in OUTSIDE_KEYS and name not in metric.parameters:
            known = ", ".join(metric.parameters) or "none"
            raise ConfigError(f"{key}.{name}: {metric.name} has no such parameter; known: {known}")
    for name, parameter in metric.parameters.items():
        value = given.get(name, parameter.default)
        if value is None:
            raise ConfigError(f"{key}: {metric.name} needs {name}")
        _check_value(f"{key}.{name}", parameter, value)
    if given.get("interpolation") == "linear" and given.get("points") != "voxels":
        raise ConfigError(f"{key}.interpolation: linear knows no areas; it needs `points: voxels`")


def _check_value(key: str, parameter: Parameter, value: Any) -> None:
    if parameter.choices is not None:
        if value not in parameter.choices:
            known = ", ".join(str(choice) for choice in parameter.choices)
            raise ConfigError(f"{key}: is {value!r}; one of {known} is expected")
    elif parameter.per_label and isinstance(value, Mapping):
        if "default" not in value:
            raise ConfigError(f"{key}: needs a `default` for the labels that are not listed")
        for label, number in value.items():
            _check_value(f"{key}.{label}", Parameter(), number)
    elif isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ConfigError(f"{key}: is {value!r}; a number above 0 is expected")


def _value(pair: Pair, given: Mapping[str, Any]) -> float:
    metric = METRICS[given["name"]]
    empty = _empty_value(metric, pair)
    if empty is not None:
        return empty
    parameters = {
        name: _for_label(given.get(name, parameter.default), pair.label)
        for name, parameter in metric.parameters.items()
    }
    return float(metric.function(pair, **parameters))


def _empty_value(metric: Metric, pair: Pair) -> float | None:
    if pair.truth_voxels and pair.answer_voxels:
        return None
    if pair.truth_voxels:
        return metric.empty_answer
    return metric.empty_truth if pair.answer_voxels else metric.both_empty


def _for_label(value: Any, label: int) -> Any:
    """Return a parameter's value for a label; keys may be text, as they are in JSON."""
    if not isinstance(value, Mapping):
        return value
    return value.get(label, value.get(str(label), value["default"]))
