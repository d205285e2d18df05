"""Where a simulated user clicks next.

Rule `largest_error` is the reference evaluation's (CVPR 2025): per label, the centre of the largest
26-connected error, drawn among equally central voxels.
"""

import numpy as np
from scipy import ndimage

Click = tuple[int, int, int, str]

LARGEST_VOLUME = 60_000_000
"""Voxels of the padded crop above which the reference halves it before the distance transform."""


def largest_error(gts: np.ndarray, segs: np.ndarray, *, seed: int) -> list[Click | None]:
    """Return the next click of every label of the truth, in the order of the sorted labels.

    gts, segs: label maps (D, H, W), 0 is background. A click is (z, y, x, kind): "fg" where the
    answer lacks the label, "bg" where it has it in excess; None where the label has no error.
    """
    labels = [int(label) for label in np.unique(gts) if label != 0]
    return [_click(gts == label, segs == label, seed) for label in labels]


def _click(truth: np.ndarray, answer: np.ndarray, seed: int) -> Click | None:
    import cc3d

    error = truth != answer
    if not error.any():
        return None
    components = cc3d.connected_components(error, connectivity=26)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    largest = components == sizes.argmax()
    where = np.argwhere(largest)
    low, high = where.min(axis=0), where.max(axis=0) + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    depth = _depth(largest[box]) * largest[box]
    if not depth.any():
        depth = largest[box].astype(np.float64)
    candidates = np.argwhere(depth == depth.max())
    drawn = np.random.RandomState(seed).choice(len(candidates))
    z, y, x = (int(v) for v in candidates[drawn] + low)
    return z, y, x, "fg" if truth[z, y, x] else "bg"


def _depth(component: np.ndarray) -> np.ndarray:
    shape = np.array(component.shape)
    padding = np.maximum((shape * 0.25).astype(int), 1)
    padded = np.pad(component, [(p, p) for p in padding])
    inside = tuple(slice(p, p + n) for p, n in zip(padding, shape, strict=True))
    if padded.size <= LARGEST_VOLUME:
        return ndimage.distance_transform_edt(padded)[inside]
    even = np.pad(padded, [(0, n % 2) for n in padded.shape])
    d, h, w = (n // 2 for n in even.shape)
    distance = ndimage.distance_transform_edt(even.reshape(d, 2, h, 2, w, 2).max(axis=(1, 3, 5)))
    for axis in range(3):
        distance = distance.repeat(2, axis=axis)
    return distance[inside]
