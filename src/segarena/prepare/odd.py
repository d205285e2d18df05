"""What a case's values say about themselves: warnings for what is probably a mistake.

Nothing here is certain, so nothing is rejected: a case is used as it is, and a person who reads
the warning knows whether it is meant.
"""

import math
import re
from collections.abc import Iterator

import numpy as np

from segarena.case import Image
from segarena.prepare.window import PRESETS

_CT_NAMES = frozenset(("CT", "CTA", "CTP", "CECT", "NECT", "NCCT", "LDCT", "CBCT", "HRCT", "MDCT"))
_AIR_HU = -900  # so low no image but CT usually goes
_NEARLY_AIR_HU = -800  # and so low every CT goes that shows air or lung
_SOFT_TISSUE_HU = (-200, 300)  # fat, organs, blood, also with contrast
_LEAST_SOFT_TISSUE = 0.005
_ONE_VALUE = 0.995  # a share of all voxels above which hardly anything is left to see

_ALIKE = 0.02  # spacings within a slice differ by no more

# A soft mask's in-between values are thin, and most of their voxels have a lower and a higher
# neighbour. Real labels have an inside, or background on both sides.
_FEWEST_SOFT_LABELS = 4
_MOSTLY_BETWEEN = 0.5


def odd_intensities(
    values: np.ndarray, imgs: np.ndarray, *, modality: str | None, window: str | None
) -> Iterator[str]:
    """Say what is odd about grey values (D, H, W), and about what became of them.

    imgs: uint8, what submissions see. modality and window: as the sheet of cases has them.
    """
    lowest = values.min()
    if lowest == values.max():
        yield "every voxel has the same value"
        return
    named = (modality or "").strip().upper()
    if named == "CT" or (window or "").strip().lower() in PRESETS:
        yield from _not_in_hu(values, float(lowest))
    elif window is None and _CT_NAMES.intersection(re.split("[^A-Z]+", named)):
        yield (
            f"its modality {modality!r} is not taken as CT: write CT, or give it a window, in the"
            " sheet of cases; percentiles are used"
        )
    elif window is None and lowest <= _AIR_HU:
        yield (
            f"holds values down to {lowest:g}: if it is CT, give it the modality CT in the sheet"
            " of cases; percentiles are used"
        )
    counts = np.bincount(imgs.ravel(), minlength=256)
    if window is None and named != "CT":
        counts[0] -= np.count_nonzero(values == 0)  # they stay 0: the usual background
    shown = int(counts.argmax())
    share = counts[shown] / imgs.size
    if shown in (0, 255) and share > _ONE_VALUE:
        yield (
            f"{share:.1%} of its voxels become {shown}, so little can be seen: look at it, and give"
            " it a window in the sheet of cases"
        )


def _not_in_hu(values: np.ndarray, lowest: float) -> Iterator[str]:
    if lowest > _NEARLY_AIR_HU:
        yield (
            f"shown as CT, but no voxel is near air (-1000), the lowest is {lowest:g}: are these"
            " HU? (stored values often are HU + 1024)"
        )
        return
    low, high = _SOFT_TISSUE_HU
    soft = sum(int(np.count_nonzero((plane >= low) & (plane <= high))) for plane in values)
    if soft < _LEAST_SOFT_TISSUE * values.size:
        yield (
            f"shown as CT, but {soft / values.size:.1%} of the voxels are soft tissue"
            f" ({low} to {high}): are these HU?"
        )


def odd_spacing(image: Image) -> Iterator[str]:
    """Say where a ready-made case's spacing is probably in the other order.

    Pixels within a slice are nearly always squares, and slices are farther apart than pixels.
    """
    z, y, x = image.spacing_mm
    if math.isclose(z, y, rel_tol=_ALIKE) and x > (1 + _ALIKE) * y:
        order = image.spacing_order
        stored = (z, y, x) if order == "zyx" else (x, y, z)
        yield (
            f"its spacing, {', '.join(f'{mm:g}' for mm in stored)}, is read as"
            f" ({', '.join(order)}), but looks like"
            f" ({', '.join(reversed(order))}): see cases.npz_spacing"
        )


def odd_labels(gts: np.ndarray) -> Iterator[str]:
    """Say where a label map (D, H, W) looks like a mask whose soft edges became labels."""
    from scipy import ndimage  # half a second, which a plan does not need

    labels = np.unique(gts)
    labels = labels[labels != 0]
    if len(labels) < _FEWEST_SOFT_LABELS:
        return
    thin = np.ones(int(labels.max()) + 1, bool)
    thin[0] = False
    for plane in gts:
        thin[_inner(plane)] = False
    thin_labels = labels[thin[labels]]
    if 2 * len(thin_labels) <= len(labels):
        return
    n_thin = n_between = 0
    for plane in gts:
        is_thin = thin[plane]
        lower = ndimage.minimum_filter(plane, 3) < plane
        higher = ndimage.maximum_filter(plane, 3) > plane
        n_thin += int(np.count_nonzero(is_thin))
        n_between += int(np.count_nonzero(is_thin & lower & higher))
    if n_between > _MOSTLY_BETWEEN * n_thin:
        yield (
            f"{len(labels)} labels, {len(thin_labels)} of them thin and between others: is it a"
            " mask with soft edges, where each grey value became a label? threshold it"
        )


def _inner(plane: np.ndarray) -> np.ndarray:
    """Return the labels that somewhere hold a voxel together with its four neighbours."""
    middle = plane[1:-1, 1:-1]
    alike = (
        (middle == plane[:-2, 1:-1])
        & (middle == plane[2:, 1:-1])
        & (middle == plane[1:-1, :-2])
        & (middle == plane[1:-1, 2:])
    )
    return np.unique(middle[alike])
