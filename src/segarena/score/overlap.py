"""Metrics of shared voxels: how much of two masks is the same."""

import numpy as np

from segarena import masks
from segarena.score.pair import Pair
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


def boundary_iou(pair: Pair, /, *, width_mm: float) -> float:
    """Return the IoU of the masks' inner rims of a width (Cheng et al. 2021).

    The rim holds the mask's voxels within `width_mm` of a voxel outside it, centre to centre. What
    lies beyond the image is outside.
    """
    truth, answer = (_rim(mask, pair, width_mm) for mask in pair.masks)
    common, union = (
        int(np.bitwise_count(words).sum()) for words in (truth & answer, truth | answer)
    )
    return common / union if union else 0.0


def _rim(mask: np.ndarray, pair: Pair, width_mm: float) -> np.ndarray:
    fill = -mask.shape[2] % 64
    words = masks.packed(np.pad(mask, [(0, 0), (0, 0), (0, fill)]))
    outside = masks.packed(np.pad(~mask, [(0, 0), (0, 0), (0, fill)], constant_values=True))
    return close_bits(words, outside, pair.spacing_mm, width_mm)
