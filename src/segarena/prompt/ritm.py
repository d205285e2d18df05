"""The user of the number-of-clicks evaluation: where he clicks next, and when he is satisfied.

The rule is that of RITM (Sofiiuk, Petrov and Konushin, 2021; isegm/inference/clicker.py of
SamsungLabs/ritm_interactive_segmentation at commit b9b4460), which EMC-Click and its medical forks
kept: click the voxel that lies deepest inside the missed or the wrongly added area. The same rule
is played here in a volume, per label.

"Exact" means that squared distances in voxels are compared as whole numbers: scipy's transform is
the correctly rounded root of such a number, so equal depths are equal and different ones differ.
The published script takes OpenCV's single-precision roots, which merge neighbouring depths only
beyond some 2000 voxels; up to there the two rules name the same click.

Only the bounding box of an error is transformed: all around it is no error, and beyond the border
of the image counts as none either, so the depths are those of the whole image.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

Voxel = Sequence[int]
Click = tuple[int, int, int, Literal["fg", "bg"]]
Clicks = Mapping[str, Iterable[Voxel]]


def ritm_click(
    gts_mask: np.ndarray,
    segs_mask: np.ndarray,
    clicked: Iterable[Voxel],
    *,
    ignore: np.ndarray | None = None,
) -> Click | None:
    """Return the next click (z, y, x, 'fg' or 'bg') on one label, or None where no error is left.

    `gts_mask`, `segs_mask` and `ignore`: boolean (D, H, W); D = 1 is an image and is measured in
    its plane. A voxel of `ignore` is no error. A voxel of `clicked` is never clicked again, but
    does not make its surroundings shallower. Foreground only if the missed part is strictly deeper
    than the added one; among equally deep voxels the first in row-major order.

    Without an error, or with all of it clicked, the published script clicks the first voxel as
    background; here nothing is said.
    """
    missed = gts_mask & ~segs_mask
    added = segs_mask & ~gts_mask
    if ignore is not None:
        missed &= ~ignore
        added &= ~ignore
    clicked = list(clicked)
    missed_depth, missed_at = _deepest(missed, clicked)
    added_depth, added_at = _deepest(added, clicked)
    if missed_depth > added_depth:
        return (*missed_at, "fg")
    return (*added_at, "bg") if added_depth > 0 else None


def ritm(
    gts: np.ndarray,
    segs: np.ndarray,
    previous_clicks: Sequence[Clicks] | None = None,
    *,
    ignore_label: int | None = None,
) -> list[Click | None]:
    """Return the next click of each label of the truth, in the order of the sorted labels.

    `gts`, `segs`: label maps (D, H, W). `previous_clicks`: what was said before, per label
    {'fg': [[z, y, x], ...], 'bg': [...]}; None before the first click. `ignore_label`: voxels that
    hold it in the truth are no error for any label.
    """
    labels = _labels(gts, ignore_label)
    ignore = None if ignore_label is None else gts == ignore_label
    said: Sequence[Clicks] = previous_clicks or [{} for _ in labels]
    return [
        ritm_click(
            gts == label,
            segs == label,
            [voxel for kind in ("fg", "bg") for voxel in clicks.get(kind, ())],
            ignore=ignore,
        )
        for label, clicks in zip(labels, said, strict=True)
    ]


def satisfied(
    gts: np.ndarray,
    segs: np.ndarray,
    stop_when: Mapping[str, float],
    *,
    ignore_label: int | None = None,
) -> bool:
    """Return whether the answer is good enough that the user asks for no more.

    `stop_when`: {'iou': q}; satisfied once every label of the truth has an IoU of at least q.
    """
    return all(
        _iou(gts == label, segs == label, None if ignore_label is None else gts != ignore_label)
        >= stop_when["iou"]
        for label in _labels(gts, ignore_label)
    )


def _labels(gts: np.ndarray, ignore_label: int | None) -> list[int]:
    return [int(v) for v in np.unique(gts) if v not in (0, ignore_label)]


def _iou(gts_mask: np.ndarray, segs_mask: np.ndarray, counted: np.ndarray | None) -> float:
    both, either = gts_mask & segs_mask, gts_mask | segs_mask
    if counted is not None:
        both, either = both & counted, either & counted
    return float(np.count_nonzero(both) / np.count_nonzero(either))


def _deepest(error: np.ndarray, clicked: Iterable[Voxel]) -> tuple[float, tuple[int, int, int]]:
    """Return the depth and the place of the deepest voxel of an error that was not clicked yet."""
    from scipy import ndimage

    if not error.any():
        return 0.0, (0, 0, 0)
    box = tuple(
        slice(int(along[0]), int(along[-1]) + 1)
        for along in (
            np.flatnonzero(error.any(axis=tuple(a for a in range(3) if a != axis)))
            for axis in range(3)
        )
    )
    rim = ((0, 0) if error.shape[0] == 1 else (1, 1), (1, 1), (1, 1))
    unpadded = tuple(
        slice(before, before + side.stop - side.start)
        for (before, _), side in zip(rim, box, strict=True)
    )
    depth = ndimage.distance_transform_edt(np.pad(error[box], rim))[unpadded]
    for voxel in clicked:
        at = tuple(v - side.start for v, side in zip(voxel, box, strict=True))
        if all(0 <= a < size for a, size in zip(at, depth.shape, strict=True)):
            depth[at] = 0
    first = np.unravel_index(int(depth.argmax()), depth.shape)
    z, y, x = (int(f) + side.start for f, side in zip(first, box, strict=True))
    return float(depth[first[0], first[1], first[2]]), (z, y, x)
