"""Probabilities that a submission answers beside its label map, counted into small tables.

`probs` is uint8 (K, D, H, W), p = value / 255, a map per label that was asked for, in ascending
order. With 256 values everything that is measured of a label's probabilities follows from a table
of 256 x 2 counts: how many voxels have each value, in the label and outside. Maps are read one
after the other, so no more than a few label maps are in memory.

Where labels are taken together the background has the rest, 1 minus the sum, which is 0 at least.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from segarena.score.pair import Spacing

MARGIN = 20
"""Voxels around a label's box in the region `box`, as in CURVAS-PDACVI."""

LEVELS = 256

Region = tuple[str, float]
"""image, box or rim, and the rim's width in mm."""


def region_of(metric: Mapping[str, Any]) -> Region:
    """Return the region that a protocol's metric is measured in."""
    name = str(metric.get("region", "box"))
    return name, float(metric.get("width_mm", 0)) if name == "rim" else 0.0


@dataclass
class Tables:
    """What is counted of one answer's probabilities; a key has a Region, or it and a label.

    of_label: (256, 2), voxels by value, outside the label and in it. top: the same of the most
    probable class, where it is wrong and right. true: (256,), voxels by the value of the true
    class. squares: sum over classes of (p - y)², and voxels. ranked: sum of the ranked probability
    scores, and voxels. sums: of each label, in voxels. overlaps: whether the labels of a voxel sum
    to more than 1 by more than rounding.
    """

    of_label: dict[tuple[int, Region], np.ndarray] = field(default_factory=dict)
    top: dict[Region, np.ndarray] = field(default_factory=dict)
    true: dict[Region, np.ndarray] = field(default_factory=dict)
    squares: dict[Region, tuple[float, int]] = field(default_factory=dict)
    ranked: dict[Region, tuple[float, int]] = field(default_factory=dict)
    sums: dict[int, float] = field(default_factory=dict)
    overlaps: bool = False


@dataclass(frozen=True)
class Places:
    """Where a case's probabilities are measured; the same for all of its answers.

    truth: (D, H, W). labels: their numbers, ascending.
    """

    truth: np.ndarray
    labels: list[int]
    spacing_mm: Spacing
    outside: np.ndarray | None = None
    _known: dict[Any, Any] = field(default_factory=dict, repr=False)

    def of(self, region: Region, label: int | None) -> tuple[tuple[slice, ...], np.ndarray | None]:
        """Return a box, and a mask (bool) within it or None; of one label, or of all with None."""
        key = region, label
        if key not in self._known:
            self._known[key] = self._place(region, label)
        place: tuple[tuple[slice, ...], np.ndarray | None] = self._known[key]
        return place

    @cached_property
    def _whole(self) -> tuple[slice, ...]:
        return tuple(slice(0, size) for size in self.truth.shape)

    def _place(
        self, region: Region, label: int | None
    ) -> tuple[tuple[slice, ...], np.ndarray | None]:
        name, width_mm = region
        mask = np.isin(self.truth, self.labels) if label is None else self.truth == label
        counted = None if self.outside is None else ~self.outside
        if name == "image" or not mask.any():
            return self._whole, counted
        margin = [MARGIN] * 3
        if name == "rim":
            margin = [math.ceil(width_mm / mm) + 1 for mm in self.spacing_mm]
        box = tuple(
            _grown(np.asarray(mask.any(axis=tuple({0, 1, 2} - {axis}))), margin[axis])
            for axis in range(3)
        )
        if name == "rim":
            near = _near_surface(mask[box], width_mm, self.spacing_mm)
            return box, near if counted is None else near & counted[box]
        return box, None if counted is None else counted[box]


def _grown(along: np.ndarray, margin: int) -> slice:
    places = np.flatnonzero(along)
    return slice(max(int(places[0]) - margin, 0), min(int(places[-1]) + margin + 1, len(along)))


def _near_surface(mask: np.ndarray, width_mm: float, spacing_mm: Spacing) -> np.ndarray:
    """Return the voxels within a width of a voxel on the other side, centre to centre."""
    from scipy import ndimage

    near = np.zeros(mask.shape, bool)
    for side in (mask, ~mask):
        if not side.all():
            away = ndimage.distance_transform_edt(side, sampling=spacing_mm)
            near |= side & (away <= width_mm)
    return near


def count(
    maps: Callable[[], Iterable[np.ndarray]],
    places: Places,
    metrics: Collection[Mapping[str, Any]],
) -> Tables:
    """Return the tables that some metrics need of one answer.

    maps: yields the map (D, H, W), uint8, of each of `places.labels` in turn, each time it is
    called. metrics: of a protocol; those that need no probabilities are ignored.
    """
    tables = Tables()
    wanted = {region_of(one) for one in metrics if one["name"] in {"Brier", "ECE", "NLL", "AUROC"}}
    together = {
        region_of(one)
        for one in metrics
        if one.get("kind") in {"top_label", "all_labels"} or one["name"] == "RPS"
    }
    for label, values in zip(places.labels, maps(), strict=True):
        tables.sums[label] = float(values.sum(dtype=np.int64)) / (LEVELS - 1)
        for region in wanted:
            box, mask = places.of(region, label)
            is_true = places.truth[box] == label
            tables.of_label[label, region] = _table(values[box], is_true, mask)
    if together:
        rest = _most_probable(tables, maps, places, together)
        _sums_over_classes(tables, maps, places, together, rest)
    return tables


def _most_probable(
    tables: Tables,
    maps: Callable[[], Iterable[np.ndarray]],
    places: Places,
    regions: Collection[Region],
) -> np.ndarray:
    """Add the tables of the most probable and of the true class; return the background's values."""
    total = np.zeros(places.truth.shape, np.int64)
    best, chosen, true = np.zeros((3, *places.truth.shape), np.int64)
    for label, values in zip(places.labels, maps(), strict=True):
        total += values
        larger = values > best
        best[larger], chosen[larger] = values[larger], label
        here = places.truth == label
        true[here] = values[here]
    rest = np.maximum(LEVELS - 1 - total, 0)
    tables.overlaps = bool(total.max() > LEVELS - 1 + len(places.labels))
    # Equal ones: the background first, then the lowest label, as numpy's argmax has it.
    chosen[rest >= best] = 0
    background = ~np.isin(places.truth, places.labels)
    true[background] = rest[background]
    right = np.where(background, chosen == 0, chosen == places.truth)
    for region in regions:
        box, mask = places.of(region, None)
        tables.top[region] = _table(np.maximum(best, rest)[box], right[box], mask)
        values = true[box] if mask is None else true[box][mask]
        tables.true[region] = np.bincount(values.ravel(), minlength=LEVELS)
    return rest


def _sums_over_classes(
    tables: Tables,
    maps: Callable[[], Iterable[np.ndarray]],
    places: Places,
    regions: Collection[Region],
    rest: np.ndarray,
) -> None:
    """Add the squares and the ranked scores; classes are the background, then labels ascending."""
    full = LEVELS - 1
    truth = np.where(np.isin(places.truth, places.labels), places.truth, 0)
    squares = (rest - full * (truth == 0).astype(np.int64)) ** 2
    below = rest.astype(np.int64)
    ranked = (below - full * (truth <= 0)) ** 2
    for label, values in zip(places.labels, maps(), strict=True):
        squares += (values - full * (truth == label).astype(np.int64)) ** 2
        below += values
        ranked += (np.minimum(below, full) - full * (truth <= label)) ** 2
    for region in regions:
        box, mask = places.of(region, None)
        for sums, found in ((squares, tables.squares), (ranked, tables.ranked)):
            inside = sums[box] if mask is None else sums[box][mask]
            found[region] = float(inside.sum(dtype=np.int64)) / full**2, inside.size


def _table(values: np.ndarray, is_true: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Return how many voxels have each value, outside and in what is true: (256, 2)."""
    keys = values.astype(np.uint16)
    keys[is_true] += LEVELS
    if mask is not None:
        keys = keys[mask]
    return np.bincount(keys.ravel(), minlength=2 * LEVELS).reshape(2, LEVELS).T


def brier(tables: Tables, label: int, region: Region, *, kind: str) -> float:
    """Return the mean of (p - y)², of one label, or summed over all classes (Brier 1950)."""
    if kind == "all_labels":
        total, voxels = tables.squares[region]
        return math.nan if tables.overlaps or not voxels else total / voxels
    table = tables.of_label[label, region]
    p = np.arange(LEVELS) / (LEVELS - 1)
    return _over(float(table[:, 0] @ p**2 + table[:, 1] @ (1 - p) ** 2), table.sum())


def ece(tables: Tables, label: int, region: Region, *, kind: str, bins: float, zeros: str) -> float:
    """Return the expected calibration error: mean distance of confidence and truth over bins.

    zeros: "counted", bins [l, u); "left_out", bins (l, u], so that p = 0 is in none.
    """
    if kind == "top_label" and tables.overlaps:
        return math.nan
    table = tables.top[region] if kind == "top_label" else tables.of_label[label, region]
    binned = reliability(table, int(bins), zeros=zeros)
    gaps = sum(abs(right - confidence) for _, confidence, right in binned)
    return _over(gaps, sum(voxels for voxels, _, _ in binned))


def reliability(
    table: np.ndarray, bins: int, *, zeros: str = "counted"
) -> list[tuple[int, float, int]]:
    """Return of each bin its voxels, the sum of their probabilities, and how many are true.

    Bins are chosen by whole numbers: 51/255 and others are exactly on edges.
    """
    values, top = np.arange(LEVELS), LEVELS - 1
    if zeros == "counted":
        place = np.minimum(values * bins // top, bins - 1)
    else:
        place = -(-values * bins // top) - 1
    voxels = table.sum(axis=1)
    return [
        (
            int(voxels[place == number].sum()),
            float(voxels[place == number] @ values[place == number]) / top,
            int(table[place == number, 1].sum()),
        )
        for number in range(bins)
    ]


def nll(tables: Tables, label: int, region: Region, *, kind: str, clip: float) -> float:
    """Return the mean negative logarithm of the probability of what is true, `clip` at least."""
    p = np.maximum(np.arange(LEVELS) / (LEVELS - 1), clip)
    if kind == "all_labels":
        counts = tables.true[region]
        return math.nan if tables.overlaps else _over(-float(counts @ np.log(p)), counts.sum())
    table = tables.of_label[label, region]
    # 1 - p of value v is p of value 255 - v
    return _over(-float(table[:, 1] @ np.log(p) + table[:, 0] @ np.log(p[::-1])), table.sum())


def auroc(tables: Tables, label: int, region: Region) -> float:
    """Return the share of pairs of a voxel in the label and one outside that are in order."""
    outside, inside = tables.of_label[label, region].T
    below = np.cumsum(outside) - outside
    return _over(float(inside @ (below + outside / 2)), float(inside.sum() * outside.sum()))


def rps(tables: Tables, label: int, region: Region, *, classes: int) -> float:
    """Return the mean ranked probability score (Epstein 1969) over classes - 1: 0 to 1."""
    total, voxels = tables.ranked[region]
    return math.nan if tables.overlaps or not voxels else total / voxels / (classes - 1)


def _over(total: float, number: float) -> float:
    return float(total / number) if number else math.nan


def streamed(arrays: np.ndarray) -> Callable[[], Iterator[np.ndarray]]:
    """Return what `count` reads maps from, of an array (K, D, H, W)."""
    return lambda: iter(arrays)
