"""Baseline by intensity: a threshold and region growing, from the box's centre and the clicks.

First call: the voxels of the box's ellipsoid whose smoothed intensity is like that of its core,
connected to the core. Each new click grows a region of like intensity from the clicked voxel, not
further than twice its distance to the border of the previous answer, and adds it (foreground) or
takes it away (background). New strokes do the same, within a fixed distance. Needs numpy and scipy.
"""

import os
from pathlib import Path

import numpy as np
from scipy import ndimage

FIRST_RADIUS_MM = 15.0
SPREADS = 2.0  # how many standard deviations of the core's intensities still belong
CONNECTED = np.ones((3, 3, 3))


def distance_from(shape, centre, radii):
    """Return (D, H, W): 0 at the centre, 1 on the ellipsoid with these radii."""
    axes = [(np.arange(n) - c) / max(r, 0.5) for n, c, r in zip(shape, centre, radii, strict=True)]
    z, y, x = np.ix_(*axes)
    return np.sqrt(z**2 + y**2 + x**2)


def grown(allowed, seeds):
    """Return the connected parts of `allowed` that hold a seed."""
    parts, _ = ndimage.label(allowed | seeds, CONNECTED)
    return np.isin(parts, np.unique(parts[seeds]))


def from_box(smooth, box):
    """Return the mask grown from the core of a box."""
    low = np.array([box["z_min"], box["z_mid_y_min"], box["z_mid_x_min"]], float)
    high = np.array([box["z_max"], box["z_mid_y_max"], box["z_mid_x_max"]], float)
    distance = distance_from(smooth.shape, (low + high) / 2, (high - low + 1) / 2)
    core = distance <= max(0.5, distance.min())
    middle = np.median(smooth[core])
    spread = max(1.4826 * np.median(np.abs(smooth[core] - middle)), 3.0)
    like = (np.abs(smooth - middle) <= SPREADS * spread) & (distance <= 1.1)
    return ndimage.binary_fill_holes(grown(like, core & like))


def refine(mask, smooth, point, kind, spacing):
    """Return the mask with the region grown from a new click added or taken away."""
    wrong = ~mask if kind == "fg" else mask
    reach = FIRST_RADIUS_MM
    if wrong.any() and not wrong.all():
        reach = 2 * ndimage.distance_transform_edt(wrong, spacing)[tuple(point)]
    distance = distance_from(mask.shape, point, max(reach, min(spacing)) / np.asarray(spacing))
    close, near = distance <= 1, distance <= 0.5
    spread = max(smooth[near].std(), 3.0)
    like = close & wrong & (np.abs(smooth - smooth[tuple(point)]) <= SPREADS * spread)
    seed = np.zeros_like(mask)
    seed[tuple(point)] = True
    region = grown(like, seed)
    return mask | region if kind == "fg" else mask & ~region


def stroked(mask, smooth, seeds, kind, spacing):
    """Return the mask with the region grown from new strokes added or taken away."""
    close = ndimage.distance_transform_edt(~seeds, spacing) <= FIRST_RADIUS_MM
    spread = max(smooth[seeds].std(), 3.0)
    like = np.abs(smooth - np.median(smooth[seeds])) <= SPREADS * spread
    region = grown(close & like & (mask if kind == "bg" else ~mask), seeds)
    return mask | region if kind == "fg" else mask & ~region


def honour(segs, prompts):
    """Give each voxel that was drawn or clicked what was said of it."""
    for label, said in enumerate(prompts, start=1):
        for point in said["bg"]:
            if segs[tuple(point)] == label:
                segs[tuple(point)] = 0
        for point in said["fg"]:
            segs[tuple(point)] = label


def answer(case):
    """Return the label map (D, H, W) for one input file."""
    imgs = case["imgs"].astype(np.float32)
    spacing = np.asarray(case["spacing"], float)[::-1]  # (x, y, z) to (z, y, x)
    smooth = imgs.mean(axis=-1) if imgs.ndim == 4 else imgs
    smooth = ndimage.gaussian_filter(smooth, 0.7 * spacing.min() / spacing)
    boxes, clicks = case.get("boxes", ()), case.get("clicks", ())
    orders, scribbles = case.get("clicks_order", ()), case.get("scribbles", ())
    labels = max(len(boxes), len(clicks), len(scribbles))
    segs = np.zeros(smooth.shape, np.min_scalar_type(labels))
    if "prev_pred" in case:
        segs[...] = case["prev_pred"]
    else:
        for label, box in enumerate(boxes, start=1):
            segs[from_box(smooth, box) & (segs == 0)] = label
    for label, (said, order) in enumerate(zip(clicks, orders, strict=True), start=1):
        if not len(order) or order[-1] not in said:
            continue
        mask = refine(segs == label, smooth, said[order[-1]][-1], order[-1], spacing)
        segs[segs == label] = 0
        segs[mask] = label
    for label, said in enumerate(scribbles, start=1):
        for kind in ("fg", "bg"):
            mask, seeds = segs == label, np.zeros(segs.shape, bool)
            seeds[tuple(np.reshape(said[kind], (-1, 3)).astype(int).T)] = True
            seeds &= ~mask if kind == "fg" else mask  # what was drawn earlier is as it should be
            if seeds.any():
                mask = stroked(mask, smooth, seeds, kind, spacing)
                segs[segs == label] = 0
                segs[mask] = label
    honour(segs, scribbles)
    honour(segs, clicks)
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
