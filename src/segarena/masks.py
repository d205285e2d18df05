"""Kernels on label maps that clicks and metrics share.

Everything works on two compact forms of a mask. *Bits*: 64 voxels of a row in one word, for what
looks at neighbours (surfaces, dilations). *Runs*: the stretches of a row, for what follows shapes
(components, depth). Both hold exactly the voxels of the mask, and all arithmetic on them is on
integers, so nothing here rounds:

- Components: runs that touch, also diagonally, are joined (union-find with the first run as root),
  so components are numbered by their first voxel in C order, as cc3d numbers them.
- Depth: a voxel's squared distance to the outside is an integer, and it is at least t if and only
  if, for every row at (dz, dy) with dz^2 + dy^2 < t, a stretch of half-width sqrt(t - dz^2 - dy^2)
  around x lies in a run of that row. The deepest voxels are found by raising t until no voxel is
  left; most rows drop out after a few comparisons, and no distance map is ever made.

The kernels are compiled once and cached beside this file or, where that folder is read-only, in the
user's cache folder (NUMBA_CACHE_DIR overrides both). `python -m segarena.masks` compiles them all.
"""

import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from segarena.errors import CaseError

NONE, ONE, TWO, THREE, FOUR, SIX, TOP = (np.uint64(n) for n in (0, 1, 2, 3, 4, 6, 63))
Runs = tuple[np.ndarray, np.ndarray, np.ndarray]
"""The runs of a mask, row by row: where each row's begin in the list, their starts, their stops."""

FAR = 1 << 30
"""Further than any voxel: where a run ends that has no known end."""

SHARE = 2.0**-20
"""What an instance's number adds to a squared distance in voxels, so that the lowest wins ties."""


def _spare_scipy() -> None:
    """Load numba's array functions without scipy.linalg, a tenth of a second in every job.

    They import it only to see whether it is there, which it is.
    """
    if "scipy.linalg" not in sys.modules:
        sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
        try:
            from numba.np import arraymath
        finally:
            del sys.modules["scipy.linalg"]
        arraymath._HAVE_BLAS = True


_spare_scipy()


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function, cached on disk wherever a folder for that can be written."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder can be written: compile for this process alone
        return njit(nogil=True)(function)


def _lowest_bit(typing_context: Any, word: Any) -> Any:
    """Return the position of the lowest bit that is set, as a machine instruction."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], context.get_constant(types.boolean, False))

    return types.uint64(types.uint64), generate


lowest_bit: Any = intrinsic(_lowest_bit)


def _ones(typing_context: Any, word: Any) -> Any:
    """Return how many bits are set, as a machine instruction."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


ones: Any = intrinsic(_ones)


# ---- what each label has in both maps, in one pass


@dataclass(frozen=True)
class Tally:
    """Labels (without 0) and, a row a label, what the two maps have of them.

    Boxes are (z, y, x) of the first voxel and of the one after the last; `box` holds both masks,
    `error_box` the voxels where they differ (all zeros where they do not).
    """

    labels: np.ndarray
    truth_voxels: np.ndarray
    answer_voxels: np.ndarray
    common_voxels: np.ndarray
    box: np.ndarray
    error_box: np.ndarray


def comparable(truth: np.ndarray, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two label maps in the same dtype, uint8 or uint16, as the kernels take them.

    Raises CaseError where they differ in shape or hold what is no label from 0 to 65535.
    """
    if truth.ndim != 3 or truth.shape != answer.shape:
        turned = sorted(truth.shape) == sorted(answer.shape) and truth.shape != answer.shape
        raise CaseError(
            f"label maps have the shapes {truth.shape} and {answer.shape}; two equal ones (D, H, W)"
            " are needed, a 2D map as a single slice" + "; is one of them transposed?" * turned
        )
    for dtype in (np.uint8, np.uint16):
        if _fits(truth, dtype) and _fits(answer, dtype):
            return (
                np.ascontiguousarray(truth, dtype=dtype),
                np.ascontiguousarray(answer, dtype=dtype),
            )
    raise CaseError(
        f"label maps are {truth.dtype} and {answer.dtype}; whole numbers from 0 to 65535, stored as"
        " integers, are needed"
    )


def _fits(array: np.ndarray, dtype: type[np.unsignedinteger]) -> bool:
    if np.can_cast(array.dtype, dtype):
        return True
    if array.dtype.kind not in "iu" or not array.size:
        return array.dtype.kind in "iu"
    return bool(array.min() >= 0 and array.max() <= np.iinfo(dtype).max)


def tally(truth: np.ndarray, answer: np.ndarray, labels: Sequence[int] | None = None) -> Tally:
    """Count and box the labels of two maps (D, H, W) of the same dtype, uint8 or uint16.

    labels: those of the truth unless others are given.
    """
    largest = 0 if labels is None else max(labels, default=0)
    values = max(int(np.iinfo(truth.dtype).max), int(largest)) + 1
    counts = np.zeros((3, values), np.int64)
    boxes = np.empty((2, values, 6), np.int32)
    boxes[..., :3], boxes[..., 3:] = FAR, 0
    _tally(truth, answer, (_by_words(truth), _by_words(answer)), counts, boxes)
    chosen = np.flatnonzero(counts[0, 1:]) + 1 if labels is None else np.array(labels, np.int64)
    kept = boxes[:, chosen]
    kept[kept == FAR] = 0
    return Tally(chosen, *counts[:, chosen], *kept)


def voxels_by_label(labels: np.ndarray) -> dict[int, int]:
    """Return how many voxels each label of a map of integers from 0 to 65535 has, without 0."""
    counts = np.zeros(2**16, np.int64)
    for plane in labels:
        found = np.bincount(plane.ravel().astype(np.int64))
        counts[: len(found)] += found
    return {int(label): int(counts[label]) for label in np.flatnonzero(counts) if label}


def invented(truth: np.ndarray, answer: np.ndarray) -> dict[int, int]:
    """Return the voxels of each label that an answer has and the truth does not have."""
    known = voxels_by_label(truth)
    return {n: voxels for n, voxels in voxels_by_label(answer).items() if n not in known}


def _by_words(labels: np.ndarray) -> np.ndarray:
    """View rows as 64-bit words, or as none where they do not fill whole words."""
    whole = labels.size > 0 and labels.shape[2] * labels.itemsize % 8 == 0
    return labels.view(np.uint64) if whole else np.zeros((*labels.shape[:2], 0), np.uint64)


@kernel
def _tally(truth: Any, answer: Any, words: Any, counts: Any, boxes: Any) -> None:
    depth, height, width = truth.shape
    truth_words, answer_words = words
    for z in range(depth):
        for y in range(height):
            one, other = truth[z, y], answer[z, y]
            one_words, other_words = truth_words[z, y], answer_words[z, y]
            x = 0
            while x < width:
                t, a, start = one[x], other[x], x
                x = _end_of_stretch(one, other, one_words, other_words, x + 1)
                if t == a:
                    if t != 0:
                        counts[:, t] += x - start
                        _widen(boxes[0, t], z, y, start, x)
                    continue
                if t != 0:
                    counts[0, t] += x - start
                    _widen(boxes[0, t], z, y, start, x)
                    _widen(boxes[1, t], z, y, start, x)
                if a != 0:
                    counts[1, a] += x - start
                    _widen(boxes[0, a], z, y, start, x)
                    _widen(boxes[1, a], z, y, start, x)


@kernel
def _end_of_stretch(one: Any, other: Any, one_words: Any, other_words: Any, x: int) -> int:
    """Return the first voxel from x on that differs in either map from the one before."""
    width, count = len(one), len(one_words)
    per_word = width // count if count else 0
    t, a = one[x - 1], other[x - 1]
    while x < width and one[x] == t and other[x] == a:
        x += 1
        if x & (per_word - 1) == 0 and x < width:
            word = np.uint64(x) // np.uint64(per_word)
            same_one, same_other = one_words[word - ONE], other_words[word - ONE]
            if _uniform(same_one, per_word) and _uniform(same_other, per_word):
                while x < width and (
                    one_words[word] == same_one and other_words[word] == same_other
                ):
                    word += ONE
                    x += per_word
    return x


@kernel
def _uniform(word: Any, per_word: int) -> Any:
    """Return whether all voxels of a word are the same: rotated by one, it does not change."""
    shift = np.uint64(64 // per_word)
    return word == (word << shift | word >> (np.uint64(64) - shift))


@kernel
def _widen(box: Any, z: int, y: int, start: int, stop: int) -> None:
    box[0] = min(box[0], z)
    box[1] = min(box[1], y)
    box[2] = min(box[2], start)
    box[3] = max(box[3], z + 1)
    box[4] = max(box[4], y + 1)
    box[5] = max(box[5], stop)


# ---- bits


@kernel
def bits(labels: Any, label: int, box: Any) -> Any:
    """Pack the voxels of a box that have a label; one voxel of margin beyond the box is clear."""
    depth, height, width = box[3] - box[0], box[4] - box[1], box[5] - box[2]
    words = np.zeros((depth + 1, height + 1, width // 64 + 1), np.uint64)
    for z in range(depth):
        for y in range(height):
            row = labels[box[0] + z, box[1] + y, box[2] : box[5]]
            for w in range(words.shape[2]):
                first = w * 64
                word = NONE
                if first + 64 <= width:
                    for i in range(64):
                        word |= np.uint64(row[first + i] == label) << np.uint64(i)
                else:
                    for i in range(width - first):
                        word |= np.uint64(row[first + i] == label) << np.uint64(i)
                words[z, y, w] = word
    return words


def packed(mask: np.ndarray) -> np.ndarray:
    """Return the bits of a bool mask whose rows fill whole words."""
    return np.packbits(mask, axis=-1, bitorder="little").view("<u8").astype(np.uint64, copy=False)


def unpacked(words: np.ndarray) -> np.ndarray:
    """Return the bool mask that bits stand for; its rows fill whole words."""
    octets = words.astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little").astype(bool)


# ---- runs


@kernel
def runs(words: Any) -> Any:
    """Return the runs of a bit mask."""
    depth, height, width = words.shape
    rows = np.zeros(depth * height + 1, np.int64)
    for row in range(depth * height):
        carry, ends = np.uint64(0), 0
        for w in range(width):
            word = words[row // height, row % height, w]
            edges = word ^ (word << ONE | carry)
            carry = word >> TOP
            while edges:
                edges &= edges - ONE
                ends += 1
        rows[row + 1] = rows[row] + ends // 2
    ends_at = np.empty((2, rows[-1]), np.int32)
    for row in range(depth * height):
        if rows[row + 1] == rows[row]:
            continue
        carry, place = np.uint64(0), 2 * rows[row]
        for w in range(width):
            word = words[row // height, row % height, w]
            edges = word ^ (word << ONE | carry)
            carry = word >> TOP
            while edges:
                ends_at[place & 1, place >> 1] = w * 64 + np.int64(lowest_bit(edges))
                edges &= edges - ONE
                place += 1
    return rows, ends_at[0], ends_at[1]


@kernel
def _root(parents: Any, run: int) -> int:
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


@kernel
def _join(parents: Any, starts: Any, stops: Any, here: Any, there: Any, reach: int) -> None:
    """Join the runs of two neighbouring rows that touch; reach: 1 with corners, 0 without."""
    one, other = here[0], there[0]
    while one < here[1] and other < there[1]:
        if starts[other] < stops[one] + reach and stops[other] + reach > starts[one]:
            a, b = _root(parents, one), _root(parents, other)
            if a < b:
                parents[b] = a
            elif b < a:
                parents[a] = b
        if stops[one] < stops[other]:
            one += 1
        else:
            other += 1


@kernel
def components(found: Any, height: int, neighbours: int = 26) -> Any:
    """Return for each run the first run of its component; neighbours: 26, 18 or 6."""
    rows, starts, stops = found
    parents = np.arange(len(starts), dtype=np.int32)
    for row in range(len(rows) - 1):
        here = (rows[row], rows[row + 1])
        if here[0] == here[1]:
            continue
        y = row % height
        reach = 0 if neighbours == 6 else 1
        if y > 0:
            _join(parents, starts, stops, here, (rows[row - 1], rows[row]), reach)
        if row >= height:
            before, after = reach * (y > 0), reach * (y < height - 1)
            for side in range(-before, 1 + after):
                there = (rows[row - height + side], rows[row - height + side + 1])
                corner = 0 if side and neighbours == 18 else reach
                _join(parents, starts, stops, here, there, corner)
    for run in range(len(parents)):
        parents[run] = parents[parents[run]]
    return parents


@kernel
def euler(words: Any) -> Any:
    """Return the Euler number of a bit mask's closed voxels, whose last plane and row are clear.

    It is the number of their corners - edges + faces - voxels, each counted once.
    """
    depth, height, width = words.shape
    clear = np.zeros(width, np.uint64)
    number = 0
    for z in range(depth):
        for y in range(height):
            a, b, c, d = _around(words, clear, z, y, False)
            carry = np.zeros(4, np.uint64)
            for w in range(width):
                sides = (a[w] | b[w] | c[w] | d[w], d[w], b[w] | d[w], c[w] | d[w])
                for i in range(4):
                    both = sides[i] | sides[i] << ONE | carry[i]
                    carry[i] = sides[i] >> TOP
                    count = ones(both) - ones(sides[i])
                    number += count if i < 2 else -count
    return number


@kernel
def centre(words: Any) -> Any:
    """Return the mean (z, y, x) of the bits that are set."""
    depth, height, width = words.shape
    sums = np.zeros(3, np.int64)
    count = 0
    for z in range(depth):
        for y in range(height):
            for w in range(width):
                here = ones(words[z, y, w])
                count += here
                sums[0] += here * z
                sums[1] += here * y
                sums[2] += here * w * 64
                left = words[z, y, w]
                while left:
                    sums[2] += np.int64(lowest_bit(left))
                    left &= left - ONE
    return sums / count


@kernel
def largest_component(found: Any, height: int) -> Any:
    """Return the runs of the largest 26-connected component, the first of several, and its box."""
    rows, starts, stops = found
    roots = components(found, height)
    sizes = np.zeros(len(starts), np.int64)
    for run in range(len(starts)):
        sizes[roots[run]] += stops[run] - starts[run]
    largest = np.argmax(sizes)
    kept_rows = np.zeros_like(rows)
    kept = 0
    box = np.array([FAR, FAR, FAR, 0, 0, 0])
    for row in range(len(rows) - 1):
        for run in range(rows[row], rows[row + 1]):
            if roots[run] == largest:
                starts[kept], stops[kept] = starts[run], stops[run]
                _widen(box, row // height, row % height, starts[kept], stops[kept])
                kept += 1
        kept_rows[row + 1] = kept
    return (kept_rows, starts[:kept].copy(), stops[:kept].copy()), box


# ---- depth


@functools.lru_cache(maxsize=64)
def _offsets(radius: int) -> np.ndarray:
    """Return (dz, dy, dz^2 + dy^2) of the rows nearer than a radius, nearest first."""
    reach = np.arange(1 - radius, radius)
    dz, dy = (axis.ravel() for axis in np.meshgrid(reach, reach, indexing="ij"))
    squared = dz * dz + dy * dy
    order = np.argsort(squared, kind="stable")
    order = order[squared[order] < radius * radius]
    return np.stack([dz[order], dy[order], squared[order]], axis=1).astype(np.int32)


def deepest(
    found: Runs, shape: tuple[int, int, int], *, radius: int, open_beyond: bool
) -> np.ndarray:
    """Return (row, start, stop) of the voxels with the largest distance to the outside, in C order.

    shape: of the grid that the runs lie in. radius: an integer that no distance exceeds.
    open_beyond: what lies beyond the grid counts as inside; else it is outside. Distances are
    Euclidean, in voxels.
    """
    return _deepest(found, (shape[1], shape[2], _offsets(radius + 1), open_beyond))


@kernel
def _deepest(found: Any, grid: Any) -> Any:
    rows, height = found[0], grid[0]
    buffers = np.empty((2, 2, grid[1] // 2 + 2), np.int32)
    squared = 1
    for stride in (8, 1):
        for row in range(len(rows) - 1):
            empty = rows[row] == rows[row + 1]
            if empty or row // height % stride or row % height % stride:
                continue
            while True:
                left, at = _at_least(squared + 1, row, found, grid, buffers)
                if left == 0:
                    break
                squared = _depth(row, _middle(buffers[at], left), found, grid)
    return _all_at_least(squared, found, grid, buffers)


@kernel
def _all_at_least(squared: int, found: Any, grid: Any, buffers: Any) -> Any:
    rows = found[0]
    stretches = np.empty((64, 3), np.int32)
    size = 0
    for row in range(len(rows) - 1):
        if rows[row] == rows[row + 1]:
            continue
        left, at = _at_least(squared, row, found, grid, buffers)
        while size + left > len(stretches):
            stretches = np.concatenate((stretches, np.empty_like(stretches)))
        for i in range(left):
            stretches[size, 0] = row
            stretches[size, 1] = buffers[at, 0, i]
            stretches[size, 2] = buffers[at, 1, i]
            size += 1
    return stretches[:size]


@kernel
def _middle(stretches: Any, count: int) -> int:
    longest = 0
    for i in range(count):
        if stretches[1, i] - stretches[0, i] > stretches[1, longest] - stretches[0, longest]:
            longest = i
    return (stretches[0, longest] + stretches[1, longest] - 1) // 2


@kernel
def _at_least(squared: int, row: int, found: Any, grid: Any, buffers: Any) -> Any:
    """Find the voxels of a row whose squared depth is at least `squared`.

    Returns how many stretches there are and in which buffer. Far rows come first: for a voxel off
    the centre they fail soonest.
    """
    rows, starts, stops = found
    height, width, offsets, open_beyond = grid
    depth = (len(rows) - 1) // height
    half = np.int64(np.ceil(np.sqrt(squared)))
    left, at = 0, 0
    for run in range(rows[row], rows[row + 1]):
        start, stop = _shrunk(starts[run], stops[run], half, width, open_beyond)
        if start < stop:
            buffers[0, 0, left], buffers[0, 1, left] = start, stop
            left += 1
    if left == 0:
        return 0, at
    z, y = row // height, row % height
    farthest = np.searchsorted(offsets[:, 2], squared) - 1
    for i in range(farthest, 0, -1):
        there_z, there_y = z + offsets[i, 0], y + offsets[i, 1]
        if there_z < 0 or there_z >= depth or there_y < 0 or there_y >= height:
            if open_beyond:
                continue
            return 0, at
        other = there_z * height + there_y
        half = np.int64(np.ceil(np.sqrt(squared - offsets[i, 2])))
        kept, stretch, run = 0, 0, rows[other]
        while stretch < left and run < rows[other + 1]:
            start, stop = _shrunk(starts[run], stops[run], half, width, open_beyond)
            begin = max(start, buffers[at, 0, stretch])
            end = min(stop, buffers[at, 1, stretch])
            if begin < end:
                buffers[1 - at, 0, kept], buffers[1 - at, 1, kept] = begin, end
                kept += 1
            if stop < buffers[at, 1, stretch]:
                run += 1
            else:
                stretch += 1
        left, at = kept, 1 - at
        if left == 0:
            return 0, at
    return left, at


@kernel
def _shrunk(start: int, stop: int, half: int, width: int, open_beyond: Any) -> Any:
    """Return the voxels of a run that are `half` or more from its outside."""
    first = 0 if open_beyond and start == 0 else start + half - 1
    last = width if open_beyond and stop == width else stop - half + 1
    return first, last


@kernel
def _depth(row: int, x: int, found: Any, grid: Any) -> Any:
    """Return the squared depth of one voxel."""
    rows, starts, stops = found
    height, width, offsets, open_beyond = grid
    depth = (len(rows) - 1) // height
    z, y = row // height, row % height
    least = np.int64(FAR)
    for i in range(len(offsets)):
        if offsets[i, 2] >= least:
            break
        there_z, there_y = z + offsets[i, 0], y + offsets[i, 1]
        along = 0
        if there_z < 0 or there_z >= depth or there_y < 0 or there_y >= height:
            along = FAR if open_beyond else 0
        else:
            other = there_z * height + there_y
            run = (
                rows[other]
                + np.searchsorted(starts[rows[other] : rows[other + 1]], x, side="right")
                - 1
            )
            if run >= rows[other] and x < stops[run]:
                before = FAR if open_beyond and starts[run] == 0 else x - starts[run] + 1
                after = FAR if open_beyond and stops[run] == width else stops[run] - x
                along = min(before, after)
        if along < FAR:
            least = min(least, along * along + offsets[i, 2])
    return least


@kernel
def mark_cells(found: Any, height: int, origin: Any, cells: Any) -> None:
    """Set the cells of 2x2x2 voxels, counted from an origin, that the runs reach."""
    rows, starts, stops = found
    for row in range(len(rows) - 1):
        z, y = (row // height - origin[0]) // 2, (row % height - origin[1]) // 2
        for run in range(rows[row], rows[row + 1]):
            first, last = (starts[run] - origin[2]) // 2, (stops[run] - 1 - origin[2]) // 2
            cells[z, y, first : last + 1] = 1


@kernel
def within_cells(found: Any, height: int, origin: Any, cells: Any) -> Any:
    """Return (row, start, stop) of each voxel of the runs that lies in a cell that is set."""
    rows, starts, stops = found
    voxels = np.empty((64, 3), np.int32)
    size = 0
    for row in range(len(rows) - 1):
        z, y = (row // height - origin[0]) // 2, (row % height - origin[1]) // 2
        for run in range(rows[row], rows[row + 1]):
            for x in range(starts[run], stops[run]):
                if cells[z, y, (x - origin[2]) // 2]:
                    if size == len(voxels):
                        voxels = np.concatenate((voxels, np.empty_like(voxels)))
                    voxels[size, 0], voxels[size, 1], voxels[size, 2] = row, x, x + 1
                    size += 1
    return voxels[:size]


# ---- surfaces


@kernel
def surface(words: Any, flat: Any) -> Any:
    """Return the bits of the voxel corners at which a bit mask has a surface element.

    Corner (z, y, x) lies between the voxels z - 1 and z, y - 1 and y, x - 1 and x. flat: a single
    slice that goes on for ever, so that its elements are those of its contours.
    """
    depth, height, width = words.shape
    corners = np.zeros_like(words)
    clear = np.zeros(width, np.uint64)
    for z in range(1 if flat else depth):
        for y in range(height):
            a, b, c, d = _around(words, clear, z, y, flat)
            carry_any = carry_all = np.uint64(0)
            for w in range(width):
                some = a[w] | b[w] | c[w] | d[w]
                every = a[w] & b[w] & c[w] & d[w]
                corners[z, y, w] = (some | some << ONE | carry_any) & ~(
                    every & (every << ONE | carry_all)
                )
                carry_any, carry_all = some >> TOP, every >> TOP
    return corners


@kernel
def _around(words: Any, clear: Any, z: int, y: int, flat: Any) -> Any:
    """Return the four rows of voxels around a row of corners."""
    before = z if flat else z - 1
    return (
        words[before, y - 1] if before >= 0 and y > 0 else clear,
        words[before, y] if before >= 0 else clear,
        words[z, y - 1] if y > 0 else clear,
        words[z, y],
    )


@kernel
def dilated(words: Any, reach: int) -> Any:
    """Return copies of a bit mask, each dilated along x by one more voxel than the one before."""
    depth, height, width = words.shape
    copies = np.empty((reach + 1, depth, height, width), np.uint64)
    copies[0] = words
    for half in range(1, reach + 1):
        for z in range(depth):
            for y in range(height):
                row, grown = copies[half - 1, z, y], copies[half, z, y]
                carry = np.uint64(0)
                for w in range(width):
                    after = row[w + 1] << TOP if w + 1 < width else np.uint64(0)
                    grown[w] = row[w] | row[w] << ONE | carry | row[w] >> ONE | after
                    carry = row[w] >> TOP
    return copies


@kernel
def near(words: Any, others: Any, ball: Any) -> Any:
    """Return the bits of a mask that have a bit of another mask within a ball.

    others: the other mask as `dilated` returns it. ball: (dz, dy, half width) of its rows, the
    nearest first, because most bits are done with after a few rows.
    """
    depth, height, width = words.shape
    close = np.zeros_like(words)
    for z in range(depth):
        for y in range(height):
            for w in range(width):
                missing = words[z, y, w]
                if not missing:
                    continue
                for i in range(len(ball)):
                    there_z, there_y = z + ball[i, 0], y + ball[i, 1]
                    if 0 <= there_z < depth and 0 <= there_y < height:
                        missing &= ~others[ball[i, 2], there_z, there_y, w]
                        if not missing:
                            break
                close[z, y, w] = words[z, y, w] & ~missing
    return close


@kernel
def count_codes(words: Any, corners: Any, close: Any, flat: Any) -> Any:
    """Count the codes of a bit mask's surface elements: (2, 256), those not close and those close.

    corners, close: the bits of all elements and of those that are close to the other surface.
    """
    depth, height, width = words.shape
    counts = np.zeros((2, 256), np.int64)
    clear = np.zeros(width, np.uint64)
    for z in range(1 if flat else depth):
        for y in range(height):
            rows = _around(words, clear, z, y, flat)
            for w in range(width):
                left = corners[z, y, w]
                while left:
                    bit = lowest_bit(left)
                    left &= left - ONE
                    counts[close[z, y, w] >> bit & ONE, _code(rows, w, bit)] += 1
    return counts


@kernel
def _code(rows: Any, w: int, bit: Any) -> Any:
    """Return which of the eight voxels around a corner are set, two bits a row."""
    a, b, c, d = rows
    return (
        _two(a, w, bit) | _two(b, w, bit) << TWO | _two(c, w, bit) << FOUR | _two(d, w, bit) << SIX
    )


@kernel
def _two(row: Any, w: int, bit: Any) -> Any:
    """Return the voxels x - 1 and x of a row as two bits."""
    if bit:
        return row[w] >> (bit - ONE) & THREE
    return (row[w] << ONE | (row[w - 1] >> TOP if w else NONE)) & THREE


@kernel
def border(words: Any, flat: Any) -> Any:
    """Return the voxels of a bit mask with a neighbour outside it, across a face."""
    depth, height, width = words.shape
    edge = np.zeros_like(words)
    for z in range(depth):
        for y in range(height):
            for w in range(width):
                word = words[z, y, w]
                if not word:
                    continue
                low = words[z, y, w - 1] >> TOP if w else NONE
                high = words[z, y, w + 1] << TOP if w + 1 < width else NONE
                inner = (word << ONE | low) & (word >> ONE | high)
                inner &= words[z, y - 1, w] if y else NONE
                inner &= words[z, y + 1, w] if y + 1 < height else NONE
                if not flat:
                    inner &= words[z - 1, y, w] if z else NONE
                    inner &= words[z + 1, y, w] if z + 1 < depth else NONE
                edge[z, y, w] = word & ~inner
    return edge


@kernel
def places(words: Any) -> Any:
    """Return (z, y, x) of the bits that are set, in C order."""
    depth, height, width = words.shape
    count = 0
    for z in range(depth):
        for y in range(height):
            for w in range(width):
                left = words[z, y, w]
                while left:
                    left &= left - ONE
                    count += 1
    found = np.empty((count, 3), np.int32)
    count = 0
    for z in range(depth):
        for y in range(height):
            for w in range(width):
                left = words[z, y, w]
                while left:
                    found[count, 0], found[count, 1] = z, y
                    found[count, 2] = w * 64 + np.int64(lowest_bit(left))
                    left &= left - ONE
                    count += 1
    return found


@kernel
def codes(words: Any, corners: Any, flat: Any) -> Any:
    """Return the codes of a bit mask's surface elements, in C order."""
    found = np.empty(len(places(corners)), np.uint8)
    clear = np.zeros(words.shape[2], np.uint64)
    count = 0
    for z in range(1 if flat else words.shape[0]):
        for y in range(words.shape[1]):
            rows = _around(words, clear, z, y, flat)
            for w in range(words.shape[2]):
                left = corners[z, y, w]
                while left:
                    bit = lowest_bit(left)
                    left &= left - ONE
                    found[count] = _code(rows, w, bit)
                    count += 1
    return found


@kernel
def distances(here: Any, others: Any, spacing_mm: Any) -> Any:
    """Return how far each place (z, y, x) is from the nearest bit of a mask, in mm.

    Plane by plane: the distances within one plane of the mask, exact along x and then, as the lower
    envelope of parabolas, along y; then every place looks whether this plane is nearer than those
    before. No map larger than a plane is held.
    """
    nearest = np.full(len(here), np.inf)
    plane = np.empty((others.shape[1], _columns(here, others)))
    for z in range(others.shape[0]):
        if not _plane_distances(others[z], spacing_mm, plane):
            continue
        for i in range(len(here)):
            away = (here[i, 0] - z) * spacing_mm[0]
            if away * away < nearest[i]:
                nearest[i] = min(nearest[i], away * away + plane[here[i, 1], here[i, 2]])
    return np.sqrt(nearest)


@kernel
def _columns(here: Any, others: Any) -> int:
    """Return how many columns of the grid hold all places and all bits; less than whole words."""
    width: Any = 0
    for i in range(len(here)):
        width = max(width, here[i, 2] + 1)
    for w in range(others.shape[2]):
        every = NONE
        for z in range(others.shape[0]):
            for y in range(others.shape[1]):
                every |= others[z, y, w]
        while every:
            width = max(width, w * 64 + np.int64(lowest_bit(every)) + 1)
            every &= every - ONE
    return width


@kernel
def _plane_distances(words: Any, spacing_mm: Any, plane: Any) -> Any:
    """Write the squared distances to the bits of one plane; return whether it has any."""
    height, width = plane.shape
    any_row = False
    rows = np.empty(height, np.int64)
    for y in range(height):
        any_row |= _row_distances(words[y], spacing_mm[2], plane[y])
    if not any_row:
        return False
    count = 0
    for y in range(height):
        if plane[y, 0] < np.inf:
            rows[count] = y
            count += 1
    hull = np.empty(height), np.empty(height, np.int64), np.empty(height + 1)
    for x in range(width):
        envelope(plane[:, x], rows[:count], spacing_mm[1], hull)
    return True


@kernel
def _row_distances(row: Any, spacing_mm: float, squared: Any) -> Any:
    last: Any = -1
    for w in range(len(row)):
        left = row[w]
        while left:
            x = w * 64 + np.int64(lowest_bit(left))
            left &= left - ONE
            for i in range(0 if last < 0 else (last + x) // 2 + 1, x + 1):
                away = (x - i) * spacing_mm
                squared[i] = away * away
            if last >= 0:
                for i in range(last + 1, (last + x) // 2 + 1):
                    away = (i - last) * spacing_mm
                    squared[i] = away * away
            last = x
    for i in range(last + 1, len(squared)):
        away = (i - last) * spacing_mm
        squared[i] = away * away if last >= 0 else np.inf
    return last >= 0


@kernel
def envelope(column: Any, rows: Any, spacing_mm: float, hull: Any) -> None:
    """Replace a column by the lower envelope of the parabolas that stand on some of its rows.

    hull: room for the parabolas that make the envelope: value, row, and from where each is lowest.
    """
    values, stand, bounds = hull
    top = -1
    for y in rows:
        at = y * spacing_mm
        cut: Any = -np.inf
        while top >= 0:
            before = stand[top] * spacing_mm
            rise = (column[y] - values[top]) + (at - before) * (at + before)
            cut = rise / (2 * (at - before))
            if cut > bounds[top]:
                break
            top -= 1
        top += 1
        stand[top], values[top] = y, column[y]
        bounds[top] = cut if top else -np.inf
    bounds[top + 1] = np.inf
    place = 0
    for y in range(len(column)):
        at = y * spacing_mm
        while bounds[place + 1] < at:
            place += 1
        before = stand[place] * spacing_mm
        column[y] = values[place] + (at - before) * (at - before)


# ---- instances


@kernel
def label_runs(labels: Any) -> Any:
    """Return the runs of voxels of the same label, without 0, and their labels."""
    depth, height, width = labels.shape
    rows = np.zeros(depth * height + 1, np.int64)
    for row in range(depth * height):
        line, before, count = labels[row // height, row % height], 0, 0
        for x in range(width):
            if line[x] != before:
                before = line[x]
                count += before != 0
        rows[row + 1] = rows[row] + count
    starts, stops = np.empty(rows[-1], np.int32), np.empty(rows[-1], np.int32)
    values = np.empty(rows[-1], labels.dtype)
    run = -1
    for row in range(depth * height):
        if rows[row] == rows[row + 1]:
            continue
        line, before = labels[row // height, row % height], 0
        for x in range(width):
            if line[x] != before:
                if before != 0:
                    stops[run] = x
                before = line[x]
                if before != 0:
                    run += 1
                    starts[run], values[run] = x, before
        if before != 0:
            stops[run] = width
    return rows, starts, stops, values


@kernel
def shared_runs(one: Any, one_numbers: Any, other: Any, other_numbers: Any) -> Any:
    """Return (instance, instance, voxels) of each stretch that runs of both sides share."""
    shared = np.empty((len(one_numbers) + len(other_numbers), 3), np.int64)
    size = 0
    for row in range(len(one[0]) - 1):
        a, b = one[0][row], other[0][row]
        while a < one[0][row + 1] and b < other[0][row + 1]:
            voxels = min(one[2][a], other[2][b]) - max(one[1][a], other[1][b])
            if voxels > 0:
                shared[size, 0], shared[size, 1] = one_numbers[a], other_numbers[b]
                shared[size, 2] = voxels
                size += 1
            if one[2][a] < other[2][b]:
                a += 1
            else:
                b += 1
    return shared[:size]


@kernel
def spread(copies: Any, ball: Any) -> Any:
    """Return the union of the rows of a ball around each bit; copies: as `dilated` has them."""
    _, depth, height, width = copies.shape
    grown = np.zeros((depth, height, width), np.uint64)
    for z in range(depth):
        for y in range(height):
            for i in range(len(ball)):
                there_z, there_y = z + ball[i, 0], y + ball[i, 1]
                if 0 <= there_z < depth and 0 <= there_y < height:
                    for w in range(width):
                        grown[z, y, w] |= copies[ball[i, 2], there_z, there_y, w]
    return grown


@kernel
def paint(runs: Any, low: Any, mask: Any) -> None:
    """Set the voxels of runs (z, y, start, stop) in a mask that begins at `low`."""
    for i in range(len(runs)):
        first, last = runs[i, 2] - low[2], runs[i, 3] - low[2]
        mask[runs[i, 0] - low[0], runs[i, 1] - low[1], first:last] = 1


@kernel
def nearest(places: Any, found: Any, numbers: Any, shape: Any) -> Any:
    """Return the number of the instance that each place (z, y, x) is nearest to.

    Plane by plane as `distances` has it. What is compared is the squared distance, a whole
    number, plus a share of the instance's number that is less than 1 and exact in double precision.
    """
    depth, height, width = shape[0], shape[1], shape[2] * 64
    best = np.full(len(places), np.inf)
    plane = np.empty((height, width))
    longest = max(height, width)
    hull = np.empty(longest), np.empty(longest, np.int64), np.empty(longest + 1)
    filled = np.empty(height, np.int64)
    for z in range(depth):
        rows = _plane_nearest(z, found, numbers, plane, filled, hull)
        if rows == 0:
            continue
        for x in range(width):
            envelope(plane[:, x], filled[:rows], 1.0, hull)
        for i in range(len(places)):
            away = float(places[i, 0] - z)
            if away * away < best[i]:
                best[i] = min(best[i], away * away + plane[places[i, 1], places[i, 2]])
    found_there = np.empty(len(places), np.int64)
    for i in range(len(places)):
        found_there[i] = np.int64((best[i] - np.floor(best[i])) / SHARE)
    return found_there


@kernel
def _plane_nearest(z: int, found: Any, numbers: Any, plane: Any, filled: Any, hull: Any) -> int:
    """Write what `nearest` compares, within each row of a plane; return how many have a run."""
    rows, starts, stops = found
    height, width = plane.shape
    columns = np.empty(width, np.int64)
    count = 0
    for y in range(height):
        first, last = rows[z * height + y], rows[z * height + y + 1]
        if first == last:
            continue
        size = 0
        for run in range(first, last):
            for x in range(starts[run], stops[run]):
                plane[y, x] = numbers[run] * SHARE
                columns[size] = x
                size += 1
        envelope(plane[y], columns[:size], 1.0, hull)
        filled[count] = y
        count += 1
    return count


def compile_all() -> None:
    """Run every kernel on small maps of both dtypes, so that later jobs find them in the cache."""
    for dtype in (np.uint8, np.uint16):
        labels = np.zeros((3, 4, 8), dtype)
        labels[1, 1:3, 2:5] = 1
        box = tally(labels, np.zeros_like(labels)).box[0]
        words = bits(labels, 1, box)
    whole = runs(words)
    components(whole, words.shape[1])
    components(whole, words.shape[1], 6)
    euler(words)
    centre(words)
    shape = (words.shape[0], words.shape[1], 64)
    largest, extent = largest_component(whole, shape[1])
    for open_beyond in (False, True):
        deepest(largest, shape, radius=1, open_beyond=open_beyond)
    cells = np.zeros((2, 3, 3), np.uint8)
    mark_cells(largest, shape[1], extent[:3] - 1, cells)
    within_cells(largest, shape[1], extent[:3] - 1, cells)
    bits(cells, 1, np.array([0, 0, 0, *cells.shape]))
    corners = surface(words, False)
    close = near(corners, dilated(corners, 1), np.zeros((1, 3), np.int32))
    count_codes(words, corners, close, False)
    codes(words, corners, False)
    distances(places(corners), border(words, False), (1.0, 1.0, 1.0))
    _compile_instances(words)


def _compile_instances(words: np.ndarray) -> None:
    for dtype in (np.uint8, np.uint16):
        label_runs(np.ones((1, 1, 2), dtype))
    found = runs(words)
    numbers = np.zeros(len(found[1]), np.int64)
    shared_runs(found, numbers, found, numbers)
    spread(dilated(words, 1), np.zeros((1, 3), np.int64))
    paint(np.zeros((1, 4), np.int32), np.zeros(3, np.int32), np.zeros((1, 1, 1), np.uint8))
    nearest(places(words), found, numbers, words.shape)


if __name__ == "__main__":
    from segarena import masks  # noqa: PLW0406 - the cache has to know the kernels by this name

    masks.compile_all()
