"""Where a simulated user clicks next.

Rule `largest_error` is the reference evaluation's (CVPR 2025, CVPR25_iter_eval.py at commit
748e862): per label, the centre of the largest error. It gives the reference's clicks exactly,
because it does the same on integers: the largest 26-connected component, the first in C order of
several; its voxels with the largest distance to the outside, found without a distance map (see
`segarena.masks`; the reference's distances are square roots of integers, so equal ones are equal in
both); one of them, in C order, drawn with numpy's legacy generator reseeded at every click.

Above 60 million voxels in the padded crop the reference halves the crop before it measures
distances. That branch is kept with its quirks: the halved cells depend on the parity of the
padding, and boxes thinner than 8 voxels, padded by one, lose the rim of zeros on one or both sides.
"""

import functools
from collections.abc import Sequence

import numpy as np

from segarena import masks

Click = tuple[int, int, int, str]

LARGEST_VOLUME = 60_000_000
"""Voxels of the padded crop above which the reference halves it."""


def largest_error(
    gts: np.ndarray, segs: np.ndarray, *, seed: int, labels: Sequence[int] | None = None
) -> list[Click | None]:
    """Return the next click of every label of the truth, in the order of the sorted labels.

    gts, segs: label maps (D, H, W), 0 is background. labels: in place of those of the truth. A
    click is (z, y, x, kind): "fg" where the answer lacks the label, "bg" where it has it in excess;
    None where the label has no error.
    """
    truth, answer = masks.comparable(gts, segs)
    found = masks.tally(truth, answer, labels)
    return [
        _click(truth, answer, label, box, seed) if box[3] else None
        for label, box in zip(found.labels, found.error_box, strict=True)
    ]


def lesion_by_lesion(gts: np.ndarray, segs: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """Return the answer as a user sees it who goes for lesions one after the other.

    A lesion is a 26-connected component. For each label the map has no error but the lesions of the
    truth of which the answer has no voxel; if there are none, but the answer's that have no voxel
    of the truth; if there are none either, all errors.
    """
    from scipy import ndimage

    seen = gts.astype(np.result_type(gts, segs))
    for label in labels:
        truth, answer = gts == label, segs == label
        missed = _untouched(ndimage.label(truth, np.ones((3, 3, 3)))[0], answer)
        false = _untouched(ndimage.label(answer, np.ones((3, 3, 3)))[0], truth)
        if not missed.any() and not false.any():
            missed, false = truth & ~answer, answer & ~truth
        elif missed.any():
            false[...] = False
        seen[missed] = 0
        seen[false & (gts == 0)] = label
    return seen


def _untouched(components: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return where the components are that share no voxel with a mask."""
    touched = np.bincount(components[other], minlength=components.max() + 1) > 0
    touched[0] = True
    return ~touched[components]


def _click(
    truth: np.ndarray, answer: np.ndarray, label: int, box: np.ndarray, seed: int
) -> Click | None:
    error = masks.bits(truth, label, box) ^ masks.bits(answer, label, box)
    shape = error.shape[0], error.shape[1], error.shape[2] * 64
    largest, extent = masks.largest_component(masks.runs(error), shape[1])
    size = extent[3:] - extent[:3]
    padding = np.maximum(size // 4, 1)
    if np.prod(size + 2 * padding) > LARGEST_VOLUME:
        centres = _halved_centres(largest, shape[1], extent, padding)
    else:
        radius = int((size.min() + 1) // 2)
        centres = masks.deepest(largest, shape, radius=radius, open_beyond=False)
    row, x = _drawn(centres, seed)
    z, y, x = (int(v) for v in (row // shape[1] + box[0], row % shape[1] + box[1], x + box[2]))
    return z, y, x, "fg" if truth[z, y, x] == label else "bg"


def _drawn(stretches: np.ndarray, seed: int) -> tuple[int, int]:
    """Draw one voxel (row, x) of the stretches (row, start, stop)."""
    ends = np.cumsum(stretches[:, 2] - stretches[:, 1])
    drawn = _choice(int(ends[-1]), seed)
    which = int(np.searchsorted(ends, drawn, side="right"))
    row, _, stop = stretches[which]
    return int(row), int(stop - (ends[which] - drawn))


@functools.lru_cache(maxsize=4096)
def _choice(count: int, seed: int) -> int:
    """Draw as the reference does: the generator is reseeded for every draw."""
    return int(np.random.RandomState(seed).choice(count))


def _halved_centres(
    largest: masks.Runs, height: int, extent: np.ndarray, padding: np.ndarray
) -> np.ndarray:
    """Return (row, start, stop) of the voxels in the deepest cells of the halved crop."""
    size = extent[3:] - extent[:3]
    cells = np.zeros((size + 2 * padding + 1) // 2, np.uint8)
    masks.mark_cells(largest, height, extent[:3] - padding, cells)
    if cells.all():
        depth = _depth_without_outside(cells)
        deep = (depth == depth.max()).astype(np.uint8)
    else:
        everything = np.array([0, 0, 0, *cells.shape])
        words = np.ascontiguousarray(masks.bits(cells, 1, everything)[:-1, :-1])
        rimmed = np.array(cells.shape)[padding > 1]
        radius = int(rimmed.min() + 1) // 2 if len(rimmed) else sum(cells.shape)
        stretches = masks.deepest(masks.runs(words), cells.shape, radius=radius, open_beyond=True)
        deep = np.zeros_like(cells)
        for row, start, stop in stretches:
            deep[row // cells.shape[1], row % cells.shape[1], start:stop] = 1
    return masks.within_cells(largest, height, extent[:3] - padding, deep)


def _depth_without_outside(cells: np.ndarray) -> np.ndarray:
    """Return what scipy makes of a volume without a zero, as the reference hands it over."""
    from scipy import ndimage

    return ndimage.distance_transform_edt(cells)
