"""Metrics of shape: centre lines and pieces."""

import numpy as np

from segarena import masks
from segarena.score.pair import Pair


def cldice(pair: Pair, /) -> float:
    """Return the centre-line Dice (Shit et al. 2021).

    The harmonic mean of two shares: of the answer's centre line in the truth, and of the truth's
    in the answer. Centre lines are scikit-image's `skeletonize` (Lee 1994; Zhang 1984 in 2D).
    """
    truth, answer = pair.masks
    precision = _share(_centre_line(answer), truth)
    sensitivity = _share(_centre_line(truth), answer)
    total = precision + sensitivity
    return 2 * precision * sensitivity / total if total else 0.0


def _centre_line(mask: np.ndarray) -> np.ndarray:
    """Return the centre line of a mask; the mask itself where thinning leaves nothing of it."""
    from skimage.morphology import skeletonize

    line = skeletonize(mask[0])[None] if mask.shape[0] == 1 else skeletonize(mask)
    return line > 0 if line.any() else mask


def _share(line: np.ndarray, mask: np.ndarray) -> float:
    return float(np.count_nonzero(line & mask) / np.count_nonzero(line))


def components(pair: Pair, /) -> float:
    """Return how many 26-connected components the answer has (8-connected in a slice)."""
    return float(_count(pair.words[1]))


def betti0_error(pair: Pair, /) -> float:
    """Return by how many the numbers of 26-connected components differ."""
    return float(abs(_count(pair.words[1]) - _count(pair.words[0])))


def _count(words: np.ndarray) -> int:
    roots = masks.components(masks.runs(words), words.shape[1])
    return int(np.count_nonzero(roots == np.arange(len(roots))))
