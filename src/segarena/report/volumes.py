"""What the viewer of the report loads: volumes as small .nii.gz files, with a budget per case.

A case's image and truth, and per submission its answers and prompts (one 4D file each, an
interaction per frame), all on one grid. A case whose image is larger than the budget is first cut
to its labels with a margin, then thinned along its finest axes; the viewer says so. Voxels keep
the order and the affine of the file, so that the files open in any other viewer too.
"""

import gzip
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from segarena.case import Spacing, Truth
from segarena.files import atomic_write

LARGEST_IMAGE_BYTES = 8 << 20
"""The budget of a case's image, before it is compressed."""
MARGIN_MM = 20.0
FOREGROUND, BACKGROUND, BOX = 1, 2, 3  # the values of the volume of prompts
CLICK_MM = 2.0
LABEL_INTENT = 1002  # NIfTI's code for values that are labels
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@dataclass(frozen=True)
class Grid:
    """Which voxels of a case (z, y, x) the viewer gets, and where they are.

    start, stop, step: per axis. affine: takes their indices (x, y, z) to mm.
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]
    step: tuple[int, ...]
    affine: np.ndarray
    is_cut: bool

    def cut(self, volume: np.ndarray) -> np.ndarray:
        """Return a view of the grid's voxels of an array (D, H, W, ...)."""
        return volume[tuple(map(slice, self.start, self.stop, self.step))]

    def note(self) -> str:
        """Return what the viewer leaves out, in words; empty where it shows everything."""
        words = [f"cut to the labels with a margin of {MARGIN_MM:.0f} mm"] * self.is_cut
        if max(self.step) > 1:
            words.append(f"one voxel of {'x'.join(map(str, reversed(self.step)))} (x, y, z)")
        return ", ".join(words)


def grid_of(truth: Truth, spacing_mm: Spacing, *, is_placed: bool, channels: int = 1) -> Grid:
    """Return the grid of a case within the budget.

    is_placed: whether the affine says how the patient lay; if not, the affine has the volume shown
    as it is stored. channels: bytes per voxel of the image.
    """
    shape = truth.gts.shape
    start, stop = [0, 0, 0], list(shape)
    is_cut = channels * math.prod(shape) > LARGEST_IMAGE_BYTES and bool(truth.gts.any())
    if is_cut:
        for axis, mm in enumerate(spacing_mm):
            others = tuple(other for other in range(3) if other != axis)
            there = np.flatnonzero(truth.gts.any(axis=others))
            margin = math.ceil(MARGIN_MM / mm)
            start[axis] = max(0, int(there[0]) - margin)
            stop[axis] = min(shape[axis], int(there[-1]) + 1 + margin)
    step = _steps([b - a for a, b in zip(start, stop, strict=True)], spacing_mm, channels)
    moved = np.diag([*map(float, reversed(step)), 1.0])
    moved[:3, 3] = start[::-1]
    affine = _affine(truth, spacing_mm, is_placed=is_placed) @ moved
    return Grid(tuple(start), tuple(stop), step, affine, is_cut)


def _steps(shape: list[int], spacing_mm: Spacing, channels: int) -> tuple[int, ...]:
    """Return every how many voxels to take per axis; the finest axis is thinned first."""
    step = [1, 1, 1]
    while channels * math.prod(-(-n // s) for n, s in zip(shape, step, strict=True)) > (
        LARGEST_IMAGE_BYTES
    ):
        left = [axis for axis in range(3) if shape[axis] > step[axis]]
        step[min(left, key=lambda axis: spacing_mm[axis] * step[axis])] += 1
    return tuple(step)


def _affine(truth: Truth, spacing_mm: Spacing, *, is_placed: bool) -> np.ndarray:
    """Return what takes indices (x, y, z) of the case's arrays to mm.

    A slice case has its directions and spacing, but not its place in the volume.
    """
    if truth.affine is None or not is_placed:
        return np.diag([*(-mm for mm in reversed(spacing_mm)), 1.0])
    if truth.place is None:
        return truth.affine
    axes = [0, 1, 2]
    axes.remove(truth.place.axis)
    axes.insert(0, truth.place.axis)
    directions = truth.affine[:3, :3] / np.linalg.norm(truth.affine[:3, :3], axis=0)
    affine = np.eye(4)
    for axis, of_volume in enumerate(axes):
        affine[:3, 2 - axis] = directions[:, 2 - of_volume] * spacing_mm[axis]
    return affine


def write_image(path: str | Path, grid: Grid, imgs: np.ndarray) -> None:
    """Write the image, uint8 (D, H, W) or (D, H, W, 3)."""
    part = np.ascontiguousarray(grid.cut(imgs))
    if part.ndim == 4:
        part = part.view(RGB)[..., 0]
    _save(path, grid, part.T)


def write_labels(path: str | Path, grid: Grid, frames: Sequence[np.ndarray]) -> None:
    """Write label maps (D, H, W) as uint8 or uint16, one frame each; a single one is 3D."""
    parts = [grid.cut(frame) for frame in frames]
    largest = max((int(part.max()) for part in parts), default=0)
    kind = np.uint8 if largest < 256 else np.uint16
    data = np.stack([part.T.astype(kind) for part in parts], axis=3)
    _save(path, grid, data[..., 0] if len(parts) == 1 else data, LABEL_INTENT)


def prompts_volume(grid: Grid, shape: tuple[int, ...], prompts: Mapping[str, Any]) -> np.ndarray:
    """Return all prompts so far as a volume (D, H, W) of the case, as FOREGROUND, BACKGROUND, BOX.

    A box is drawn around its slice, a click as a cross of a few voxels, a scribble as its voxels.
    """
    drawn = np.zeros(shape, np.uint8)
    for box in prompts.get("boxes") or []:
        _draw_box(drawn, box, grid.step)
    for kind, value in (("bg", BACKGROUND), ("fg", FOREGROUND)):
        for marks in prompts.get("scribbles") or []:
            for point in (marks or {}).get(kind, []):
                _mark(drawn, point, grid.step, value)
        for marks in prompts.get("clicks") or []:
            for point in (marks or {}).get(kind, []):
                _draw_cross(drawn, point, grid, value)
    return drawn


def _mark(drawn: np.ndarray, point: Sequence[int], step: Sequence[int], value: int) -> None:
    """Mark the voxel that stands for a point on the thinned grid, too."""
    if all(0 <= at < n for at, n in zip(point, drawn.shape, strict=True)):
        drawn[tuple(slice(at, at + s) for at, s in zip(point, step, strict=True))] = value


def _draw_cross(drawn: np.ndarray, point: Sequence[int], grid: Grid, value: int) -> None:
    spacing_mm = np.linalg.norm(grid.affine[:3, :3], axis=0)[::-1] / grid.step
    for axis in range(3):
        reach = max(grid.step[axis], round(CLICK_MM / spacing_mm[axis]))
        for offset in range(-reach, reach + 1):
            moved = list(point)
            moved[axis] += offset
            _mark(drawn, moved, grid.step, value)


def _draw_box(drawn: np.ndarray, box: Mapping[str, int], step: Sequence[int]) -> None:
    (top, bottom), (left, right) = (
        [box[f"z_mid_{axis}_{end}"] for end in ("min", "max")] for axis in "yx"
    )
    for x in range(left, right + 1):
        for y in (top, bottom):
            _mark(drawn, (box["z_mid"], y, x), step, BOX)
    for y in range(top, bottom + 1):
        for x in (left, right):
            _mark(drawn, (box["z_mid"], y, x), step, BOX)


def _save(path: str | Path, grid: Grid, data: np.ndarray, intent_code: int = 0) -> None:
    image = nibabel.Nifti1Image(data, grid.affine)
    image.header.set_xyzt_units("mm")
    image.header["intent_code"] = intent_code
    content = gzip.compress(image.to_bytes(), 6, mtime=0)
    with atomic_write(path) as tmp:
        tmp.write_bytes(content)
