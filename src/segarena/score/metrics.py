"""The metric catalogue: every metric by name, with what it needs and what it means.

A metric is one small function of a `Pair` (one label in truth and answer). What is costly, the
surfaces and their distances, is kept with the pair and made once, when the first metric asks.
docs/metrics.md shows this catalogue as a table; a test keeps the two in step.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from segarena.errors import CaseError, ConfigError
from segarena.protocol import needs_probs, needs_prompts
from segarena.protocol import regions as regions_of
from segarena.score import (
    lesions,
    overlap,
    probabilities,
    prompted,
    raters,
    surface,
    topology,
)
from segarena.score.pair import Pair, Spacing, pairs
from segarena.score.prompted import Interaction

OUTSIDE_KEYS = {"name", "as", "zero_unless", "empty", "worst_mm"}
"""Keys of a protocol's metric that are not parameters of the metric itself."""

NAN, INF = math.nan, math.inf

WIDTHS = ("width_mm", "width_voxels", "width_ratio")
"""The parameters of which BoundaryIoU needs one."""


class Score(NamedTuple):
    """What one metric says about one label."""

    label: int | str
    metric: str
    value: float


@dataclass(frozen=True)
class Parameter:
    """What a metric's parameter may be.

    default: None where it must be given. choices: what it may be, or None for a number from above 0
    to `at_most`, or 0 with `or_zero`. per_label: a mapping from labels to numbers, with a
    `default`, will do as well. one_of: parameters of which exactly one must be given, this one
    among them.
    """

    default: Any = None
    choices: tuple[Any, ...] | None = None
    at_most: float = INF
    or_zero: bool = False
    per_label: bool = False
    one_of: tuple[str, ...] = ()


POINTS = Parameter("elements", ("elements", "voxels"))
DIMENSIONS = Parameter("auto", ("auto", 2, 3))
SURFACE = {"points": POINTS, "dimensions": DIMENSIONS}


@dataclass(frozen=True)
class Metric:
    """One metric of the catalogue.

    needs: "labels", "surfaces", "prompts", "raters" or "probs". empty_answer, empty_truth,
    both_empty: the value then; None where the function knows. A function returns None where nothing
    is left to measure, which counts as both empty. range: smallest and largest value.
    larger_is_better: None where a value is the better the nearer it is to 0, which no ranking
    knows.
    """

    name: str
    function: Callable[..., float | None]
    unit: str
    larger_is_better: bool | None
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
_COUNT = ("1", False, (0.0, INF), "labels", None, None, None)
_TOLERANCE = {"tolerance_mm": Parameter(per_label=True)}
_PERCENTILE = {
    "percentile": Parameter(95, at_most=100),
    "pooling": Parameter("larger", ("larger", "pooled")),
    "interpolation": Parameter("none", ("none", "linear")),
}
_RIM = {
    "width_mm": Parameter(per_label=True, one_of=WIDTHS),
    "width_voxels": Parameter(per_label=True, one_of=WIDTHS),
    "width_ratio": Parameter(at_most=1, one_of=WIDTHS),
    "distance": Parameter("euclidean", ("euclidean", "chessboard")),
}
_THINNING = {"thinning": Parameter("doubled", ("doubled", "skimage"))}
_CONNECTIVITY = {"connectivity": Parameter(26, (26, 18, 6))}
_INSTANCES = {"instances": Parameter("components", ("components", "labels"))} | _CONNECTIVITY
_LESIONS = {
    "dilation": Parameter(0, at_most=32, or_zero=True),
    "smallest_mm3": Parameter(0, or_zero=True),
}
_MATCHING = (
    _INSTANCES
    | {
        "match": Parameter("iou", ("iou", "overlap")),
        "at_least": Parameter(0.5, at_most=1),
        "strict": Parameter(False, (False, True)),
        "assign": Parameter("one_to_one", ("one_to_one", "many_to_one", "any")),
    }
    | _LESIONS
)
_PLACE = {
    "region": Parameter("box", ("box", "image", "rim")),
    "width_mm": Parameter(5),
}
_KIND = {"kind": Parameter("one_label", ("one_label", "all_labels"))}
_QUALITY = {"quality": Parameter("iou", ("iou", "dsc"))}
_WORST_LESION = {"worst_mm": Parameter()}

METRICS = {
    metric.name: metric
    for metric in (
        Metric("DSC", overlap.dsc, *_SHARE, "labels", 0, 0, NAN),
        Metric("IoU", overlap.iou, *_SHARE, "labels", 0, 0, NAN),
        Metric("Precision", overlap.precision, *_SHARE, "labels", 0, 0, NAN),
        Metric("Recall", overlap.recall, *_SHARE, "labels", 0, NAN, NAN),
        Metric("FBeta", overlap.fbeta, *_SHARE, "labels", 0, 0, NAN, {"beta": Parameter(2)}),
        Metric(
            "RVE", overlap.relative_volume_error, "1", False, (0, INF), "labels", 1, INF, NAN
        ),
        Metric("RVD", overlap.volume_difference, "1", None, (-1, INF), "labels", -1, NAN, NAN),
        Metric(
            "VD_ml", overlap.volume_difference_ml, "ml", None, (-INF, INF), "labels",
            None, None, None,
        ),
        Metric(
            "CentreDistance", overlap.centre_distance, "mm", False, (0, INF), "labels",
            INF, INF, NAN,
        ),
        Metric("BoundaryIoU", overlap.boundary_iou, *_SHARE, "labels", 0, 0, NAN, _RIM),
        Metric("NSD", nsd, *_SHARE, "surfaces", 0, 0, NAN, _TOLERANCE | SURFACE),
        Metric("HD", hd, *_DISTANCE, SURFACE),
        Metric("HD95", hd95, *_DISTANCE, _PERCENTILE | SURFACE),
        Metric("ASSD", assd, *_DISTANCE, SURFACE),
        Metric("MASD", masd, *_DISTANCE, SURFACE),
        Metric("clDice", topology.cldice, *_SHARE, "labels", 0, 0, NAN, _THINNING),
        Metric("Components", topology.components, *_COUNT),
        Metric("Betti0Error", topology.betti0_error, *_COUNT),
        Metric("Betti1Error", topology.betti1_error, *_COUNT),
        Metric("Betti2Error", topology.betti2_error, *_COUNT),
        Metric("EulerError", topology.euler_error, *_COUNT),
        Metric("F1", lesions.f1, *_SHARE, "labels", 0, 0, NAN, _MATCHING),
        Metric("LesionPrecision", lesions.precision, *_SHARE, "labels", 0, 0, NAN, _MATCHING),
        Metric("LesionRecall", lesions.recall, *_SHARE, "labels", 0, NAN, NAN, _MATCHING),
        Metric("PQ", lesions.panoptic, *_SHARE, "labels", 0, 0, NAN, _MATCHING | _QUALITY),
        Metric("SQ", lesions.quality, *_SHARE, "labels", 0, 0, NAN, _MATCHING | _QUALITY),
        Metric("RQ", lesions.f1, *_SHARE, "labels", 0, 0, NAN, _MATCHING),
        Metric("DSC_TP", lesions.dsc_tp, *_SHARE, "labels", 0, 0, NAN, _MATCHING),
        Metric(
            "NSD_TP", lesions.nsd_tp, *_SHARE, "surfaces", 0, 0, NAN,
            _TOLERANCE | SURFACE | _MATCHING,
        ),
        Metric("MASD_TP", lesions.masd_tp, *_DISTANCE, SURFACE | _MATCHING),
        Metric("LesionFP", lesions.false_positives, *_COUNT, _MATCHING),
        Metric("LesionFN", lesions.false_negatives, *_COUNT, _MATCHING),
        Metric(
            "FPVolume", lesions.false_positive_volume, "ml", False, (0, INF), "labels",
            None, None, None, _INSTANCES,
        ),
        Metric(
            "FNVolume", lesions.false_negative_volume, "ml", False, (0, INF), "labels",
            None, None, None, _INSTANCES,
        ),
        Metric(
            "LesionDSC", lesions.lesion_dsc, *_SHARE, "labels", None, 0, NAN,
            _CONNECTIVITY | _LESIONS,
        ),
        Metric(
            "LesionHD95", lesions.lesion_hd95, "mm", False, (0, INF), "surfaces", None, None, NAN,
            _CONNECTIVITY | _LESIONS | _WORST_LESION,
        ),
        Metric("CCDSC", lesions.component_dsc, *_SHARE, "labels", 0, 0, NAN, _CONNECTIVITY),
        Metric(
            "CCNSD", lesions.component_nsd, *_SHARE, "surfaces", 0, 0, NAN,
            _TOLERANCE | SURFACE | _CONNECTIVITY,
        ),
        Metric("Adherence", prompted.adherence, *_SHARE, "prompts", None, None, None),
        Metric(
            "Collateral", prompted.collateral, "1", False, (0, 1), "prompts", None, None, None
        ),
        Metric("ConsensusDSC", raters.consensus_dsc, *_SHARE, "raters", None, None, None),
        Metric(
            "CRPS", raters.crps, "ml", False, (0, INF), "raters", None, None, None,
            {
                "against": Parameter("empirical", ("empirical", "normal", "curvas")),
                "volume": Parameter("labels", ("labels", "probs")),
            },
        ),
        Metric(
            "Brier", probabilities.brier, "1", False, (0, 2), "probs", None, None, None,
            _PLACE | _KIND,
        ),
        Metric(
            "ECE", probabilities.ece, "1", False, (0, 1), "probs", None, None, None,
            _PLACE
            | {
                "kind": Parameter("one_label", ("one_label", "top_label")),
                "bins": Parameter(10, at_most=255),
                "zeros": Parameter("counted", ("counted", "left_out")),
            },
        ),
        Metric(
            "NLL", probabilities.nll, "1", False, (0, INF), "probs", None, None, None,
            _PLACE | _KIND | {"clip": Parameter(1e-10, at_most=0.5)},
        ),
        Metric("AUROC", probabilities.auroc, *_SHARE, "probs", None, None, None, _PLACE),
        Metric("RPS", probabilities.rps, "1", False, (0, 1), "probs", None, None, None, _PLACE),
    )
}  # fmt: skip


EMPTY_SIDES = ("both", "truth", "answer")
"""What `empty:` gives values for: where a label has no voxel, on both sides or on one."""

DIAGONAL = "image_diagonal"
"""In place of a distance in mm: the length of the map's diagonal."""

_OVERLAPS = ("DSC", "IoU", "Precision", "Recall", "FBeta", "BoundaryIoU", "NSD", "clDice")
_DISTANCES = ("HD", "HD95", "ASSD", "MASD", "CentreDistance")
_ONE_OR_NONE = (1.0, 0.0, 0.0)

EMPTY_SETS: dict[str, dict[str, tuple[Any, Any, Any]]] = {
    "metrics_reloaded": {
        **dict.fromkeys(_OVERLAPS, _ONE_OR_NONE),
        **dict.fromkeys(_DISTANCES, (0.0, DIAGONAL, DIAGONAL)),
    },
    "brats2023": {
        "DSC": _ONE_OR_NONE,
        "LesionDSC": (1.0, 0.0, None),
        "LesionHD95": (0.0, None, None),
        **dict.fromkeys(("HD", "HD95"), (0.0, 374.0, 374.0)),
    },
    "flare": dict.fromkeys(("DSC", "NSD"), _ONE_OR_NONE),
    "toothfairy3": {"DSC": _ONE_OR_NONE},
    "topcow": {"DSC": (NAN, 0.0, 0.0), "HD95": (NAN, 90.0, 90.0)},
    "autopet": {"DSC": (NAN, NAN, 0.0), "FNVolume": (NAN, NAN, None)},
}
"""Named rules for labels without voxels: set -> metric -> values in the order of EMPTY_SIDES.

None: the metric is computed as usual.
"""


def score(
    truth: np.ndarray,
    answer: np.ndarray,
    spacing_mm: Spacing,
    metrics: Iterable[Mapping[str, Any]],
    *,
    labels: Sequence[int] | None = None,
    ids: Mapping[int, int | str] | None = None,
    regions: Collection[str] = (),
    interaction: Interaction | None = None,
    rated: Mapping[int, raters.Rated] | None = None,
    probs: probabilities.Tables | None = None,
    of_run: bool = False,
) -> list[Score]:
    """Measure an answer: one score per label and metric, labels first, metrics as listed.

    truth, answer: label maps (D, H, W), 0 is background. spacing_mm: (z, y, x), three numbers above
    0. metrics: a protocol's list, for example [{"name": "NSD", "tolerance_mm": 2}]. labels: those
    of the truth, sorted, unless given. ids: what scores and parameters per label call a label of
    the maps; without it they are the same. regions: see `check`. interaction: what metrics of
    prompts need. rated, probs: what those of raters and of probabilities need. of_run: where the
    two are missing such metrics have no value (nan); else they are rejected. Raises ConfigError as
    `check` does, CaseError where the maps cannot be compared or the spacing is not one.
    """
    metrics = list(metrics)
    check(metrics, regions=regions)
    more = {"prompts": interaction, "raters": rated, "probs": probs}
    for metric in metrics if not of_run else ():
        needs = METRICS[metric["name"]].needs
        if needs in more and more[needs] is None:
            raise ConfigError(
                f"{column(metric)}: needs the {needs} of a run; list it in the protocol of a run"
            )
    return [
        Score(
            label_id,
            column(metric),
            _value(pair, metric, label_id, interaction, rated or {}, probs),
        )
        for pair in pairs(truth, answer, spacing_of(spacing_mm), labels)
        for label_id in [(ids or {}).get(pair.label, pair.label)]
        for metric in metrics
    ]


def spacing_of(spacing_mm: Any) -> Spacing:
    """Return a spacing (z, y, x) as floats; raises CaseError unless it is three numbers above 0."""
    try:
        z, y, x = (float(spacing) for spacing in spacing_mm)
    except (TypeError, ValueError):
        z = y = x = NAN
    if not (0 < z < INF and 0 < y < INF and 0 < x < INF):
        raise CaseError(
            f"spacing_mm is {spacing_mm!r}; three numbers above 0 are expected, in mm and in the "
            "order (z, y, x)"
        )
    return z, y, x


def check(metrics: Iterable[Mapping[str, Any]], *, regions: Collection[str] = ()) -> None:
    """Raise ConfigError where a protocol's list of metrics does not fit the catalogue.

    regions: what may have a value of its own beside labels.
    """
    columns: set[str] = set()
    for position, given in enumerate(metrics):
        key = f"metrics.{position}"
        if not isinstance(given, Mapping):
            raise ConfigError(f"{key}: is {given!r}; write {{name: {given}}}")
        metric = METRICS.get(str(given.get("name", "")))
        if metric is None:
            known = ", ".join(METRICS)
            raise ConfigError(f"{key}.name: no metric {given.get('name')!r}; known: {known}")
        _check_parameters(key, metric, given, regions)
        _check_empty(key, metric, given)
        if column(given) in columns:
            raise ConfigError(
                f"{key}: {column(given)} is listed twice; name one of them with `as: OTHER`"
            )
        columns.add(column(given))


def check_protocol(protocol: Mapping[str, Any]) -> None:
    """Raise ConfigError as `check`, and where a protocol uses a metric for what it cannot do."""
    check(protocol["metrics"], regions=regions_of(dict(protocol)))
    listed = {column(metric): METRICS[metric["name"]] for metric in protocol["metrics"]}
    for position, metric in enumerate(protocol["metrics"]):
        if "zero_unless" in metric:
            _check_gate(f"metrics.{position}.zero_unless", metric, listed)
        if metric.get("instances") == "labels" and regions_of(dict(protocol)):
            raise ConfigError(
                f"metrics.{position}.instances: is labels, but the protocol has regions, whose "
                "voxels have no ids; write components, or remove the regions"
            )
        if (needs_prompts(metric) or needs_probs(metric)) and regions_of(dict(protocol)):
            needs = "prompts" if needs_prompts(metric) else "probabilities"
            raise ConfigError(
                f"metrics.{position}.name: {metric['name']} needs {needs}, which are for labels, "
                "not for regions; remove it, or the regions"
            )
    for name in protocol["series"].get("regret", ()):
        if name not in listed:
            raise ConfigError(f"series.regret: is {name!r}; one of {', '.join(listed)} is expected")


def _check_gate(key: str, metric: Mapping[str, Any], listed: Mapping[str, Metric]) -> None:
    """Raise ConfigError where `zero_unless` names no metric, or a value that cannot be meant."""
    if METRICS[metric["name"]].larger_is_better is None:
        raise ConfigError(f"{key}: {metric['name']} is best near 0, so 0 is no penalty; remove it")
    gate = listed.get(metric["zero_unless"]["metric"])
    if gate is None:
        raise ConfigError(
            f"{key}.metric: is {metric['zero_unless']['metric']!r}; one of {', '.join(listed)} "
            "is expected"
        )
    if not gate.larger_is_better:
        raise ConfigError(
            f"{key}.metric: {gate.name} is not better where it is larger, so `above` would reward "
            "bad answers; take a metric such as DSC"
        )
    low, high = gate.range
    if not low <= metric["zero_unless"]["above"] < high:
        raise ConfigError(
            f"{key}.above: is {metric['zero_unless']['above']}, but {gate.name} goes from {low:g} "
            f"to {high:g}; write a value below {high:g}, such as 0.2"
        )


def column(metric: Mapping[str, Any]) -> str:
    """Return the name that a protocol's metric has in tables."""
    return str(metric.get("as", metric["name"]))


def _check_parameters(
    key: str, metric: Metric, given: Mapping[str, Any], regions: Collection[str]
) -> None:
    for name in given:
        if name not in OUTSIDE_KEYS and name not in metric.parameters:
            known = ", ".join(metric.parameters) or "none"
            raise ConfigError(f"{key}.{name}: {metric.name} has no such parameter; known: {known}")
    for name, parameter in metric.parameters.items():
        if parameter.one_of and sum(other in given for other in parameter.one_of) != 1:
            raise ConfigError(f"{key}: {metric.name} needs one of {', '.join(parameter.one_of)}")
        value = given.get(name, parameter.default)
        if parameter.one_of and name not in given:
            continue
        if value is None:
            raise ConfigError(f"{key}: {metric.name} needs {name}")
        _check_value(f"{key}.{name}", parameter, value, regions)
    if given.get("interpolation") == "linear" and given.get("points") != "voxels":
        raise ConfigError(f"{key}.interpolation: linear knows no areas; it needs `points: voxels`")
    if 0 < given.get("percentile", 1) < 1:
        raise ConfigError(
            f"{key}.percentile: is {given['percentile']}; a percentage is expected, such as 95"
        )
    if given.get("distance") == "chessboard":
        _check_chessboard(key, given)
    _check_instances(key, given)


def _check_instances(key: str, given: Mapping[str, Any]) -> None:
    """Raise ConfigError where a parameter of instances has no effect beside another."""
    for name in ("dilation", "bins"):
        if given.get(name, 0) != int(given.get(name, 0)):
            raise ConfigError(f"{key}.{name}: is {given[name]}; a whole number is expected")
    if "width_mm" in given and given.get("region", "rim") != "rim":
        raise ConfigError(f"{key}.width_mm: has no effect with `region: {given['region']}`")
    unused = {"instances": ("labels", ("connectivity", "dilation"))}
    unused |= {"match": ("overlap", ("at_least", "strict"))}
    for name, (value, others) in unused.items():
        for other in others if given.get(name) == value else ():
            if other in given:
                raise ConfigError(f"{key}.{other}: has no effect with `{name}: {value}`; remove it")


def _check_chessboard(key: str, given: Mapping[str, Any]) -> None:
    if "width_mm" in given:
        raise ConfigError(f"{key}.distance: chessboard counts voxels; give width_voxels")
    widths = given.get("width_voxels", 1)
    for width in widths.values() if isinstance(widths, Mapping) else (widths,):
        if width != int(width):
            raise ConfigError(f"{key}.width_voxels: is {width}; chessboard needs a whole number")


def _check_value(key: str, parameter: Parameter, value: Any, regions: Collection[str] = ()) -> None:
    if parameter.choices is not None:
        if value not in parameter.choices:
            known = ", ".join(str(choice) for choice in parameter.choices)
            raise ConfigError(f"{key}: is {value!r}; one of {known} is expected")
    elif parameter.per_label and isinstance(value, Mapping):
        if "default" not in value:
            raise ConfigError(f"{key}: needs a `default` for the labels that are not listed")
        for label, number in value.items():
            if label != "default" and label not in regions and not _is_label(label):
                raise ConfigError(f"{key}: {label!r} is no label; write a number from 1 on")
            _check_value(f"{key}.{label}", Parameter(), number)
    elif not _is_number(value) or not (0 < value < INF or (parameter.or_zero and value == 0)):
        above = "from" if parameter.or_zero else "above"
        raise ConfigError(f"{key}: is {value!r}; a number {above} 0 is expected")
    elif value > parameter.at_most:
        raise ConfigError(f"{key}: is {value!r}; at most {parameter.at_most} is expected")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_label(key: Any) -> bool:
    """Return whether a key is a label: a whole number above 0, or its text, as JSON has it."""
    if isinstance(key, str):
        return key.isascii() and key.isdecimal() and key[0] != "0"
    return _is_number(key) and 0 < key < INF and key == int(key)


def _check_empty(key: str, metric: Metric, given: Mapping[str, Any]) -> None:
    """Raise ConfigError where `empty` or `worst_mm` is none that the metric can have."""
    empty, is_distance = given.get("empty", {}), metric.unit == "mm"
    if "empty" in given and metric.needs in {"raters", "probs"}:
        raise ConfigError(f"{key}.empty: has no effect on {metric.name}; remove it")
    if isinstance(empty, str):
        known = [name for name, metrics in EMPTY_SETS.items() if metric.name in metrics]
        if empty not in known:
            sets = f"one of {', '.join(known)} or " if known else ""
            raise ConfigError(
                f"{key}.empty: {empty!r} has no rule for {metric.name}; {sets}"
                "{both: VALUE, truth: VALUE, answer: VALUE} is expected"
            )
    elif not isinstance(empty, Mapping) or not set(empty) <= set(EMPTY_SIDES):
        raise ConfigError(f"{key}.empty: is {empty!r}; the keys are {', '.join(EMPTY_SIDES)}")
    else:
        for side, value in empty.items():
            if is_distance and value == DIAGONAL:
                continue
            if not _is_number(value):
                raise ConfigError(f"{key}.empty.{side}: is {value!r}; a number is expected")
            low, high = metric.range
            if value < low or value > high:
                raise ConfigError(
                    f"{key}.empty.{side}: is {value!r}, but {metric.name} goes from {low:g} to "
                    f"{high:g}"
                )
    if "worst_mm" not in given:
        return
    if not is_distance:
        raise ConfigError(f"{key}.worst_mm: {metric.name} is no distance; remove the key")
    if given["worst_mm"] != DIAGONAL:
        _check_value(f"{key}.worst_mm", Parameter(), given["worst_mm"])


def _value(
    pair: Pair,
    given: Mapping[str, Any],
    label_id: int | str,
    interaction: Interaction | None,
    rated: Mapping[int, raters.Rated],
    probs: probabilities.Tables | None,
) -> float:
    """Return a metric's value for a label, never worse than `worst_mm`."""
    if needs_prompts(given):
        return float(METRICS[given["name"]].function(pair, interaction) or 0)
    if METRICS[given["name"]].needs == "raters":
        return _of_raters(pair, given, rated, probs)
    if METRICS[given["name"]].needs == "probs":
        return NAN if probs is None else _of_probs(pair, given, probs)
    value = _uncapped(pair, given, label_id)
    return min(value, _millimetres(given["worst_mm"], pair)) if "worst_mm" in given else value


def _parameters(given: Mapping[str, Any], *without: str) -> dict[str, Any]:
    parameters = METRICS[given["name"]].parameters
    return {
        name: given.get(name, one.default)
        for name, one in parameters.items()
        if name not in without
    }


def _of_raters(
    pair: Pair,
    given: Mapping[str, Any],
    rated: Mapping[int, raters.Rated],
    probs: probabilities.Tables | None,
) -> float:
    """Return the value of a metric that needs raters; nan in a case that has none."""
    if pair.label not in rated:
        return NAN
    parameters = _parameters(given)
    if parameters.get("volume") == "probs":
        parameters["probable"] = None if probs is None else probs.sums.get(pair.label)
    return float(METRICS[given["name"]].function(pair, rated[pair.label], **parameters) or 0)


def _of_probs(pair: Pair, given: Mapping[str, Any], probs: probabilities.Tables) -> float:
    """Return the value of a metric that needs probabilities."""
    parameters = _parameters(given, "region", "width_mm")
    if given["name"] == "RPS":
        parameters["classes"] = len(probs.sums) + 1
    region = probabilities.region_of(given)
    function = METRICS[given["name"]].function
    return float(function(probs, pair.label, region, **parameters) or 0)


def _uncapped(pair: Pair, given: Mapping[str, Any], label_id: int | str) -> float:
    metric = METRICS[given["name"]]
    if given.get("instances") == "labels":
        pair = pair.case
    rule = given.get("empty", {})
    empty = _empty_value(metric, pair, rule)
    if empty is not None:
        return _millimetres(empty, pair)
    parameters = {
        name: _for_label(given.get(name, parameter.default), label_id)
        for name, parameter in metric.parameters.items()
    }
    if parameters.get("dimensions") == 2 and pair.dimensions == 3:
        raise ConfigError(
            f"{metric.name}: dimensions is 2, but the map has the shape {pair.maps[0].shape}; "
            "write auto"
        )
    # A slab stays in place: where distances tie with a tolerance, the order of the axes counts.
    seen = pair if parameters.get("dimensions") == 3 else pair.in_plane
    value = metric.function(seen, **parameters)
    return _millimetres(_rule(metric, rule)["both"], pair) if value is None else float(value)


def _empty_value(metric: Metric, pair: Pair, rule: Any) -> Any:
    """Return the value of a label that has no voxels on a side, or None where it is measured."""
    if pair.truth_voxels and pair.answer_voxels:
        return None
    values = _rule(metric, rule)
    if pair.truth_voxels:
        return values["answer"]
    return values["truth"] if pair.answer_voxels else values["both"]


def _rule(metric: Metric, rule: Any) -> dict[str, Any]:
    """Return the value of each of EMPTY_SIDES, by a metric's own rule or a protocol's."""
    own = (metric.both_empty, metric.empty_truth, metric.empty_answer)
    if isinstance(rule, str):
        rule = dict(zip(EMPTY_SIDES, EMPTY_SETS[rule][metric.name], strict=True))
    return dict(zip(EMPTY_SIDES, own, strict=True)) | dict(rule)


def _millimetres(value: Any, pair: Pair) -> float:
    """Return a value as it is, and `image_diagonal` as its length."""
    if value != DIAGONAL:
        return float(value)
    sides = (n * mm for n, mm in zip(pair.maps[0].shape, pair.spacing_mm, strict=True) if n > 1)
    return math.hypot(*sides)


def _for_label(value: Any, label: int | str) -> Any:
    """Return a parameter's value for a label; keys may be text, as they are in JSON."""
    if not isinstance(value, Mapping):
        return value
    return value.get(label, value.get(str(label), value["default"]))
