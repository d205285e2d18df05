"""Surfaces of label masks, made of marching-cubes elements, and what lies within a tolerance.

A surface element sits at a voxel corner; the eight voxels around it give its code, and the code
its area. Which triangles a code stands for is the table of the reference evaluation (made with
marching cubes for DeepMind's surface-distance). Only areas matter here, so signs of normals do not,
and the areas turn out to be the same for all codes that reflections, permutations of the axes and
the exchange of inside and outside carry into each other: 13 codes stand for all 254.
"""

import functools
import itertools

import numpy as np

from segarena.score.pair import Pair

WEIGHTS = np.array([[[128, 64], [32, 16]], [[8, 4], [2, 1]]])

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


def nsd(pair: Pair, tolerance_mm: float) -> float:
    """Return the share of both surfaces that lies within the tolerance of the other surface."""
    from scipy import ndimage

    areas = element_areas(pair.spacing_mm)
    codes = [
        ndimage.correlate(np.pad(mask.astype(np.uint8), [(0, 1)] * 3), WEIGHTS, mode="constant")
        for mask in (pair.truth, pair.answer)
    ]
    borders = [(code > 0) & (code < 255) for code in codes]
    distances = [
        ndimage.distance_transform_edt(~border, sampling=pair.spacing_mm) for border in borders
    ]
    within = total = 0.0
    for code, border, other in zip(codes, borders, reversed(distances), strict=True):
        total += areas[code[border]].sum()
        within += areas[code[border & (other <= tolerance_mm)]].sum()
    return within / total
