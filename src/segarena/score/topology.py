"""Metrics of shape: centre lines, and how many components, tunnels and cavities a mask has.

All of it takes a mask as a set of closed voxels: two that share a corner are connected
(26-connected, 8-connected in a slice), and what is beyond the image is outside.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from segarena import masks
from segarena.score.pair import Pair


def cldice(pair: Pair, /, *, thinning: str) -> float:
    """Return the centre-line Dice (Shit et al. 2021).

    The harmonic mean of two shares: of the answer's centre line in the truth, and of the truth's
    in the answer. In a slice lines are scikit-image's `skeletonize` (Zhang 1984). In a volume
    thinning is "doubled", see `centre_line`, or "skimage": `skeletonize` (Lee 1994) on the voxels
    themselves, which deletes bodies of even width, and the mask itself where it deletes all.
    """
    truth, answer = pair.masks
    if thinning == "doubled" and pair.dimensions == 3:
        precision = _share_of_cells(centre_line(answer), answer, truth)
        sensitivity = _share_of_cells(centre_line(truth), truth, answer)
    else:
        precision = _share(_thinned(answer), truth)
        sensitivity = _share(_thinned(truth), answer)
    total = precision + sensitivity
    return 2 * precision * sensitivity / total if total else 0.0


def centre_line(mask: np.ndarray) -> np.ndarray:
    """Return the cells (n, 3) of the centre line of a mask (D, H, W), on a grid twice as fine.

    Cell 2i + 1 is voxel i, cell 2i lies between the voxels i - 1 and i, and the mask holds every
    cell that touches one of its voxels. So every width is odd there, which scikit-image's thinning
    (Lee 1994) needs: bodies of even width have no line on the voxels (scikit-image issue 3757).
    Each component is thinned by itself, in its own box; the line has its components, tunnels and
    cavities.
    """
    from skimage.morphology import skeletonize

    lines = []
    for low, component in _components(mask):
        cells = _cells(component)
        line = np.argwhere(skeletonize(cells))
        lines.append((line if len(line) else np.argwhere(cells)) + 2 * low)
    return np.concatenate(lines)


def _components(mask: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield where the box of each 26-connected component begins, and the component in its box."""
    from scipy import ndimage

    numbered, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        yield np.array([along.start for along in box]), numbered[box] == number


def _cells(mask: np.ndarray) -> np.ndarray:
    """Return the cells of a mask (D, H, W): (2D + 1, 2H + 1, 2W + 1), see `centre_line`."""
    cells = np.zeros([2 * n + 1 for n in mask.shape], bool)
    cells[1::2, 1::2, 1::2] = mask
    for axis in range(3):
        along = np.moveaxis(cells, axis, 0)
        along[:-1:2] |= along[1::2]
        along[2::2] |= along[1::2]
    return cells


def _share_of_cells(line: np.ndarray, own: np.ndarray, other: np.ndarray) -> float:
    """Return the share of a line's cells that touch a voxel of their own mask and of the other."""
    common = own & other
    z, y, x = (((line[:, axis] - 1) // 2, line[:, axis] // 2) for axis in range(3))
    found = np.zeros(len(line), bool)
    for around in itertools.product(z, y, x):
        found |= common[around]
    return float(np.count_nonzero(found) / len(line))


def _thinned(mask: np.ndarray) -> np.ndarray:
    """Return the centre line of a mask; the mask itself where thinning leaves nothing of it."""
    from skimage.morphology import skeletonize

    line = skeletonize(mask[0])[None] if mask.shape[0] == 1 else skeletonize(mask)
    return line > 0 if line.any() else mask


def _share(line: np.ndarray, mask: np.ndarray) -> float:
    return float(np.count_nonzero(line & mask) / np.count_nonzero(line))


def components(pair: Pair, /) -> float:
    """Return how many 26-connected components the answer has (8-connected in a slice)."""
    return float(_betti(pair)[1][0])


def betti0_error(pair: Pair, /) -> float:
    """Return by how many the numbers of 26-connected components differ."""
    return _difference(pair, 0)


def betti1_error(pair: Pair, /) -> float:
    """Return by how many the numbers of tunnels differ (of holes in a slice)."""
    return _difference(pair, 1)


def betti2_error(pair: Pair, /) -> float:
    """Return by how many the numbers of cavities differ; a slice has none."""
    return _difference(pair, 2)


def euler_error(pair: Pair, /) -> float:
    """Return by how much the Euler numbers differ: components - tunnels + cavities."""
    truth, answer = (b0 - b1 + b2 for b0, b1, b2 in _betti(pair))
    return float(abs(answer - truth))


def _difference(pair: Pair, dimension: int) -> float:
    truth, answer = _betti(pair)
    return float(abs(answer[dimension] - truth[dimension]))


def _betti(pair: Pair) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return the numbers of components, tunnels and cavities of truth and answer."""
    if "betti" not in pair.cache:
        pair.cache["betti"] = tuple(_betti_numbers(words, pair) for words in pair.words)
    return pair.cache["betti"]


def _betti_numbers(words: np.ndarray, pair: Pair) -> tuple[int, int, int]:
    components = _count(masks.components(masks.runs(words), words.shape[1]))
    cavities = 0 if pair.dimensions == 2 else _cavities(words, pair.box[3:] - pair.box[:3])
    return components, components + cavities - int(masks.euler(words)), cavities


def _cavities(words: np.ndarray, shape: np.ndarray) -> int:
    """Return how many 6-connected components of the outside do not reach the box of `shape`."""
    depth, height, width = (int(n) for n in shape)
    row = masks.packed(np.arange(words.shape[2] * 64) < width)
    outside = np.zeros_like(words)
    outside[:depth, :height] = ~words[:depth, :height] & row
    rows, starts, stops = masks.runs(outside)
    roots = masks.components((rows, starts, stops), outside.shape[1], 6)
    z, y = np.divmod(np.repeat(np.arange(len(rows) - 1), np.diff(rows)), outside.shape[1])
    reaches = (z == 0) | (y == 0) | (starts == 0)
    reaches |= (z == depth - 1) | (y == height - 1) | (stops == width)
    return _count(roots) - len(np.unique(roots[reaches]))


def _count(roots: np.ndarray) -> int:
    return int(np.count_nonzero(roots == np.arange(len(roots))))
