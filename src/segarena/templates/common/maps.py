"""Prompts as maps of the image's shape, the usual input of a network beside the image."""

import numpy as np

REACH_MM = 10.0  # what a click stands for where there is no box


def maps(image, spacing, box, fg, bg):
    """Return (4, D, H, W) float32: likeness, place, foreground, background.

    image: uint8 (D, H, W) or (D, H, W, 3). spacing: mm, (z, y, x). box: a label's box or None.
    fg, bg: voxels (n, 3). likeness: -1 to 1, how like a voxel's grey value is to those at the
    prompts. place: 1 in the middle of the box, 0 on the ellipsoid that touches its faces, -1 far
    away. foreground, background: 1 at a voxel that was clicked, less around it.
    """
    grey = np.asarray(image, np.float32)
    grey = grey.mean(axis=-1) if grey.ndim == 4 else grey
    found = np.zeros((4, *grey.shape), np.float32)
    radii = np.maximum(REACH_MM / np.asarray(spacing, float), 1)
    if box is not None:
        low = np.array([box["z_min"], box["z_mid_y_min"], box["z_mid_x_min"]], float)
        high = np.array([box["z_max"], box["z_mid_y_max"], box["z_mid_x_max"]], float)
        radii = (high - low + 1) / 2
        found[1] = 1 - squared_distance(grey.shape, (low + high) / 2, radii)
    else:
        found[1] = -1
        for voxel in fg:
            found[1] = np.maximum(found[1], 1 - squared_distance(grey.shape, voxel, radii))
    found[1] = np.clip(found[1], -1, 1)
    for channel, voxels in ((2, fg), (3, bg)):
        for voxel in voxels:
            bump = np.exp(-squared_distance(grey.shape, voxel, np.maximum(radii / 4, 1)))
            found[channel] = np.maximum(found[channel], bump)
    core = grey[(found[1] > 0.5) | (found[2] > 0.5)]
    if core.size:
        spread = 2 * max(float(core.std()), 4.0)
        found[0] = 2 * np.exp(-(((grey - np.median(core)) / spread) ** 2)) - 1
    return found


def squared_distance(shape, centre, radii):
    """Return (D, H, W): the squared distance from a voxel, each axis in units of its radius."""
    z, y, x = (
        ((np.arange(n, dtype=np.float32) - c) / r) ** 2
        for n, c, r in zip(shape, centre, radii, strict=True)
    )
    return z[:, None, None] + y[:, None] + x
