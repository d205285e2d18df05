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

import numpy as np

from segarena import masks
from segarena.score.pair import Pair, Side

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


def nsd(pair: Pair, *, tolerance_mm: float, dimensions: int) -> float:
    """Return the share of both surfaces' area that lies within the tolerance of the other surface.

    Elements are counted by code, so the sum is the same whatever their order.
    """
    truth, answer = pair.sides(dimensions)
    spacing_mm = pair.spacing_mm if dimensions == 3 else (1.0, *pair.spacing_mm[1:])
    areas = element_areas(spacing_mm)
    counts = truth.codes(close_corners(truth, answer, pair.spacing_mm, tolerance_mm))
    counts += answer.codes(close_corners(answer, truth, pair.spacing_mm, tolerance_mm))
    apart, close = counts @ areas
    return float(close / (apart + close))


def close_corners(
    side: Side, other: Side, spacing_mm: tuple[float, float, float], tolerance_mm: float
) -> np.ndarray:
    """Return the bits of a side's surface elements within the tolerance of the other's surface.

    A distance is what scipy's distance transform makes of it in float64, so that elements exactly
    at the tolerance count as they do in the reference. A tolerance of very many voxels, for which
    bits would be slow, is left to scipy itself.
    """
    words = side.corners
    reach = (words.shape[0], words.shape[1], words.shape[2] * 64)
    if _millimetres(*reach, spacing_mm) <= tolerance_mm:
        return words
    ball = _ball(spacing_mm, tolerance_mm)
    if ball is None:
        return _close_by_distance(side, other, spacing_mm, tolerance_mm)
    return masks.near(words, masks.dilated(other.corners, int(ball[0, 2])), ball)


def _millimetres(dz: int, dy: int, dx: int, spacing_mm: tuple[float, float, float]) -> float:
    """Return a distance as scipy computes it: multiply, square, add in the order of the axes."""
    z, y, x = dz * spacing_mm[0], dy * spacing_mm[1], dx * spacing_mm[2]
    return math.sqrt(z * z + y * y + x * x)


@functools.lru_cache(maxsize=64)
def _ball(spacing_mm: tuple[float, float, float], tolerance_mm: float) -> np.ndarray | None:
    """Return (dz, dy, half width) of the rows of the ball, nearest first; None if it is too large."""
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
    side: Side, other: Side, spacing_mm: tuple[float, float, float], tolerance_mm: float
) -> np.ndarray:
    from scipy import ndimage

    outside = ~masks.unpacked(other.corners)
    distances = ndimage.distance_transform_edt(outside, sampling=spacing_mm)
    return side.corners & masks.packed(distances <= tolerance_mm)
