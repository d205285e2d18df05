"""`segarena fingerprint`: which metrics suit a data set, and where a protocol's choice does not.

It measures the label maps (never an image), asks eight questions in a YAML file, and then follows
simple rules in the substance of Metrics Reloaded (Maier-Hein et al. 2024), with thresholds that are
named below. It recommends and warns; nothing stops a run, unless `--strict` says so.
"""

import argparse
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from segarena.case import read_raters, read_truth, spacing_of
from segarena.config import Case, Config, read
from segarena.errors import ConfigError
from segarena.prepare.raters import MAJORITY, STAPLE, majority, staple
from segarena.protocol import Protocol, read_yaml
from segarena.score import instances, surface
from segarena.score.metrics import column
from segarena.score.pair import Pair, Spacing, pairs
from segarena.score.read import read_files

CONFIG = Path("config/config.yaml")
ASKED, MEASURED = Path("config/fingerprint.yaml"), Path("results/fingerprint.yaml")

QUESTIONS = {
    "boundary_matters": "does the outline matter, as in radiotherapy or surgery? (true, false)",
    "annotation_imprecise": "would two experts draw different outlines? (true, false)",
    "outliers_matter": "is one voxel far away from the structure a serious error? (true, false)",
    "centre_line_matters": "are these tubes whose connections matter, as vessels? (true, false)",
    "count_of_objects_matters": "does it matter how many objects are found? (true, false)",
    "volume_matters": "is the volume what is reported to the clinic? (true, false)",
    "missed_is_worse": "how many times worse is a missed voxel than a false one? (number, false)",
    "confidence_matters": "does the confidence of a submission matter? (true, false)",
}

FEW_VOXELS, THIN = 100, 5.0
"""A label is small if the median of its voxels or of its thickness in voxels is below these."""

LIKE_A_TUBE, IN_ONE_PIECE = 12.0, 0.5
"""A tube has so many times the volume of its inscribed ball, most of it in one component."""

MANY_COMPONENTS, ANISOTROPIC, FEW_CASES = 5, 3.0, 10


@dataclass(frozen=True)
class Label:
    """What the cases have of a label; percentiles are the 10th, 50th and 90th over cases.

    thickness_voxels: twice the largest distance to the outside, in voxels of the coarsest axis;
    thickness_mm: its median in mm. over_inscribed_ball: volume over that of the largest ball (disc)
    inside. dsc_of_one_voxel: the median Dice of the label and its erosion by one voxel. touching,
    at_the_edge: share of the cases where it touches another label, or the edge of the image.
    raters: the most that any case has. dsc_of_raters: the median over cases of the mean Dice of all
    pairs of them. surface_mm_of_raters: the medians over cases of the median and the 95th
    percentile of the distances between their surfaces, each a mean over the pairs; in mm.
    """

    label: int
    name: str
    cases: int
    voxels: list[float]
    thickness_voxels: list[float]
    thickness_mm: float
    share: list[float]
    components: list[float]
    largest_component_share: list[float]
    over_inscribed_ball: list[float]
    dsc_of_one_voxel: float
    touching: float
    at_the_edge: float
    raters: int = 0
    dsc_of_raters: float | None = None
    surface_mm_of_raters: list[float] | None = None

    @property
    def is_small(self) -> bool:
        """Whether a voxel more or less at the rim decides an overlap."""
        return self.voxels[1] < FEW_VOXELS or self.thickness_voxels[1] < THIN

    @property
    def is_tube(self) -> bool:
        """Whether it is one long and thin structure."""
        long = self.over_inscribed_ball[1] >= LIKE_A_TUBE
        return long and self.largest_component_share[1] >= IN_ONE_PIECE and not self.has_many

    @property
    def has_many(self) -> bool:
        """Whether a case has many components of it, as lesions."""
        return self.components[1] >= MANY_COMPONENTS


@dataclass(frozen=True)
class Data:
    """What was measured: the number of cases, the labels, and spacings (z, y, x) in mm."""

    cases: int
    labels: list[Label]
    smallest_mm: list[float]
    largest_mm: list[float]
    anisotropy: float


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `segarena fingerprint` to a command line."""
    parser = subparsers.add_parser(
        "fingerprint",
        description="Measure the label maps of a config, and say which metrics suit them and where "
        f"the protocols' metrics do not. The questions are in {ASKED}, which is written if it is "
        "missing; answer them and run it again.",
    )
    parser.add_argument(
        "configfile", nargs="?", type=Path, default=CONFIG, help=f"the config file ({CONFIG})"
    )
    parser.add_argument(
        "--questions", type=Path, default=ASKED, metavar="FILE", help=f"the questions ({ASKED})"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 if there is a warning")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """Print recommendations and warnings; returns the exit code."""
    settings = read_yaml(arguments.configfile)
    if not isinstance(settings, dict):
        raise ConfigError(f"{arguments.configfile}: no config: a mapping of keys is expected")
    config = read(settings, str(arguments.configfile))
    asked = questions(arguments.questions)
    found = measured(config)
    _write(MEASURED, yaml.safe_dump(_plain(found, asked), sort_keys=False))
    print(f"{found.cases} cases, {len(found.labels)} labels; measured: {MEASURED}")
    for metric, why in recommended(found, asked):
        print(f"  {metric}: {why}")
    warnings = [
        f"{name}: {text}"
        for name, protocol in config.protocols.items()
        for text in warned(protocol, found, asked)
    ]
    warnings += about_cases(config)
    for text in warnings:
        print(f"segarena: warning: {text}")
    open_ones = [name for name, answer in asked.items() if answer is None]
    if open_ones:
        print(f"not answered in {arguments.questions}: {', '.join(open_ones)}")
    return int(arguments.strict and bool(warnings))


def questions(path: Path) -> dict[str, Any]:
    """Return the answers in a file of questions; the file is written if it is missing.

    Raises ConfigError where a question is not one of ours or an answer is not one.
    """
    if not path.is_file():
        lines = [f"# {asks}\n{name}: null\n" for name, asks in QUESTIONS.items()]
        _write(path, "\n".join(lines))
    answers = read_yaml(path) or {}
    if not isinstance(answers, dict):
        raise ConfigError(
            f"{path}: one line per question is expected, such as {next(iter(QUESTIONS))}: true"
        )
    for name, answer in answers.items():
        if name not in QUESTIONS:
            raise ConfigError(f"{path}: {name}: no such question; known: {', '.join(QUESTIONS)}")
        is_number = isinstance(answer, int | float) and not isinstance(answer, bool)
        if name == "missed_is_worse":
            fits = answer is None or answer is False or (is_number and 1 < answer < math.inf)
            expected = "a number above 1, false or null"
        else:
            fits, expected = answer is None or isinstance(answer, bool), "true, false or null"
        if not fits:
            raise ConfigError(f"{path}: {name}: is {answer!r}; {expected} is expected")
    return {name: answers.get(name) for name in QUESTIONS}


def measured(config: Config) -> Data:
    """Return what the cases of a config are like, from their label maps."""
    facts: dict[int, list[dict[str, float]]] = {}
    spacings = []
    for name, case in config.cases.items():
        gts, spacing_mm, ids, raters = _labels_of(name, case, config.consensus)
        spacings.append(spacing_mm)
        for pair in pairs(gts, gts, spacing_mm):
            row = _facts(pair.in_plane) | _agreement(raters, pair.label, spacing_mm)
            facts.setdefault(ids.get(pair.label, pair.label), []).append(row)
    names: dict[str, Any] = {}
    for protocol in config.protocols.values():
        names |= protocol.get("labels", {})
    return Data(
        cases=len(config.cases),
        labels=[
            _summary(label, names.get(str(label), {}).get("name", ""), rows)
            for label, rows in sorted(facts.items())
        ],
        smallest_mm=[float(v) for v in np.min(spacings, axis=0)],
        largest_mm=[float(v) for v in np.max(spacings, axis=0)],
        anisotropy=float(max(max(s) / min(s) for s in spacings)),
    )


def recommended(data: Data, asked: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield metrics and why each is recommended, for all labels or some of them."""
    small = [one for one in data.labels if one.is_small]
    large = [one for one in data.labels if not one.is_small]
    tubes = [one for one in data.labels if one.is_tube]
    many = [one for one in data.labels if one.has_many]
    if large or not asked["annotation_imprecise"]:
        yield "DSC", "the default overlap metric"
    beta = asked["missed_is_worse"]
    if beta:
        yield f"FBeta, beta: {beta:g}", "missed voxels are worse than false ones"
    if asked["boundary_matters"] and asked["annotation_imprecise"] is False:
        yield "BoundaryIoU", "the outline matters and is known exactly"
        yield "MASD", "how far the outline is off, on average"
    else:
        yield "NSD", "a boundary metric complements the overlap; its tolerance allows for raters"
    for one in data.labels:
        if one.surface_mm_of_raters and one.surface_mm_of_raters[1]:
            middle, most = one.surface_mm_of_raters
            yield (  # a tolerance of 0, where most of the surfaces is the same, measures nothing
                f"NSD, tolerance_mm: {middle or most:.2g}",
                f"{_names([one])}: the raters' surfaces are {middle:.2g} mm apart in the median, "
                f"{most:.2g} mm at 95 %; their Dice is {one.dsc_of_raters:.2f}",
            )
    if asked["outliers_matter"]:
        yield "HD95, worst_mm: image_diagonal", "voxels far away are a serious error"
    if small:
        yield "NSD or MASD alone", f"{_names(small)}: few voxels, an overlap depends on the rim"
    if tubes or asked["centre_line_matters"]:
        yield (
            "clDice, Betti0Error",
            f"{_names(tubes) or 'asked'}: long and thin; connections matter",
        )
    if many or asked["count_of_objects_matters"]:
        yield "F1, LesionRecall, FPVolume, FNVolume", f"{_names(many) or 'asked'}: many objects"
    if any(one.touching for one in data.labels) and asked["count_of_objects_matters"]:
        yield "F1, instances: labels", "objects touch: components would join them, ids do not"
    if asked["volume_matters"]:
        yield "RVD, VD_ml", "the volume is reported; both have a sign, so they show a bias"


def warned(protocol: Protocol, data: Data, asked: Mapping[str, Any]) -> Iterator[str]:
    """Yield where a protocol's metrics do not suit the data."""
    metrics = protocol["metrics"]
    used = {metric["name"] for metric in metrics}
    by_column = {column(metric): metric["name"] for metric in metrics}
    ranked = {by_column.get(name.rpartition("_")[0]) for name in protocol["ranking"]["metrics"]}
    if {"DSC", "IoU"} <= ranked:
        yield "ranking.metrics: DSC and IoU rank nearly the same; one of them is enough"
    for metric in metrics:
        yield from _about_distances(metric, data)
    yield from _about_shapes(used, data, asked)
    if data.anisotropy > ANISOTROPIC and any(m.get("points") == "voxels" for m in metrics):
        yield (
            f"points: voxels: spacing differs {data.anisotropy:.1f} times between axes, and every "
            "voxel weighs the same; elements weigh by area"
        )


def about_cases(config: Config) -> list[str]:
    """Return what should be known about the cases themselves."""
    found = []
    if len(config.cases) < FEW_CASES:
        found.append(f"fewer than {FEW_CASES} cases: read the intervals, not the means")
    subjects = [case.described.get("subject") for case in config.cases.values()]
    several = sorted({s for s in subjects if s and subjects.count(s) > 1})
    if several:
        found.append(
            f"cases: subjects with more than one case: {len(several)}, such as {several[0]}; "
            "cases of one person are not independent, so intervals and tests look too certain"
        )
    return found


def _about_distances(metric: Mapping[str, Any], data: Data) -> Iterator[str]:
    name, voxel_mm = column(metric), max(data.largest_mm)
    if metric["name"] in {"HD", "HD95"} and "worst_mm" not in metric:
        yield f"{name}: is infinite for an empty answer; give worst_mm, such as image_diagonal"
    tolerance = metric.get("tolerance_mm")
    for one in data.labels if tolerance is not None else ():
        mm = _for_label(tolerance, one.label)
        if mm < voxel_mm / 2:
            yield (
                f"{name}: {_names([one])}: a tolerance of {mm:g} mm is below half of the largest "
                f"spacing ({voxel_mm:g} mm): it measures the grid"
            )
        elif one.surface_mm_of_raters and mm < one.surface_mm_of_raters[0]:
            yield (
                f"{name}: {_names([one])}: a tolerance of {mm:g} mm is below the median distance "
                f"of the raters ({one.surface_mm_of_raters[0]:.2g} mm): it measures who drew"
            )
        elif mm > one.thickness_mm / 2:
            yield (
                f"{name}: {_names([one])}: a tolerance of {mm:g} mm is above half of the median "
                f"thickness ({one.thickness_mm:.1f} mm): nearly everything passes"
            )


def _for_label(tolerance: Any, label: int) -> float:
    if isinstance(tolerance, Mapping):
        tolerance = tolerance.get(label, tolerance.get(str(label), tolerance["default"]))
    return float(tolerance)


def _about_shapes(used: set[str], data: Data, asked: Mapping[str, Any]) -> Iterator[str]:
    small = [one for one in data.labels if one.is_small]
    many = [one for one in data.labels if one.has_many]
    tubes = [one for one in data.labels if one.is_tube]
    of_objects = {"F1", "PQ", "RQ", "LesionRecall", "LesionDSC", "CCDSC"}
    boundary = {"NSD", "MASD", "ASSD", "HD95", "BoundaryIoU", "NSD_TP"}
    if small and used & {"DSC", "IoU"} and not used & boundary:
        lost = 1 - min(one.dsc_of_one_voxel for one in small)
        yield (
            f"DSC alone: {_names(small)}: one voxel of the rim is up to {lost:.2f} of DSC; add NSD"
        )
    if tubes and "DSC" in used and "clDice" not in used:
        yield f"no clDice: {_names(tubes)}: long and thin, where DSC does not see a cut"
    if "clDice" in used:
        thin = [one for one in tubes if one.thickness_voxels[1] < 3]
        if thin:
            yield f"clDice: {_names(thin)}: thinner than 3 voxels, so the line is the mask itself"
    if many and not used & of_objects:
        most = max(one.largest_component_share[1] for one in many)
        yield (
            f"no metric of objects: {_names(many)}: the largest component has {most:.0%} of the "
            "voxels and decides DSC; add F1 or LesionRecall"
        )
    if many and used & {"HD"}:
        yield f"HD: {_names(many)}: one false component far away decides it"
    if many and "Components" in used:
        yield f"Components: {_names(many)}: fewer is not better; take Betti0Error or F1"
    if asked["volume_matters"] and used & {"RVE"} and not used - {"RVE", "RVD", "VD_ml"}:
        yield "RVE alone: it is blind to where the volume is; add DSC"


def _labels_of(
    name: str, case: Case, consensus: str
) -> tuple[np.ndarray, Spacing, Mapping[int, int], list[np.ndarray]]:
    """Return a case's label map, its spacing, the ids of its labels, and the raters' maps.

    Prepared, if it was; else from its files, with the consensus of the config.
    """
    prepared = Path("results/prepare") / f"{name}.truth.npz"
    if prepared.is_file():
        truth = read_truth(prepared)
        raters = list(read_raters(prepared).values())
        return truth.gts, spacing_of(prepared, truth), truth.ids, raters
    if case.slice_of:
        raise ConfigError(f"{name}: slices are measured once they are prepared; run the workflow")
    gts, _, spacing_mm, _ = read_files(case.label, case.label, may_be_empty=bool(case.raters))
    raters = [read_files(path, path, may_be_empty=True)[0] for _, path in case.raters]
    if not raters and case.label.suffix == ".npz":
        raters = list(read_raters(case.label).values())
    if raters and consensus in {MAJORITY, STAPLE}:
        gts = (majority if consensus == MAJORITY else staple)(raters)
    return gts, spacing_mm or (1.0, 1.0, 1.0), {}, raters


def _agreement(raters: Sequence[np.ndarray], label: int, spacing_mm: Spacing) -> dict[str, float]:
    """Return how well the raters agree on a label in one case: means over all pairs of them."""
    found = []
    for one, other in itertools.combinations(raters, 2):
        (pair,) = pairs(one, other, spacing_mm, [label])
        if not (pair.truth_voxels and pair.answer_voxels):
            continue
        seen = pair.in_plane
        both = surface.pooled(surface.distances(seen, surface.kind_for(seen, "elements", "auto")))
        dsc = 2 * pair.common_voxels / (pair.truth_voxels + pair.answer_voxels)
        middle, most = (both.percentile(share, interpolation="none") for share in (50, 95))
        found.append((dsc, middle, most))
    if not found:
        return {}
    dsc, middle, most = (float(value) for value in np.mean(found, axis=0))
    return {"raters": len(raters), "dsc_of_raters": dsc, "median_mm": middle, "p95_mm": most}


def _facts(pair: Pair) -> dict[str, float]:
    """Return what one case has of a label."""
    from scipy import ndimage

    mask = pair.masks[0]
    spacing_mm = pair.spacing_mm
    flat = pair.dimensions == 2
    deepest_mm = float(ndimage.distance_transform_edt(mask, sampling=spacing_mm).max())
    grid_mm = spacing_mm[1:] if flat else spacing_mm
    ball = math.pi * deepest_mm**2 if flat else 4 / 3 * math.pi * deepest_mm**3
    parts = instances.table(pair, instances="components", connectivity=26).truth.voxels
    core = int(ndimage.binary_erosion(mask[0] if flat else mask).sum())
    low, high = pair.box[:3], pair.box[3:]
    edge = [a == 0 or b == n for a, b, n in zip(low, high, pair.maps[0].shape, strict=True)]
    return {
        "voxels": pair.truth_voxels,
        "thickness_voxels": 2 * deepest_mm / max(grid_mm),
        "thickness_mm": 2 * deepest_mm,
        "share": pair.truth_voxels / pair.maps[0].size,
        "components": len(parts),
        "largest_component_share": float(parts.max() / parts.sum()),
        "over_inscribed_ball": pair.truth_voxels * math.prod(grid_mm) / ball,
        "dsc_of_one_voxel": 2 * core / (pair.truth_voxels + core),
        "touching": float(_touches_another(pair)),
        "at_the_edge": float(any(edge[1:] if flat else edge)),
    }


def _touches_another(pair: Pair) -> bool:
    """Return whether a voxel of the label has a neighbour of another label across a face."""
    low = np.maximum(pair.box[:3] - 1, 0)
    high = np.minimum(pair.box[3:] + 1, pair.maps[0].shape)
    crop = pair.maps[0][tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    for axis in range(3):
        along = np.moveaxis(crop, axis, 0)
        one, other = along[:-1], along[1:]
        here = (one == pair.label) != (other == pair.label)
        if (here & (one != 0) & (other != 0)).any():
            return True
    return False


def _summary(label: int, name: str, rows: Sequence[Mapping[str, float]]) -> Label:
    def percentiles(key: str) -> list[float]:
        return [float(v) for v in np.percentile([row[key] for row in rows], (10, 50, 90))]

    def mean(key: str) -> float:
        return float(np.mean([row[key] for row in rows]))

    return Label(
        label=label,
        name=name,
        cases=len(rows),
        voxels=percentiles("voxels"),
        thickness_voxels=percentiles("thickness_voxels"),
        thickness_mm=percentiles("thickness_mm")[1],
        share=percentiles("share"),
        components=percentiles("components"),
        largest_component_share=percentiles("largest_component_share"),
        over_inscribed_ball=percentiles("over_inscribed_ball"),
        dsc_of_one_voxel=percentiles("dsc_of_one_voxel")[1],
        touching=mean("touching"),
        at_the_edge=mean("at_the_edge"),
        **_summary_of_raters([row for row in rows if "raters" in row]),
    )


def _summary_of_raters(rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    if not rows:
        return {}
    dsc, middle, most = (
        float(np.median([row[key] for row in rows]))
        for key in ("dsc_of_raters", "median_mm", "p95_mm")
    )
    return {
        "raters": int(max(row["raters"] for row in rows)),
        "dsc_of_raters": dsc,
        "surface_mm_of_raters": [middle, most],
    }


def _names(labels: Sequence[Label]) -> str:
    """Return the labels by name, or by id, no more than three of them."""
    names = [one.name or f"label {one.label}" for one in labels[:3]]
    return ", ".join(names) + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")


def _plain(data: Data, asked: Mapping[str, Any]) -> dict[str, Any]:
    return {"measured": asdict(data), "asked": dict(asked)}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
