"""Surfaces of label masks, made of marching-cubes elements, and what lies within a tolerance.

A surface element sits at a voxel corner; the eight voxels around it give its code, and the code
its area. Which triangles a code stands for is the table of the reference evaluation (made with
marching cubes for DeepMind's surface-distance). Only areas matter here, so signs of normals do not,
and the areas turn out to be the same for all codes that reflections, permutations of the axes and
the exchange of inside and outside carry into each other: 13 codes stand for all 254.
"""

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np

from segarena import masks
from segarena.score.pair import Pair, Spacing

WIDEST = 32
"""Half width in voxels of the widest tolerance ball that is laid on bits."""

MOST_ROWS = 4000
"""Rows of the largest tolerance ball that is laid on bits."""


CORNERS = tuple(itertools.product((0, 1), repeat=3))
"""Offsets (z, y, x) of the eight voxels of a code, from its highest bit to its lowest."""

_NORMALS = {
    0b00000001: [(1, 1, 1)],
    0b00000011: [(2, 2, 0)] * 2,
    0b00000110: [(1, 1, 1)] * 2,
    0b00011000: [(1, 1, 1)] * 2,
    0b00000111: [(4, 0, 0), (2, 2, 2), (1, 1, 1)],
    0b00011001: [(0, 2, 2)] * 2 + [(1, 1, 1)],
    0b00010110: [(1, 1, 1)] * 3,
    0b00001111: [(4, 0, 0)] * 2,
    0b00010111: [(2, 2, 2)] * 2 + [(1, 1, 1)] * 2,
    0b00011011: [(0, 2, 2), (2, 0, 2), (3, 3, 3), (1, 1, 1)],
    0b00011110: [(4, 0, 0), (2, 2, 2)] + [(1, 1, 1)] * 2,
    0b00111100: [(2, 2, 0)] * 4,
    0b01101001: [(1, 1, 1)] * 4,
}
"""Absolute normals (z, y, x) of a code's triangles in eighths of a voxel face."""


@functools.lru_cache(maxsize=64)
def element_areas(spacing_mm: tuple[float, ...]) -> np.ndarray:
    """Return the area in mm2 of the surface element of each of the 256 codes.

    spacing_mm: (z, y, x). Code 0 and 255 have no surface and the area 0.
    """
    z, y, x = (float(s) for s in spacing_mm)
    faces = np.array([y * x, z * x, z * y])
    areas = np.zeros(256)
    for code, normals in _all_normals().items():
        areas[code] = sum(np.linalg.norm(np.array(normal) / 8 * faces) for normal in normals)
    return areas


@functools.cache
def _all_normals() -> dict[int, list[tuple[int, ...]]]:
    """Carry the normals of the 13 codes to all codes that are the same but for symmetry."""
    table = {}
    for code, normals in _NORMALS.items():
        for order in itertools.permutations(range(3)):
            turned = [tuple(normal[axis] for axis in order) for normal in normals]
            for flips in CORNERS:
                image = _moved(code, order, flips)
                table[image] = table[255 - image] = turned
    return table


def _moved(code: int, order: tuple[int, ...], flips: tuple[int, ...]) -> int:
    image = 0
    for bit, corner in enumerate(reversed(CORNERS)):
        if code >> bit & 1:
            z, y, x = (corner[axis] ^ flip for axis, flip in zip(order, flips, strict=True))
            image |= 1 << (7 - (4 * z + 2 * y + x))
    return image


@dataclass(frozen=True)
class Kind:
    """What a surface is made of.

    points: "elements" (marching-cubes elements at voxel corners, weighted by their area) or
    "voxels" (the mask's voxels with a neighbour outside it, each weighing the same). dimensions: 2
    takes a single slice for itself, its contours being the surface; 3 takes it for a slab.
    """

    points: str
    dimensions: int

    @property
    def flat(self) -> bool:
        """Whether a single slice is seen by itself."""
        return self.dimensions == 2


@dataclass(frozen=True)
class Distances:
    """From every point of one surface to the other, sorted: mm, and what each point weighs."""

    millimetres: np.ndarray
    weights: np.ndarray

    @property
    def mean(self) -> float:
        """The mean, by weight."""
        return float(self.millimetres @ self.weights / self.weights.sum())

    def percentile(self, percent: float, *, interpolation: str) -> float:
        """Return a percentile.

        interpolation: "none", the first distance at which the weights up to it make up the
        percentage; "linear", numpy's way, which knows no weights.
        """
        if interpolation == "linear":
            return float(np.percentile(self.millimetres, percent))
        share = np.cumsum(self.weights) / self.weights.sum()
        place = np.searchsorted(share, percent / 100)
        return float(self.millimetres[min(int(place), len(share) - 1)])


def kind_for(pair: Pair, points: str, dimensions: str) -> Kind:
    """Return the kind of surface that a metric's parameters mean for this pair."""
    return Kind(points, pair.dimensions if dimensions == "auto" else int(dimensions))


def surfaces(pair: Pair, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """Return the bits of the points of both surfaces: truth, answer."""
    if kind not in pair.cache:
        find = masks.surface if kind.points == "elements" else masks.border
        pair.cache[kind] = tuple(find(words, kind.flat) for words in pair.words)
    return pair.cache[kind]


def distances(pair: Pair, kind: Kind) -> tuple[Distances, Distances]:
    """Return the distances from the truth's surface to the answer's, and the other way round."""
    key = ("distances", kind)
    if key not in pair.cache:
        truth, answer = surfaces(pair, kind)
        pair.cache[key] = (
            _distances(pair, kind, pair.words[0], truth, answer),
            _distances(pair, kind, pair.words[1], answer, truth),
        )
    return pair.cache[key]


def pooled(both: tuple[Distances, Distances]) -> Distances:
    """Return the distances of both directions as one."""
    millimetres = np.concatenate([one.millimetres for one in both])
    weights = np.concatenate([one.weights for one in both])
    order = np.argsort(millimetres, kind="stable")
    return Distances(millimetres[order], weights[order])


def _distances(
    pair: Pair, kind: Kind, words: np.ndarray, here: np.ndarray, there: np.ndarray
) -> Distances:
    millimetres = masks.distances(masks.places(here), there, pair.spacing_mm)
    if kind.points == "elements":
        weights = _areas(pair, kind)[masks.codes(words, here, kind.flat)]
    else:
        weights = np.ones(len(millimetres))
    order = np.argsort(millimetres, kind="stable")
    return Distances(millimetres[order], weights[order])


def _areas(pair: Pair, kind: Kind) -> np.ndarray:
    """Return the weight of each code: area, or length where a slice is seen by itself.

    A contour is a surface 1 mm high, so its length is that surface's area.
    """
    return element_areas((1.0, *pair.spacing_mm[1:]) if kind.flat else pair.spacing_mm)


def nsd(pair: Pair, kind: Kind, *, tolerance_mm: float) -> float:
    """Return the share of both surfaces that lies within the tolerance of the other surface.

    Elements are counted by code, so the sum is the same whatever their order.
    """
    if pair.truth_voxels == pair.answer_voxels == pair.common_voxels:
        return 1.0
    truth, answer = surfaces(pair, kind)
    close = (
        close_bits(truth, answer, pair.spacing_mm, tolerance_mm),
        close_bits(answer, truth, pair.spacing_mm, tolerance_mm),
    )
    if kind.points == "voxels":
        within = sum(int(np.bitwise_count(bits).sum()) for bits in close)
        return within / sum(int(np.bitwise_count(bits).sum()) for bits in (truth, answer))
    counts = masks.count_codes(pair.words[0], truth, close[0], kind.flat)
    counts += masks.count_codes(pair.words[1], answer, close[1], kind.flat)
    apart, near = counts @ _areas(pair, kind)
    return float(near / (apart + near))


def close_bits(
    here: np.ndarray, there: np.ndarray, spacing_mm: Spacing, tolerance_mm: float
) -> np.ndarray:
    """Return the bits of one mask that lie within the tolerance of a bit of another.

    A distance is what scipy's distance transform makes of it in float64, so that points exactly at
    the tolerance count as they do in the reference. A tolerance of very many voxels, for which bits
    would be slow, is left to scipy itself. `there` must have a bit.
    """
    reach = (here.shape[0], here.shape[1], here.shape[2] * 64)
    if _millimetres(*reach, spacing_mm) <= tolerance_mm:
        return here
    ball = _ball(spacing_mm, tolerance_mm)
    if ball is None:
        return _close_by_distance(here, there, spacing_mm, tolerance_mm)
    return masks.near(here, masks.dilated(there, int(ball[0, 2])), ball)


def _millimetres(dz: int, dy: int, dx: int, spacing_mm: Spacing) -> float:
    """Return a distance as scipy computes it: multiply, square, add in the order of the axes."""
    z, y, x = dz * spacing_mm[0], dy * spacing_mm[1], dx * spacing_mm[2]
    return math.sqrt(z * z + y * y + x * x)


@functools.lru_cache(maxsize=64)
def _ball(spacing_mm: Spacing, tolerance_mm: float) -> np.ndarray | None:
    """Return (dz, dy, half width) of the ball's rows, nearest first; None for too large a ball."""
    most = [int(tolerance_mm / spacing) + 1 for spacing in spacing_mm]
    if most[2] > WIDEST or (2 * most[0] + 1) * (2 * most[1] + 1) > MOST_ROWS:
        return None
    rows = []
    for dz in range(-most[0], most[0] + 1):
        for dy in range(-most[1], most[1] + 1):
            halves = [
                dx
                for dx in range(most[2] + 1)
                if _millimetres(dz, dy, dx, spacing_mm) <= tolerance_mm
            ]
            if halves:
                rows.append((_millimetres(dz, dy, 0, spacing_mm), dz, dy, halves[-1]))
    return np.array([row[1:] for row in sorted(rows)], np.int32)


def _close_by_distance(
    here: np.ndarray, there: np.ndarray, spacing_mm: Spacing, tolerance_mm: float
) -> np.ndarray:
    from scipy import ndimage

    away = ndimage.distance_transform_edt(~masks.unpacked(there), sampling=spacing_mm)
    return here & masks.packed(away <= tolerance_mm)
