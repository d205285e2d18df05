"""The box of each label, as the CVPR challenge made it.

A box is drawn on one slice, the middle one of those that hold the label, with the range of slices
beside it. Its four sides are moved outwards by the same draw of 0 to 5 pixels at 256 pixels, scaled
to the slice, because a person's box is seldom tight. It is a closed interval of voxel indices.

Boxes belong to the case, not to a protocol: they are drawn once, from (seed, case, label), so every
submission gets the same ones and adding a label or a case changes no other box.

Source of the rule: JunMa11/CVPR-MedSegFMCompetition, get_boxes.py at commit 748e862.
"""

import hashlib
from pathlib import Path

import numpy as np

from segarena.case import Box, Truth
from segarena.errors import CaseError

LARGEST_SHIFT = 5
SHIFT_AT = 256


def boxes_of(gts: np.ndarray, *, case: str, seed: int) -> list[Box]:
    """Return one box per label of `gts` (D, H, W), in the order of the sorted labels."""
    return [
        box_of(gts == label, shift=drawn_shift(case=case, label=label, seed=seed))
        for label in Truth(gts).labels
    ]


def box_of(mask: np.ndarray, *, shift: int) -> Box:
    """Return the box of a boolean mask (D, H, W) that is not empty, widened by `shift` at 256."""
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    middle = int(slices[len(slices) // 2])
    height, width = mask.shape[1:]
    rows = np.flatnonzero(mask[middle].any(axis=1))
    columns = np.flatnonzero(mask[middle].any(axis=0))
    shift_x, shift_y = int(shift * width / SHIFT_AT), int(shift * height / SHIFT_AT)
    return {
        "z_min": int(slices[0]),
        "z_max": int(slices[-1]),
        "z_mid": middle,
        "z_mid_x_min": max(0, int(columns[0]) - shift_x),
        "z_mid_y_min": max(0, int(rows[0]) - shift_y),
        "z_mid_x_max": min(width - 1, int(columns[-1]) + shift_x),
        "z_mid_y_max": min(height - 1, int(rows[-1]) + shift_y),
    }


def check_boxes(boxes: list[Box], gts: np.ndarray, path: Path) -> list[str]:
    """Return what is odd about the boxes of a ready-made case, one line each.

    boxes: one per label of `gts` (D, H, W), in the order of the sorted labels. Raises CaseError
    with the file, the label and the numbers where a box cannot be one of this image.
    """
    labels = Truth(gts).labels
    if len(boxes) != len(labels):
        raise CaseError(f"{path}: {len(boxes)} boxes for {len(labels)} labels")
    warnings = []
    for label, box in zip(labels, boxes, strict=True):
        reason = _why_no_box(box, gts.shape)
        if reason:
            raise CaseError(f"{path}: boxes: the box of label {label}: {reason}")
        inside = gts[
            box["z_min"] : box["z_max"] + 1,
            box["z_mid_y_min"] : box["z_mid_y_max"] + 1,
            box["z_mid_x_min"] : box["z_mid_x_max"] + 1,
        ]
        if not (inside == label).any():
            warnings.append(
                f"{path}: boxes: the box of label {label} holds no voxel of it: boxes are in the"
                " order of the sorted labels"
            )
    return warnings


def _why_no_box(box: Box, shape: tuple[int, ...]) -> str | None:
    """Return why a box cannot be one in an image of `shape` (D, H, W), or None where it can."""
    sides = (("z_min", "z_max"), ("z_mid_y_min", "z_mid_y_max"), ("z_mid_x_min", "z_mid_x_max"))
    for (low, high), size in zip(sides, shape, strict=True):
        if box[low] > box[high]:
            return f"{low} {box[low]} is above {high} {box[high]}"
        if box[low] < 0 or box[high] >= size:
            return f"{low} {box[low]} and {high} {box[high]} are outside 0 to {size - 1}"
    if not box["z_min"] <= box["z_mid"] <= box["z_max"]:
        return f"z_mid {box['z_mid']} is not from z_min {box['z_min']} to z_max {box['z_max']}"
    return None


def drawn_shift(*, case: str, label: int, seed: int) -> int:
    """Return the draw of 0..5 that belongs to (seed, case, label), the same on every machine."""
    digest = hashlib.sha256(f"box/{seed}/{case}/{label}".encode()).digest()
    return int.from_bytes(digest, "big") % (LARGEST_SHIFT + 1)
