"""One label in truth and answer, and what several metrics share about it.

Counts come from one pass over both maps. Everything else is made when the first metric asks for it
and kept until the next label: masks as bits, cropped to where truth or answer has the label, their
surfaces, and the distances between these.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from segarena import masks


@dataclass(frozen=True)
class Side:
    """The mask of one side: bits, with a clear margin after its last voxel, and its surface.

    flat: the map is a single slice, so the surface is the contours in it.
    """

    words: np.ndarray
    flat: bool

    @cached_property
    def corners(self) -> np.ndarray:
        """The bits of the voxel corners that hold a surface element."""
        return masks.surface(self.words, self.flat)

    def codes(self, close: np.ndarray) -> np.ndarray:
        """Return how many elements of each code there are: (2, 256), not close and close."""
        return masks.count_codes(self.words, self.corners, close, self.flat)


@dataclass(frozen=True)
class Pair:
    """One label in truth and answer.

    maps: truth and answer as the kernels take them. box: where either has the label, (z, y, x) of
    the first voxel and of the one after the last.
    """

    label: int
    maps: tuple[np.ndarray, np.ndarray]
    box: np.ndarray
    spacing_mm: tuple[float, float, float]
    truth_voxels: int
    answer_voxels: int
    common_voxels: int

    @property
    def crop(self) -> tuple[slice, slice, slice]:
        """The box as slices."""
        low, high = self.box[:3], self.box[3:]
        return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))

    @cached_property
    def truth_mask(self) -> np.ndarray:
        """The truth's mask within the box, bool."""
        return self.maps[0][self.crop] == self.label

    @cached_property
    def answer_mask(self) -> np.ndarray:
        """The answer's mask within the box, bool."""
        return self.maps[1][self.crop] == self.label

    def sides(self, dimensions: int) -> tuple[Side, Side]:
        """Return the truth's side and the answer's, seen in 2 or 3 dimensions."""
        return self._flat_sides if dimensions == 2 else self._solid_sides

    @property
    def dimensions(self) -> int:
        """2 where the map is a single slice, else 3."""
        return 2 if self.maps[0].shape[0] == 1 else 3

    @cached_property
    def words(self) -> tuple[np.ndarray, np.ndarray]:
        """Both masks within the box as bits: truth, answer."""
        truth, answer = self.maps
        return masks.bits(truth, self.label, self.box), masks.bits(answer, self.label, self.box)

    @cached_property
    def _solid_sides(self) -> tuple[Side, Side]:
        return Side(self.words[0], False), Side(self.words[1], False)

    @cached_property
    def _flat_sides(self) -> tuple[Side, Side]:
        return Side(self.words[0], True), Side(self.words[1], True)


def pairs(
    truth: np.ndarray, answer: np.ndarray, spacing_mm: tuple[float, float, float]
) -> Iterator[Pair]:
    """Yield a pair for each label of the truth, sorted."""
    maps = masks.comparable(truth, answer)
    counted = masks.tally(*maps)
    for row, label in enumerate(counted.labels):
        yield Pair(
            int(label),
            maps,
            counted.box[row],
            spacing_mm,
            int(counted.truth_voxels[row]),
            int(counted.answer_voxels[row]),
            int(counted.common_voxels[row]),
        )
