"""Instances of a label, such as lesions or cells, and how those of truth and answer overlap.

An instance is a connected component of the label, or in a map of instances everything that has one
id. Each is kept as runs, the stretches of its rows: they are few, they give the overlap table of
two sides in one pass, and from them the mask of one instance is made in a box of its own, where a
distance needs it.

A dilation, as BraTS has it, makes lesions of components: those whose dilations touch are one, and
an answer touches a lesion that it meets within the dilation.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from segarena import masks
from segarena.score.pair import Pair


@dataclass(frozen=True)
class Instances:
    """The instances of one side, numbered from 0 on by their first voxel in C order.

    found: the runs of all, row by row. numbers: the instance of each run. height: rows per plane.
    """

    found: masks.Runs
    numbers: np.ndarray
    count: int
    height: int

    @cached_property
    def voxels(self) -> np.ndarray:
        """How many voxels each instance has."""
        _, starts, stops = self.found
        return _sums(self.numbers, stops - starts, self.count)

    @cached_property
    def by_instance(self) -> tuple[np.ndarray, np.ndarray]:
        """The runs (z, y, start, stop) instance by instance, and where each instance's begin."""
        rows, starts, stops = self.found
        z, y = np.divmod(np.repeat(np.arange(len(rows) - 1), np.diff(rows)), self.height)
        order = np.argsort(self.numbers, kind="stable")
        runs = np.stack([z, y, starts, stops], axis=1)[order].astype(np.int32)
        return runs, np.searchsorted(self.numbers[order], np.arange(self.count + 1))

    def at(self, places: np.ndarray) -> np.ndarray:
        """Return the instances that some places (n, 3), z, y, x, are in; outside is left out."""
        rows, starts, stops = self.found
        inside = []
        for z, y, x in places:
            row = z * self.height + y
            if not (0 <= y < self.height and 0 <= row < len(rows) - 1):
                continue
            first, last = rows[row], rows[row + 1]
            run = first + int(np.searchsorted(starts[first:last], x, side="right")) - 1
            if run >= first and x < stops[run]:
                inside.append(self.numbers[run])
        return np.unique(np.array(inside, np.int64))

    def runs_of(self, chosen: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the runs (z, y, start, stop) of some instances."""
        runs, ends = self.by_instance
        return np.concatenate([runs[ends[n] : ends[n + 1]] for n in chosen])


@dataclass(frozen=True)
class Table:
    """Instances of truth and answer, and the pairs of them that touch.

    of_truth, of_answer: the instances of each pair, sorted. common: the voxels that both have; 0
    where a pair only touches within the dilation.
    """

    truth: Instances
    answer: Instances
    of_truth: np.ndarray
    of_answer: np.ndarray
    common: np.ndarray


def table(pair: Pair, *, instances: str, connectivity: int, dilation: int = 0) -> Table:
    """Return the instances of both sides of a pair, and how they overlap.

    instances: "components" of the pair's label, or "labels", each id of the whole maps being one.
    connectivity: 26, 18 or 6, which are 8, 8 and 4 in a slice. dilation: how often lesions are
    dilated by their 18-neighbourhood, for components alone.
    """
    key = ("instances", instances, connectivity, dilation)
    if key not in pair.cache:
        if instances == "labels":
            truth, answer = (_by_label(labels) for labels in pair.maps)
            pair.cache[key] = Table(truth, answer, *overlaps(truth, answer))
        elif dilation:
            pair.cache[key] = _dilated_table(pair, connectivity, dilation)
        else:
            truth, answer = (components(words, connectivity) for words in pair.words)
            pair.cache[key] = Table(truth, answer, *overlaps(truth, answer))
    return pair.cache[key]


def cropped(pair: Pair, found: Table, truth: int, answers: np.ndarray) -> Pair:
    """Return one instance of the truth and some of the answer, as one, in a box around them."""
    sides = found.truth.runs_of([truth]), found.answer.runs_of(answers)
    runs = np.concatenate(sides)
    low, high = runs[:, :3].min(axis=0), runs[:, [0, 1, 3]].max(axis=0)
    high[:2] += 1
    one, other = (_painted(side, low, high) for side in sides)
    box = np.array([0, 0, 0, *one.shape], np.int32)
    voxels, of_answer, common = (int(np.count_nonzero(m)) for m in (one, other, one & other))
    return Pair(1, (one, other), box, pair.spacing_mm, voxels, of_answer, common)


def voxels_by_region(pair: Pair, found: Table) -> np.ndarray:
    """Return how many of the answer's voxels are nearest to each component of the truth.

    Distances are in voxels; where two components are as near, the first counts.
    """
    truth, answer = pair.words
    outside = masks.places(answer & ~truth)
    nearest = masks.nearest(outside, found.truth.found, found.truth.numbers, truth.shape)
    inside = _sums(found.of_truth, found.common, found.truth.count)
    return inside + np.bincount(nearest, minlength=found.truth.count)


def each_region(pair: Pair, found: Table) -> Iterator[Pair]:
    """Yield each component of the truth, and the answer in the region nearest to it, in a box.

    Distances are in voxels; where two components are as near, the first counts.
    """
    _, answer = pair.words
    places = masks.places(answer)
    nearest = masks.nearest(places, found.truth.found, found.truth.numbers, answer.shape)
    places = places[np.argsort(nearest, kind="stable")]
    ends = np.cumsum(np.bincount(nearest, minlength=found.truth.count))
    for number, own in enumerate(np.split(places, ends[:-1])):
        runs = found.truth.runs_of([number])
        corners = np.concatenate([runs[:, :3], runs[:, [0, 1, 3]] - [0, 0, 1], own])
        low, high = corners.min(axis=0).astype(np.int32), corners.max(axis=0) + 1
        one = _painted(runs, low, high)
        other = np.zeros_like(one)
        other[tuple((own - low).T)] = 1
        box = np.array([0, 0, 0, *one.shape], np.int32)
        common = int(np.count_nonzero(one & other))
        voxels = int(np.count_nonzero(one))
        yield Pair(1, (one, other), box, pair.spacing_mm, voxels, len(own), common)


def components(words: np.ndarray, connectivity: int) -> Instances:
    """Return the components of a bit mask."""
    found = masks.runs(words)
    roots = masks.components(found, words.shape[1], connectivity)
    first = roots == np.arange(len(roots))
    numbers = (np.cumsum(first) - 1)[roots]
    return Instances(found, numbers, int(first.sum()), words.shape[1])


def _by_label(labels: np.ndarray) -> Instances:
    rows, starts, stops, values = masks.label_runs(labels)
    ids, numbers = np.unique(values, return_inverse=True)
    return Instances((rows, starts, stops), numbers, len(ids), labels.shape[1])


def overlaps(one: Instances, other: Instances) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of instances that share voxels, sorted, and how many they share."""
    pairs = masks.shared_runs(one.found, one.numbers, other.found, other.numbers)
    wide = max(other.count, 1)
    keys, place = np.unique(pairs[:, 0] * wide + pairs[:, 1], return_inverse=True)
    return keys // wide, keys % wide, _sums(place, pairs[:, 2], len(keys))


def _dilated_table(pair: Pair, connectivity: int, dilation: int) -> Table:
    """Return the table of lesions: components whose dilations are one 26-connected component."""
    reach = np.repeat([-dilation, dilation], 3)
    box = np.clip(pair.box + reach, 0, np.tile(pair.maps[0].shape, 2)).astype(np.int32)
    words = [masks.bits(labels, pair.label, box) for labels in pair.maps]
    zones = components(_dilated(words[0], box[3:] - box[:3], dilation), 26)
    parts, answer = (components(side, connectivity) for side in words)
    zone, part, _ = overlaps(zones, parts)
    zone_of = np.zeros(parts.count, np.int64)
    zone_of[part] = zone
    truth = Instances(parts.found, zone_of[parts.numbers], zones.count, parts.height)
    of_truth, of_answer, _ = overlaps(zones, answer)
    return Table(truth, answer, of_truth, of_answer, _common(truth, answer, of_truth, of_answer))


def _common(
    truth: Instances, answer: Instances, of_truth: np.ndarray, of_answer: np.ndarray
) -> np.ndarray:
    """Return the voxels that each of these pairs shares; all that share any are among them."""
    wide = max(answer.count, 1)
    sharing_truth, sharing_answer, voxels = overlaps(truth, answer)
    common = np.zeros(len(of_truth), np.int64)
    keys = of_truth * wide + of_answer
    common[np.searchsorted(keys, sharing_truth * wide + sharing_answer)] = voxels
    return common


def _dilated(words: np.ndarray, shape: np.ndarray, times: int) -> np.ndarray:
    """Return bits dilated by the 18-neighbourhood, so many times, within a box of this shape."""
    reach = np.arange(-times, times + 1)
    dz, dy = (axis.ravel() for axis in np.meshgrid(reach, reach, indexing="ij"))
    half = np.minimum(times, 2 * times - abs(dz) - abs(dy))
    grown = masks.spread(masks.dilated(words, times), np.stack([dz, dy, half], axis=1))
    depth, height, width = (int(n) for n in shape)
    grown[depth:], grown[:, height:] = 0, 0
    return grown & masks.packed(np.arange(words.shape[2] * 64) < width)


def _painted(runs: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    mask = np.zeros(high - low, np.uint8)
    masks.paint(runs, low, mask)
    return mask


def _sums(numbers: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(numbers, weights=values, minlength=count).astype(np.int64)
