"""The user of the number-of-clicks evaluation: where it clicks next, and when it is satisfied.

The rule is that of RITM (Sofiiuk, Petrov and Konushin, 2021; isegm/inference/clicker.py of
SamsungLabs/ritm_interactive_segmentation at commit b9b4460), which EMC-Click and its medical forks
kept: click the voxel that lies deepest inside the missed or the wrongly added area. The same rule
is used here in a volume, per label.

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

Voxel = Sequence[int] | np.ndarray
Box = tuple[slice, slice, slice]
Click = tuple[int, int, int, Literal["fg", "bg"]]
Clicks = Mapping[str, Iterable[Voxel]]

_NOWHERE = (slice(0, 1), slice(0, 1), slice(0, 1))


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
    background; here there is no click.
    """
    return _click(gts_mask, segs_mask, clicked, ignore, in_plane=gts_mask.shape[0] == 1)


def ritm(
    gts: np.ndarray,
    segs: np.ndarray,
    previous_clicks: Sequence[Clicks] | None = None,
    *,
    ignore_label: int | None = None,
    labels: Sequence[int] = (),
) -> list[Click | None]:
    """Return the next click of each label of the truth, in the order of the sorted labels.

    `gts`, `segs`: label maps (D, H, W). `previous_clicks`: the clicks so far, per label
    {'fg': [[z, y, x], ...], 'bg': [...]}; None before the first click. `ignore_label`: voxels that
    hold it in the truth are no error for any label. `labels`: see `label_boxes`.
    """
    boxes = label_boxes(gts, segs, ignore_label=ignore_label, labels=labels)
    earlier: Sequence[Clicks] = previous_clicks or [{} for _ in boxes]
    result: list[Click | None] = []
    for (label, box), clicks in zip(boxes.items(), earlier, strict=True):
        start = [side.start for side in box]
        click = _click(
            gts[box] == label,
            segs[box] == label,
            [np.subtract(voxel, start) for kind in ("fg", "bg") for voxel in clicks.get(kind, ())],
            None if ignore_label is None else gts[box] == ignore_label,
            in_plane=gts.shape[0] == 1,
        )
        if click is not None:
            z, y, x = (c + s for c, s in zip(click[:3], start, strict=True))
            click = z, y, x, click[3]
        result.append(click)
    return result


def satisfied(
    gts: np.ndarray,
    segs: np.ndarray,
    stop_when: Mapping[str, float],
    *,
    ignore_label: int | None = None,
    labels: Sequence[int] = (),
) -> bool:
    """Return whether the answer is good enough that the user asks for no more.

    `stop_when`: {'iou': q}; satisfied once every label of the truth has an IoU of at least q, and
    those of `labels` that the truth does not have are not in the answer.
    """
    boxes = label_boxes(gts, segs, ignore_label=ignore_label, labels=labels)
    for label, box in boxes.items():
        counted = None if ignore_label is None else gts[box] != ignore_label
        if _iou(gts[box] == label, segs[box] == label, counted) < stop_when["iou"]:
            return False
    return True


def label_boxes(
    gts: np.ndarray,
    segs: np.ndarray | None = None,
    *,
    ignore_label: int | None = None,
    labels: Sequence[int] = (),
) -> dict[int, Box]:
    """Return, for each label of the truth, the box that holds it in truth and answer, sorted.

    `labels`: further labels; one that neither has gets the first voxel. One pass over each map, so
    that what follows works on boxes instead of whole volumes.
    """
    from scipy import ndimage

    in_truth = dict(enumerate(ndimage.find_objects(gts), start=1))
    # An answer may hold any number, and find_objects makes room for each up to the largest.
    largest = max([1, *in_truth, *labels])
    in_answer = [] if segs is None else ndimage.find_objects(segs, max_label=largest)
    there = {label for label, box in in_truth.items() if box is not None and label != ignore_label}
    boxes = {}
    for label in sorted(there.union(labels)):
        box = in_truth.get(label)
        other = in_answer[label - 1] if label <= len(in_answer) else None
        if box is not None and other is not None:
            boxes[label] = _around(box, other)
        else:
            boxes[label] = box or other or _NOWHERE
    return boxes


def _around(one: Box, other: Box) -> Box:
    z, y, x = (
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )
    return z, y, x


def _click(
    gts_mask: np.ndarray,
    segs_mask: np.ndarray,
    clicked: Iterable[Voxel],
    ignore: np.ndarray | None,
    *,
    in_plane: bool,
) -> Click | None:
    missed = gts_mask & ~segs_mask
    added = segs_mask & ~gts_mask
    if ignore is not None:
        missed &= ~ignore
        added &= ~ignore
    clicked = list(clicked)
    missed_depth, missed_at = _deepest(missed, clicked, in_plane=in_plane)
    added_depth, added_at = _deepest(added, clicked, in_plane=in_plane)
    if missed_depth > added_depth:
        return (*missed_at, "fg")
    return (*added_at, "bg") if added_depth > 0 else None


def _iou(gts_mask: np.ndarray, segs_mask: np.ndarray, counted: np.ndarray | None) -> float:
    both, either = gts_mask & segs_mask, gts_mask | segs_mask
    if counted is not None:
        both, either = both & counted, either & counted
    voxels = np.count_nonzero(either)
    return float(np.count_nonzero(both) / voxels) if voxels else 1.0


def _deepest(
    error: np.ndarray, clicked: Iterable[Voxel], *, in_plane: bool
) -> tuple[float, tuple[int, int, int]]:
    """Return the depth and the place of the deepest voxel of an error that was not clicked yet."""
    from scipy import ndimage

    boxes = ndimage.find_objects(error.view(np.uint8))
    if not boxes:
        return 0.0, (0, 0, 0)
    (box,) = boxes
    rim = ((0, 0) if in_plane else (1, 1), (1, 1), (1, 1))
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
