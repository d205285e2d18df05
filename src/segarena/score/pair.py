"""One label in truth and answer, and what several metrics share about it.

A map of a single slice is two-dimensional, whichever axis the slice is across: metrics see it as
(1, H, W), with the spacing of its two axes. Where several axes have length 1, the first is across.

Counts come from one pass over both maps. Everything else is made when the first metric asks for it
and kept until the next label: masks as bits, cropped to where truth or answer has the label, their
surfaces, and the distances between these.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np

from segarena import masks
from segarena.errors import CaseError

Spacing = tuple[float, float, float]

LARGEST = 2**16 - 1
"""The largest label that the kernels take."""


@dataclass(frozen=True)
class Pair:
    """One label in truth and answer.

    maps: truth and answer as the kernels take them. box: where either has the label, (z, y, x) of
    the first voxel and of the one after the last. cache: what is costly and was already made.
    of_case: the same for all labels of the maps together.
    """

    label: int
    maps: tuple[np.ndarray, np.ndarray]
    box: np.ndarray
    spacing_mm: Spacing
    truth_voxels: int
    answer_voxels: int
    common_voxels: int
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)
    of_case: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def dimensions(self) -> int:
        """2 where the map is a single slice, else 3."""
        return 2 if 1 in self.maps[0].shape else 3

    @cached_property
    def in_plane(self) -> "Pair":
        """The same pair with the axis that a single slice is across as the first; else itself."""
        if self.dimensions == 3 or self.maps[0].shape[0] == 1:
            return self
        across = self.maps[0].shape.index(1)
        axes = [across, *(axis for axis in range(3) if axis != across)]
        truth, answer = (np.ascontiguousarray(labels.transpose(axes)) for labels in self.maps)
        z, y, x = (self.spacing_mm[axis] for axis in axes)
        box = self.box[[*axes, *(axis + 3 for axis in axes)]]
        return replace(self, maps=(truth, answer), box=box, spacing_mm=(z, y, x), cache={})

    @property
    def case(self) -> "Pair":
        """All labels of the maps together, as label 0; for instances, whose ids are the labels."""
        if "case" not in self.of_case:
            truth, answer = (labels > 0 for labels in self.maps)
            box = np.array([0, 0, 0, *self.maps[0].shape], np.int32)
            self.of_case["case"] = Pair(
                0,
                self.maps,
                box,
                self.spacing_mm,
                int(np.count_nonzero(truth)),
                int(np.count_nonzero(answer)),
                int(np.count_nonzero(truth & answer)),
            )
        found: Pair = self.of_case["case"]
        return found

    @cached_property
    def masks(self) -> tuple[np.ndarray, np.ndarray]:
        """Both masks, bool, within the box and with a margin of one voxel outside: truth, answer.

        A single slice has no margin above and below.
        """
        low, high = self.box[:3], self.box[3:]
        crop = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        margin = [(1, 1) if self.dimensions == 3 else (0, 0), (1, 1), (1, 1)]
        truth, answer = (np.pad(labels[crop] == self.label, margin) for labels in self.maps)
        return truth, answer

    @cached_property
    def words(self) -> tuple[np.ndarray, np.ndarray]:
        """Both masks within the box as bits, with a clear margin after the last voxel."""
        truth, answer = self.maps
        return masks.bits(truth, self.label, self.box), masks.bits(answer, self.label, self.box)


def pairs(
    truth: np.ndarray,
    answer: np.ndarray,
    spacing_mm: Spacing,
    labels: Sequence[int] | None = None,
) -> Iterator[Pair]:
    """Yield a pair for each label, those of the truth (sorted) unless others are given.

    Raises CaseError where the maps cannot be compared or a label is none from 1 to 65535.
    """
    maps = masks.comparable(truth, answer)
    if labels is not None and len(labels):
        if not all(isinstance(n, Integral) and 1 <= n <= LARGEST for n in labels):
            raise CaseError(f"labels {list(labels)}: each is a whole number from 1 to {LARGEST}")
        if max(labels) > np.iinfo(maps[0].dtype).max:
            maps = maps[0].astype(np.uint16), maps[1].astype(np.uint16)
    counted = masks.tally(*maps, labels)
    of_case: dict[Any, Any] = {}
    for row, label in enumerate(counted.labels):
        yield Pair(
            int(label),
            maps,
            counted.box[row],
            spacing_mm,
            int(counted.truth_voxels[row]),
            int(counted.answer_voxels[row]),
            int(counted.common_voxels[row]),
            of_case=of_case,
        )
