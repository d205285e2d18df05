"""Prompts that are slightly off, as a hand is: the same prompt, elsewhere within a few voxels.

Box jitter is ScribblePrompt's (Wong et al., ECCV 2024, arXiv:2312.07381): outwards only, since a
box that cuts the structure would be another kind of prompt. A moved click stays in the error that
it marks, since beyond it the click would say the opposite of what the user means.
"""

import numpy as np

from segarena.case import Box
from segarena.prompt.ritm import Click


def jittered_box(
    box: Box, shape: tuple[int, int, int], rng: np.random.Generator, *, max_px: int = 20
) -> Box:
    """Return a box with each in-plane side moved outwards by 0 to `max_px` pixels.

    The four sides are drawn apart from each other; none leaves an image of `shape` (D, H, W), the
    largest index of which is a side's limit. The slices of the box stay.
    """
    left, upper, right, lower = (int(v) for v in rng.integers(0, max_px, size=4, endpoint=True))
    return {
        **box,
        "z_mid_x_min": max(0, box["z_mid_x_min"] - left),
        "z_mid_y_min": max(0, box["z_mid_y_min"] - upper),
        "z_mid_x_max": min(shape[2] - 1, box["z_mid_x_max"] + right),
        "z_mid_y_max": min(shape[1] - 1, box["z_mid_y_max"] + lower),
    }


def jittered_click(
    click: Click,
    gts_mask: np.ndarray,
    segs_mask: np.ndarray,
    rng: np.random.Generator,
    *,
    radius: int,
) -> Click:
    """Return a click on a voxel of the same kind of error, at most `radius` voxels away.

    `gts_mask`, `segs_mask`: boolean (D, H, W) of the click's label.
    """
    *at, kind = click
    wanted, other = (gts_mask, segs_mask) if kind == "fg" else (segs_mask, gts_mask)
    near = tuple(slice(max(0, c - radius), c + radius + 1) for c in at)
    start = np.array([side.start for side in near])
    voxels = np.argwhere(wanted[near] & ~other[near]) + start
    voxels = voxels[((voxels - at) ** 2).sum(axis=1) <= radius**2]
    z, y, x = (int(c) for c in voxels[int(rng.integers(len(voxels)))])
    return z, y, x, kind
