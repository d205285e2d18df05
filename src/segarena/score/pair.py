"""One label in truth and answer, and what several metrics share about it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pair:
    """One label: its masks, cropped to where truth or answer has it, and their sizes in voxels."""

    label: int
    truth: np.ndarray
    answer: np.ndarray
    spacing_mm: tuple[float, float, float]
    truth_voxels: int
    answer_voxels: int
    common_voxels: int


def pairs(
    truth: np.ndarray, answer: np.ndarray, spacing_mm: tuple[float, float, float]
) -> Iterator[Pair]:
    """Yield a pair for each label of the truth, sorted."""
    for label in np.unique(truth):
        if label == 0:
            continue
        one, other = truth == label, answer == label
        where = np.nonzero(one | other)
        box = tuple(slice(axis.min(), axis.max() + 1) for axis in where)
        one, other = one[box], other[box]
        yield Pair(
            int(label),
            one,
            other,
            spacing_mm,
            int(one.sum()),
            int(other.sum()),
            int((one & other).sum()),
        )
