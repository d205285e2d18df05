"""Metrics against several raters: what they agree on, and how their volumes are spread.

What is needed of the raters is the same for all answers of a case: of each label where all of them
marked it, where any did, and the volume of each.
"""

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import integrate, stats

from segarena import masks
from segarena.score.pair import Pair

_CURVAS_POINTS, _CURVAS_SD = 100, 3


@dataclass(frozen=True)
class Rated:
    """One label of several raters.

    box: (z, y, x) of the first voxel that any rater marked and of the one after the last. every,
    some: bool, within the box: marked by all raters, by any. voxels: of each rater.
    """

    box: np.ndarray
    every: np.ndarray
    some: np.ndarray
    voxels: np.ndarray


def rated(maps: Iterable[np.ndarray], labels: Iterable[int]) -> dict[int, Rated]:
    """Return what the raters have of each label. maps: (D, H, W) of each rater."""
    maps = list(maps)
    found = {}
    for label in labels:
        boxes = [masks.tally(*masks.comparable(one, one), [label]).box[0] for one in maps]
        there = [box for box in boxes if box[3] > box[0]] or [np.zeros(6, np.int32)]
        low, high = np.min(there, axis=0)[:3], np.max(there, axis=0)[3:]
        crop = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        marked = np.stack([one[crop] == label for one in maps])
        voxels = marked.sum(axis=(1, 2, 3))
        box = np.concatenate([low, high])
        every, some = np.asarray(marked.all(axis=0)), np.asarray(marked.any(axis=0))
        found[label] = Rated(box, every, some, voxels)
    return found


def consensus_dsc(pair: Pair, raters: Rated, /) -> float:
    """Return Dice over the voxels that all raters have marked, or none; nan where both are empty.

    Where the raters differ nothing is an error (CURVAS 2024).
    """
    crop = tuple(slice(int(a), int(b)) for a, b in zip(raters.box[:3], raters.box[3:], strict=True))
    answer = pair.maps[1][crop] == pair.label
    common = int(np.count_nonzero(answer & raters.every))
    left_out = int(np.count_nonzero(answer & raters.some & ~raters.every))
    both = int(np.count_nonzero(raters.every)) + pair.answer_voxels - left_out
    return 2 * common / both if both else math.nan


def crps(
    pair: Pair, raters: Rated, /, *, against: str, volume: str, probable: float | None = None
) -> float:
    """Return the continuous ranked probability score of the answer's volume, in ml.

    against: "empirical", the raters' volumes as they are; "normal", a normal distribution of their
    mean and standard deviation; "curvas", that as the challenge integrates it. volume: "labels",
    of the answer's label; "probs", the sum of `probable`, in voxels; nan without it.
    """
    millilitres = math.prod(pair.spacing_mm) / 1000
    answer = pair.answer_voxels if volume == "labels" else probable
    if answer is None:
        return math.nan
    voxels = raters.voxels.astype(float)
    return _CRPS[against](float(answer), voxels) * millilitres


def _empirical(answer: float, voxels: np.ndarray) -> float:
    spread = np.abs(voxels[:, None] - voxels).mean()
    return float(np.abs(voxels - answer).mean() - spread / 2)


def _normal(answer: float, voxels: np.ndarray) -> float:
    """Return the closed form for a normal distribution (Gneiting and Raftery 2007)."""
    mean, deviation = float(voxels.mean()), float(voxels.std())
    if deviation == 0:
        return abs(answer - mean)
    z = (answer - mean) / deviation
    inner = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / math.sqrt(math.pi)
    return float(deviation * inner)


def _curvas(answer: float, voxels: np.ndarray) -> float:
    """Return the integral of (F - step at the answer) squared, within 3 standard deviations.

    F is the normal distribution, linear between 100 points from its 1st to its 99th percentile, 0
    before and 1 behind them. It is 0 where all raters have the same volume. The quadrature is
    scipy's, as there; at the jumps it is off by up to a thousandth.
    """
    mean, deviation = float(voxels.mean()), float(voxels.std())
    if deviation == 0:
        return 0.0
    first, last = (float(stats.norm.ppf(share, mean, deviation)) for share in (0.01, 0.99))
    known = np.linspace(first, last, _CURVAS_POINTS)
    below = stats.norm.cdf(known, mean, deviation)

    def squared(volume: float) -> float:
        share = float(np.interp(volume, known, below, left=0, right=1))
        return (share - (volume >= answer)) ** 2

    reach = _CURVAS_SD * deviation
    with warnings.catch_warnings(action="ignore", category=integrate.IntegrationWarning):
        return float(integrate.quad(squared, mean - reach, mean + reach)[0])


_CRPS = {"empirical": _empirical, "normal": _normal, "curvas": _curvas}


def without_ignored(
    raters: Mapping[str, np.ndarray], outside: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Return the raters' maps without the voxels that a protocol ignores."""
    if outside is None:
        return dict(raters)
    return {name: np.where(outside, 0, one) for name, one in raters.items()}
