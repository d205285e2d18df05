"""Metrics of shared voxels: how much of two masks is the same."""

import math

import numpy as np

from segarena import masks
from segarena.score.pair import Pair, Spacing
from segarena.score.surface import close_bits


def dsc(pair: Pair, /) -> float:
    """Return the Dice similarity coefficient (Dice 1945)."""
    return 2 * pair.common_voxels / (pair.truth_voxels + pair.answer_voxels)


def iou(pair: Pair, /) -> float:
    """Return intersection over union (Jaccard 1912)."""
    return pair.common_voxels / (pair.truth_voxels + pair.answer_voxels - pair.common_voxels)


def precision(pair: Pair, /) -> float:
    """Return the share of the answer that is in the truth."""
    return pair.common_voxels / pair.answer_voxels


def recall(pair: Pair, /) -> float:
    """Return the share of the truth that is in the answer."""
    return pair.common_voxels / pair.truth_voxels


def relative_volume_error(pair: Pair, /) -> float:
    """Return by how much the volumes differ, as a share of the truth's; without sign."""
    return abs(pair.answer_voxels - pair.truth_voxels) / pair.truth_voxels


def volume_difference(pair: Pair, /) -> float:
    """Return by how much the answer's volume is larger, as a share of the truth's; signed."""
    return (pair.answer_voxels - pair.truth_voxels) / pair.truth_voxels


def volume_difference_ml(pair: Pair, /) -> float:
    """Return by how many millilitres the answer's volume is larger; signed."""
    return (pair.answer_voxels - pair.truth_voxels) * math.prod(pair.spacing_mm) / 1000


def fbeta(pair: Pair, /, *, beta: float) -> float:
    """Return the F-beta score (van Rijsbergen 1979): a beta above 1 weighs recall more."""
    squared = beta * beta
    total = squared * pair.truth_voxels + pair.answer_voxels
    return (1 + squared) * pair.common_voxels / total


def centre_distance(pair: Pair, /) -> float:
    """Return the distance in mm between the centres of mass."""
    truth, answer = (masks.centre(words) for words in pair.words)
    return float(np.linalg.norm((answer - truth) * pair.spacing_mm))


def boundary_iou(
    pair: Pair,
    /,
    *,
    width_mm: float | None,
    width_voxels: float | None,
    width_ratio: float | None,
    distance: str,
) -> float:
    """Return the IoU of the masks' inner rims of a width (Cheng et al. 2021).

    The rim holds the mask's voxels within the width of a voxel outside it, centre to centre. What
    lies beyond the image is outside. One width is given, in mm, in voxels, or as a share of the
    diagonal of the map in voxels, rounded and at least 1. distance: "euclidean", or "chessboard",
    which counts steps to any of the neighbours and so needs a width in voxels.
    """
    spacing_mm = pair.spacing_mm if width_mm else (1.0, 1.0, 1.0)
    sides = pair.maps[0].shape[3 - pair.dimensions :]
    width = width_mm or width_voxels or max(1, round(float(width_ratio or 0) * math.hypot(*sides)))
    if distance == "chessboard":
        truth, answer = (_chessboard_rim(mask, int(width)) for mask in pair.masks)
    else:
        truth, answer = (_rim(mask, spacing_mm, width) for mask in pair.masks)
    common, union = (int(np.bitwise_count(rim).sum()) for rim in (truth & answer, truth | answer))
    return common / union if union else 0.0


def _chessboard_rim(mask: np.ndarray, width: int) -> np.ndarray:
    from scipy import ndimage

    size = [1 if n == 1 else 2 * width + 1 for n in mask.shape]
    return mask & ~ndimage.minimum_filter(mask, size=size, mode="constant", cval=0)


def _rim(mask: np.ndarray, spacing_mm: Spacing, width: float) -> np.ndarray:
    fill = -mask.shape[2] % 64
    words = masks.packed(np.pad(mask, [(0, 0), (0, 0), (0, fill)]))
    outside = masks.packed(np.pad(~mask, [(0, 0), (0, 0), (0, fill)], constant_values=True))
    return close_bits(words, outside, spacing_mm, width)
