"""Baseline without a look at the image: the ellipsoid in the box, refined by balls at the clicks.

Each new click paints (foreground) or erases (background) the ball that reaches from it to the
border of the previous answer: a click sits in the middle of an error, so its label changes up to
about there. Without a box, the first foreground click starts with a ball of fixed size. Needs
numpy and scipy.
"""

import os
from pathlib import Path

import numpy as np
from scipy import ndimage

FIRST_RADIUS_MM = 10.0


def ellipsoid(shape, box):
    """Return the mask (D, H, W) of the ellipsoid that touches the faces of the box."""
    low = np.array([box["z_min"], box["z_mid_y_min"], box["z_mid_x_min"]], float)
    high = np.array([box["z_max"], box["z_mid_y_max"], box["z_mid_x_max"]], float)
    axes = [
        (np.arange(n) - (a + b) / 2) / max((b - a + 1) / 2, 0.5)
        for n, a, b in zip(shape, low, high, strict=True)
    ]
    z, y, x = np.ix_(*axes)
    return z**2 + y**2 + x**2 <= 1


def refine(mask, point, kind, spacing):
    """Return the mask with the ball around a new click painted or erased."""
    wrong = ~mask if kind == "fg" else mask
    radius = FIRST_RADIUS_MM
    if wrong.any() and not wrong.all():
        radius = ndimage.distance_transform_edt(wrong, spacing)[tuple(point)]
    z, y, x = np.ix_(
        *[(np.arange(n) - c) * s for n, c, s in zip(mask.shape, point, spacing, strict=True)]
    )
    ball = z**2 + y**2 + x**2 <= max(radius, min(spacing)) ** 2
    return mask | ball if kind == "fg" else mask & ~ball


def answer(case):
    """Return the label map (D, H, W) for one input file."""
    shape = case["imgs"].shape[:3]
    spacing = np.asarray(case["spacing"], float)[::-1]  # (x, y, z) to (z, y, x)
    boxes, clicks = case.get("boxes", ()), case.get("clicks", ())
    orders = case.get("clicks_order", ())
    segs = np.zeros(shape, np.min_scalar_type(max(len(boxes), len(clicks))))
    if "prev_pred" in case:
        segs[...] = case["prev_pred"]
    else:
        for label, box in enumerate(boxes, start=1):
            segs[ellipsoid(shape, box) & (segs == 0)] = label
    for label, (said, order) in enumerate(zip(clicks, orders, strict=True), start=1):
        if not len(order) or order[-1] not in said:
            continue
        mask = refine(segs == label, said[order[-1]][-1], order[-1], spacing)
        segs[segs == label] = 0
        segs[mask] = label
    for label, said in enumerate(clicks, start=1):
        for point in said["bg"]:
            if segs[tuple(point)] == label:
                segs[tuple(point)] = 0
        for point in said["fg"]:
            segs[tuple(point)] = label
    return segs


def main():
    """Answer every case in the inputs folder."""
    outputs = Path(os.environ.get("OUTPUTS", "/workspace/outputs"))
    for path in sorted(Path(os.environ.get("INPUTS", "/workspace/inputs")).glob("*.npz")):
        with np.load(path, allow_pickle=True) as file:
            case = {key: file[key] for key in file.files}
        np.savez_compressed(outputs / path.name, segs=answer(case))


if __name__ == "__main__":
    main()
