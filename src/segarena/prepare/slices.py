"""2D cases from 3D ones: one slice a label, each a binary case of its own.

Benchmarks of 2D interactive segmentation use volumes slice by slice: of each label the slice on
which it is largest (or the middle one), as a picture of one structure. Such a case is CASE__LABEL,
by the label's id, and has D = 1 and the label 1, so a submission that takes (D, H, W) takes it, and
every later stage treats it as any other case. Its truth remembers where the slice was, so an answer
goes back.

Padding and resizing are for networks of a fixed input size: the slice is padded with 0 to a square,
centred, then resized, the image bilinearly (averaging where it shrinks) and the label by the
nearest pixel.
"""

from dataclasses import replace

import numpy as np
from PIL import Image as Pillow

from segarena.case import Image, Place, Truth
from segarena.errors import CaseError
from segarena.prepare.boxes import boxes_of

AXES = {"z": 0, "y": 1, "x": 2}


def slice_name(case: str, label: int) -> str:
    """Return the name of the slice case of a label, given by its id."""
    return f"{case}__{label}"


def slice_case(
    image: Image,
    truth: Truth,
    label: int,
    *,
    case: str,
    seed: int,
    rule: str = "largest",
    axis: str = "z",
    size: int | None = None,
) -> tuple[Image, Truth]:
    """Return one label's slice as a binary case with D = 1.

    label: its id, as `Truth.ids` has it. rule and axis: see `slice_index`. size: None leaves the
    slice as it is, N makes it N by N. The
    box is drawn again on the slice, where the volume has boxes. Spacing is (across, row, column),
    in mm, and grows as pixels do. Raises CaseError where the label is not in the truth, or vanishes
    at that size.
    """
    number = {label_id: number for number, label_id in truth.ids.items()}.get(label)
    mask = truth.gts == number
    if number is None or not mask.any():
        raise CaseError(f"{case}: has no label {label}: choose among {list(truth.ids.values())}")
    across = AXES[axis]
    index = slice_index(mask, rule=rule, axis=axis)
    imgs = np.take(image.imgs, index, across)
    maps = [mask, *(one == number for one in (truth.raters or {}).values())]
    gts, *rated = (np.take(one, index, across).astype(np.uint8) for one in maps)
    spacing = [image.spacing_mm[across], *np.delete(image.spacing_mm, across).tolist()]
    if size is not None:
        spacing[1:] = [mm * max(gts.shape) / size for mm in spacing[1:]]
        imgs, gts = _linear(_squared(imgs), size), _nearest(_squared(gts), size)
        rated = [_nearest(_squared(one), size) for one in rated]
    if not gts.any():
        raise CaseError(f"{case}: label {label} vanishes at {size} by {size} pixels: use more")
    gts = gts[np.newaxis]
    name = slice_name(case, label)
    boxes = None if image.boxes is None else boxes_of(gts, case=name, seed=seed)
    depth, height, width = truth.gts.shape
    raters = None
    if truth.raters:
        raters = {name: one[np.newaxis] for name, one in zip(truth.raters, rated, strict=True)}
    spacing_mm = spacing[0], spacing[1], spacing[2]
    return (
        Image(imgs[np.newaxis], spacing_mm, boxes, image.spacing_order),
        replace(
            truth,
            gts=gts,
            label_ids={1: label},
            place=Place((depth, height, width), across, index),
            spacing_mm=spacing_mm,
            raters=raters,
        ),
    )


def slice_index(mask: np.ndarray, *, rule: str = "largest", axis: str = "z") -> int:
    """Return the slice across `axis` ('z', 'y' or 'x') that shows a mask (D, H, W), not empty.

    'largest': where it has the most pixels, the lowest index of several. 'middle': the middle one
    of the slices that hold it, as for the box.
    """
    areas = np.moveaxis(mask, AXES[axis], 0).sum(axis=(1, 2))
    if rule == "largest":
        return int(areas.argmax())
    holding = np.flatnonzero(areas)
    return int(holding[len(holding) // 2])


def put_back(segs: np.ndarray, place: Place) -> np.ndarray:
    """Return the answer (1, H, W) to a slice case in its place in a volume of zeros (D, H, W)."""
    rows, columns = np.delete(place.shape, place.axis)
    answer = segs[0]
    if answer.shape != (rows, columns):
        side = int(max(rows, columns))
        top, left = (side - rows) // 2, (side - columns) // 2
        answer = _nearest(answer, side)[top : top + rows, left : left + columns]
    volume = np.zeros(place.shape, segs.dtype)
    np.moveaxis(volume, place.axis, 0)[place.index] = answer
    return volume


def _squared(pixels: np.ndarray) -> np.ndarray:
    side = max(pixels.shape[:2])
    before = [(side - n) // 2 for n in pixels.shape[:2]]
    widths = [(b, side - n - b) for b, n in zip(before, pixels.shape[:2], strict=True)]
    return np.pad(pixels, [*widths, *[(0, 0)] * (pixels.ndim - 2)])


def _linear(pixels: np.ndarray, size: int) -> np.ndarray:
    resized = Pillow.fromarray(pixels).resize((size, size), Pillow.Resampling.BILINEAR)
    return np.asarray(resized)


def _nearest(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize a square of any dtype, each pixel from the one under its centre."""
    source = ((np.arange(size) + 0.5) * len(pixels) / size).astype(int)
    return pixels[np.ix_(source, source)]
