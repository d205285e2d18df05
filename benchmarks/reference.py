"""The reference evaluation's dice, surface dice and click, written again in plain scipy and cc3d.

This is the yardstick of the benchmarks and of the fuzzed equality tests: it follows the behaviour
of the CVPR 2025 challenge's script (JunMa11/CVPR-MedSegFMCompetition, CVPR25_iter_eval.py and
SurfaceDice.py at commit 748e862) step by step, whole volumes and all, without a thought for speed.
What it gives is checked against the golden numbers in tests/data/reference. The areas of the
surface elements come from `segarena.score.surface`, which tests check against closed forms.
"""

import cc3d
import numpy as np
from scipy import ndimage

from segarena.score.surface import element_areas

LARGEST_VOLUME = 60_000_000
"""Voxels of the padded crop above which the reference halves it before the distance transform."""

CORNER_WEIGHTS = np.array([[[128, 64], [32, 16]], [[8, 4], [2, 1]]])


def labels_of(truth: np.ndarray) -> list[int]:
    """Return the labels of a truth, sorted, without the background."""
    return [int(label) for label in np.unique(truth) if label != 0]


def dice(truth: np.ndarray, answer: np.ndarray) -> float:
    """Return the Dice coefficient of two bool masks; nan when both are empty."""
    total = truth.sum() + answer.sum()
    return float(2 * (truth & answer).sum() / total) if total else float("nan")


def surface_dice(
    truth: np.ndarray, answer: np.ndarray, *, spacing_mm: tuple[float, ...], tolerance_mm: float
) -> float:
    """Return the surface dice of two bool masks; nan when both are empty."""
    here, there, areas_here, areas_there = surface_distances(truth, answer, spacing_mm)
    within = areas_here[here <= tolerance_mm].sum() + areas_there[there <= tolerance_mm].sum()
    total = areas_here.sum() + areas_there.sum()
    return float(within / total) if total else float("nan")


def surface_distances(
    truth: np.ndarray, answer: np.ndarray, spacing_mm: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return distances and areas of all surface elements: truth to answer, answer to truth.

    (distances of the truth's elements, of the answer's, areas of the truth's, of the answer's), in
    mm and mm2, each pair sorted by distance. Distances to an empty side are inf.
    """
    both = truth | answer
    if not both.any():
        nothing = np.zeros(0)
        return nothing, nothing, nothing, nothing
    where = np.nonzero(both)
    box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in where)
    areas = element_areas(spacing_mm)
    codes = [_codes(mask[box]) for mask in (truth, answer)]
    borders = [(code != 0) & (code != 255) for code in codes]
    maps = [
        ndimage.distance_transform_edt(~border, sampling=spacing_mm)
        if border.any()
        else np.full(border.shape, np.inf)
        for border in borders
    ]
    sides = []
    for border, code, other in ((borders[0], codes[0], maps[1]), (borders[1], codes[1], maps[0])):
        pairs = np.array(sorted(zip(other[border], areas[code[border]], strict=True)))
        sides.append(pairs.reshape(-1, 2))
    return sides[0][:, 0], sides[1][:, 0], sides[0][:, 1], sides[1][:, 1]


def _codes(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask.astype(np.uint8), [(0, 1)] * 3)
    return ndimage.correlate(padded, CORNER_WEIGHTS, mode="constant", cval=0)


def click(
    truth: np.ndarray, answer: np.ndarray, *, seed: int = 42, largest_volume: int = LARGEST_VOLUME
) -> tuple[int, int, int, str] | None:
    """Return the reference's next click on one label: (z, y, x, 'fg' or 'bg'), or None."""
    error = (truth != answer).astype(np.uint8)
    if not error.any():
        return None
    components = cc3d.connected_components(error, connectivity=26)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    largest = components == sizes.argmax()
    depth = _depth(largest, largest_volume) * largest
    if depth.sum() == 0:
        depth = largest.astype(np.float64)
    candidates = np.argwhere(depth == depth.max())
    drawn = np.random.RandomState(seed).choice(len(candidates))
    z, y, x = (int(v) for v in candidates[drawn])
    return z, y, x, "fg" if truth[z, y, x] else "bg"


def _depth(component: np.ndarray, largest_volume: int) -> np.ndarray:
    where = np.argwhere(component)
    low, high = where.min(axis=0), where.max(axis=0) + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    shape = high - low
    padding = np.maximum((shape * 0.25).astype(int), 1)
    padded = np.pad(component[box], [(p, p) for p in padding])
    if padded.size > largest_volume:
        even = np.pad(padded, [(0, n % 2) for n in padded.shape])
        d, h, w = (n // 2 for n in even.shape)
        halved = even.reshape(d, 2, h, 2, w, 2).max(axis=(1, 3, 5))
        distance = ndimage.distance_transform_edt(halved)
        for axis in range(3):
            distance = distance.repeat(2, axis=axis)
    else:
        distance = ndimage.distance_transform_edt(padded)
    inside = tuple(slice(p, p + n) for p, n in zip(padding, shape, strict=True))
    whole = np.zeros(component.shape)
    whole[box] = distance[inside]
    return whole
