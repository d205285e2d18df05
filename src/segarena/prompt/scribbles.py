"""The user of ScribblePrompt: scribbles and clicks on the truth, then on the errors.

After Wong, Rakic, Guttag and Dalca, ScribblePrompt, ECCV 2024 (arXiv:2312.07381), whose ranges are
the constants below. Everything random is drawn first (`draw`), can be recorded, and is then applied
by a pure function (`apply`), so a record says exactly what was done and gives the same scribble.
Smooth noise fields are too large to record; their seeds are drawn instead.

Where the published code makes what no hand draws, the hand was followed (docs/protocols.md):
background is drawn near what it is the background of; a stroke is warped by moving its pixels and
joining again those that were neighbours, because warping it as an image tears a line of one pixel's
width apart; a centre line is also broken where it branches, and pieces too short to be a stroke are
dropped; and a limit keeps the longest strokes.

In a volume the user works in slices: in the one with the most voxels of the region it corrects
(the lowest of equal ones), or in all of them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segarena.case import read_array
from segarena.errors import CaseError
from segarena.prompt.ritm import Box, label_boxes
from segarena.prompt.seed import generator

Kind = Literal["line", "centerline", "contour"]
ClickRule = Literal["random", "center", "border"]
Slices = Literal["largest", "all"]
Marks = dict[str, list[list[int]]]

LINES = (1, 3)
BLUR_SIGMA_PX = (5.0, 20.0)
SMOOTHING_PX = (4.0, 16.0)
WARP_SIZE_PX = (1.0, 6.0)
SHORTEST_PX = 16
REACH_PX = (12.0, 40.0)
ALIKE: Mapping[str, float] = {"line": 1, "centerline": 1, "contour": 1}


@dataclass(frozen=True)
class Stroke:
    """Everything that was drawn for one scribble on one mask.

    `reach_px`: how far from the outside of the mask lines begin and end and centre lines are
    sought; None is anywhere. `ends`: pairs of pixels (y, x) that a line joins. `blur_sigma_px`,
    `level`: which contour; level 0 is the smallest value of the blurred inverted mask inside the
    mask, 1 the largest. `break_seed`, `warp_seed`: the seeds of the noise fields of these
    smoothings. `warp_size_px`: the standard deviation of the displacement along an axis.
    """

    kind: Kind
    reach_px: float | None
    ends: tuple[tuple[tuple[int, int], tuple[int, int]], ...]
    blur_sigma_px: float
    level: float
    break_smoothing_px: float
    break_seed: int
    warp_smoothing_px: float
    warp_size_px: float
    warp_seed: int


def draw(
    mask: np.ndarray,
    rng: np.random.Generator,
    mix: Mapping[str, float] = ALIKE,
    *,
    background: bool = False,
) -> Stroke:
    """Draw the parameters of one scribble on a mask (H, W) that is not empty.

    `mix`: how often each kind is drawn, in any unit. All parameters are drawn whatever the kind, so
    that one more option in the mix does not shift what is drawn after it. `background`: of a stroke
    that says what is not the label; it stays near what is not in the mask.
    """
    kinds = sorted(mix)
    weights = np.array([mix[kind] for kind in kinds], float)
    kind: Any = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
    reach_px = float(rng.uniform(*REACH_PX)) if background else None
    pixels = np.argwhere(_within_reach(mask, reach_px))
    lines = int(rng.integers(LINES[0], LINES[1] + 1))
    ends = pixels[rng.integers(len(pixels), size=(LINES[1], 2))][:lines].tolist()
    return Stroke(
        kind=kind,
        reach_px=reach_px,
        ends=tuple(((a[0], a[1]), (b[0], b[1])) for a, b in ends) if kind == "line" else (),
        blur_sigma_px=float(rng.uniform(*BLUR_SIGMA_PX)),
        level=float(rng.uniform()),
        break_smoothing_px=float(rng.uniform(*SMOOTHING_PX)),
        break_seed=int(rng.integers(2**32)),
        warp_smoothing_px=float(rng.uniform(*SMOOTHING_PX)),
        warp_size_px=float(rng.uniform(*WARP_SIZE_PX)),
        warp_seed=int(rng.integers(2**32)),
    )


def apply(mask: np.ndarray, stroke: Stroke, *, max_pixels: int | None = None) -> np.ndarray:
    """Return the scribble (H, W), inside the mask and never empty.

    A centre line or contour is broken by smooth noise, every stroke is warped, and what leaves the
    mask is cut off; if nothing is left, the stroke before that step counts. `max_pixels` keeps the
    longest pieces.
    """
    scribble = unbroken(mask, stroke)
    if stroke.kind != "line":
        noise = _smooth_noise(mask.shape, stroke.break_smoothing_px, stroke.break_seed)
        unbroken_pixels = noise > 0
        if stroke.kind == "centerline":
            unbroken_pixels &= ~_branches(scribble)
        scribble = _unless_empty(scribble & unbroken_pixels, scribble)
    scribble = _unless_empty(_warped(scribble, stroke) & mask, scribble & mask)
    return _longest(scribble, max_pixels)


def unbroken(mask: np.ndarray, stroke: Stroke) -> np.ndarray:
    """Return the stroke (H, W) before it is broken, warped and cut off at the mask.

    One pixel wide and connected: each line, the centre line of each component of the mask within
    reach, and each outline. A line may leave a mask that is not convex.
    """
    if stroke.kind == "line":
        return _lines(mask.shape, np.array(stroke.ends, float))
    if stroke.kind == "centerline":
        return _centerline(_within_reach(mask, stroke.reach_px))
    return _contour(mask, stroke)


def scribbles(
    gts: np.ndarray,
    segs: np.ndarray | None,
    *,
    seed: int,
    case: str,
    interaction: int,
    repetition: int = 0,
    mix: Mapping[str, float] = ALIKE,
    max_voxels: int | None = None,
    slices: Slices = "largest",
    labels: Sequence[int] = (),
) -> tuple[list[Marks | None], list[dict[str, list[dict[str, Any]]]]]:
    """Return what the user scribbles on each label, and what was drawn for it.

    `gts`, `segs`: label maps (D, H, W). Without an answer yet (`segs` None) foreground is drawn on
    the truth and background around it in the same slices; afterwards foreground on what was missed
    and background on what was wrongly added. `max_voxels`: at most so many per region and slice.
    `labels`: see `label_boxes`.

    Two lists in the order of the sorted labels: {'fg': [[z, y, x], ...], 'bg': [...]}, sorted, or
    None where nothing is wrong; and the parameters {'fg': [{'z': ..., 'kind': ...}], 'bg': ...}.
    """
    marks: list[Marks | None] = []
    drawn: list[dict[str, list[dict[str, Any]]]] = []
    for label, box in label_boxes(gts, segs, labels=labels).items():
        rng = generator(seed, case, label, interaction, repetition)
        voxels: Marks = {"fg": [], "bg": []}
        record: dict[str, list[dict[str, Any]]] = {"fg": [], "bg": []}
        for sign, z, mask in _planes(gts, segs, label, box, slices):
            stroke = draw(mask, rng, mix, background=sign == "bg")
            pixels = np.argwhere(apply(mask, stroke, max_pixels=max_voxels)).tolist()
            voxels[sign] += [[z, y, x] for y, x in pixels]
            record[sign].append({"z": z, **asdict(stroke)})
        marks.append(voxels if voxels["fg"] or voxels["bg"] else None)
        drawn.append(record)
    return marks, drawn


def clicks(
    gts: np.ndarray,
    segs: np.ndarray | None,
    *,
    seed: int,
    case: str,
    interaction: int,
    repetition: int = 0,
    rule: ClickRule = "random",
    count: int = 1,
    min_distance_px: float = 0.0,
    slices: Slices = "largest",
    labels: Sequence[int] = (),
) -> list[Marks | None]:
    """Return the clicks on each label, in the regions and the form of `scribbles`.

    `count`: at most so many in each region and slice; fewer where no pixel is `min_distance_px`
    away from those already clicked.
    """
    marks: list[Marks | None] = []
    for label, box in label_boxes(gts, segs, labels=labels).items():
        rng = generator(seed, case, label, interaction, repetition)
        voxels: Marks = {"fg": [], "bg": []}
        for sign, z, mask in _planes(gts, segs, label, box, slices):
            pixels = click_pixels(mask, rng, rule, count=count, min_distance_px=min_distance_px)
            voxels[sign] += [[z, y, x] for y, x in pixels]
        marks.append(voxels if voxels["fg"] or voxels["bg"] else None)
    return marks


def click_pixels(
    mask: np.ndarray,
    rng: np.random.Generator,
    rule: ClickRule,
    *,
    count: int = 1,
    min_distance_px: float = 0.0,
) -> list[list[int]]:
    """Return at most `count` pixels [y, x] of a mask (H, W), in the order of the clicks.

    random: any pixel of the mask. center: a deepest pixel of each component, the largest component
    first. border: any pixel of a band along the inside of the outline, whose two limits are levels
    of the blurred inverted mask; the whole mask where the band is empty.
    """
    if not mask.any():
        return []
    if rule == "center":
        candidates = _centers(mask, rng)
    else:
        pixels = np.argwhere(_border_band(mask, rng) if rule == "border" else mask)
        candidates = pixels[rng.permutation(len(pixels))]
    chosen: list[list[int]] = []
    while len(candidates) and len(chosen) < count:
        chosen.append([int(c) for c in candidates[0]])
        away = np.hypot(*(candidates[1:] - candidates[0]).T) >= min_distance_px
        candidates = candidates[1:][away]
    return chosen


_MOST_ANNOTATORS = 1000


def from_file(
    path: str | Path, shape: tuple[int, int, int], *, threshold: float = 0.5
) -> list[Marks]:
    """Return the scribbles that people drew on an image, one element per annotator.

    The file is an .npz as MedScribble's, with `scribbles` (annotator, positive then negative, H,
    W), floats in [0, 1] or uint8 in [0, 255]. Pens are soft: a pixel counts if its value, on the
    scale of 0 to 1, is above `threshold`. Nothing is put right: people stray over the outline, and
    that is what this prompt is for. Raises CaseError where the file does not fit an image of
    `shape` (1, H, W).
    """
    largest = _MOST_ANNOTATORS * 2 * math.prod(shape) * 8
    drawn = read_array(path, "scribbles", most_bytes=largest)
    if drawn.shape[1:] != (2, *shape[1:]) or shape[0] != 1:
        raise CaseError(
            f"{path}: scribbles has shape {drawn.shape}, "
            f"expected (annotators, 2, H, W) for an image of shape {shape}"
        )
    full = 255 if drawn.dtype == np.uint8 else 1
    return [
        {
            sign: [[0, y, x] for y, x in np.argwhere(soft / full > threshold).tolist()]
            for sign, soft in zip(("fg", "bg"), annotator, strict=True)
        }
        for annotator in drawn
    ]


def _planes(
    gts: np.ndarray, segs: np.ndarray | None, label: int, box: Box, slices: Slices
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield (sign, z, mask) for each region and slice that the user works in, none empty."""
    truth = gts[box] == label
    answer = np.zeros_like(truth) if segs is None else segs[box] == label
    missed = truth & ~answer
    around = missed if segs is None else answer & ~truth
    for sign, region in (("fg", missed), ("bg", around)):
        for z in _slices(region, slices):
            plane = np.zeros(gts.shape[1:], bool)
            plane[box[1:]] = region[z]
            if sign == "bg" and segs is None:
                plane = ~plane
            if plane.any():
                yield sign, z + box[0].start, plane


def _slices(region: np.ndarray, slices: Slices) -> list[int]:
    areas = np.count_nonzero(region, axis=(1, 2))
    if slices == "all":
        return [int(z) for z in np.flatnonzero(areas)]
    return [int(areas.argmax())] if areas.any() else []


def _within_reach(mask: np.ndarray, reach_px: float | None) -> np.ndarray:
    """Return the part of a mask near what is not in it; the frame of the image is not its end."""
    from scipy import ndimage

    if reach_px is None or mask.all():
        return mask
    return mask & (ndimage.distance_transform_edt(mask) <= reach_px)


def _lines(shape: tuple[int, ...], ends: np.ndarray) -> np.ndarray:
    """Return the pixels of straight lines between pairs of points (n, 2, 2), each 8-connected."""
    if len(ends) == 0:
        return np.zeros(shape, bool)
    steps = int(np.ceil(np.abs(ends[:, 1] - ends[:, 0]).max())) + 1
    along = np.linspace(0, 1, steps + 1)[None, :, None]
    points = ends[:, :1] * (1 - along) + ends[:, 1:] * along
    return _painted(shape, np.rint(points).astype(int).reshape(-1, 2))


def _painted(shape: tuple[int, ...], pixels: np.ndarray) -> np.ndarray:
    mask = np.zeros(shape, bool)
    pixels = pixels[((pixels >= 0) & (pixels < shape)).all(axis=1)]
    mask[tuple(pixels.T)] = True
    return mask


def _centerline(mask: np.ndarray) -> np.ndarray:
    from skimage.morphology import skeletonize

    return skeletonize(np.pad(mask, 1))[1:-1, 1:-1]


def _contour(mask: np.ndarray, stroke: Stroke) -> np.ndarray:
    from scipy import ndimage

    depth = _inverted_and_blurred(mask, stroke.blur_sigma_px)
    lowest, highest = depth[mask].min(), depth[mask].max()
    region = mask & (depth <= lowest + stroke.level * (highest - lowest))
    outline = region & ~ndimage.binary_erosion(region, border_value=1)
    return _unless_empty(outline, region & ~ndimage.binary_erosion(region))


def _inverted_and_blurred(mask: np.ndarray, sigma_px: float) -> np.ndarray:
    from scipy import ndimage

    return ndimage.gaussian_filter((~mask).astype(float), sigma_px)


def _border_band(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    depth = _inverted_and_blurred(mask, float(rng.uniform(*BLUR_SIGMA_PX)))
    low, high = np.sort(rng.uniform(depth[mask].min(), depth[mask].max(), size=2))
    return _unless_empty(mask & (depth >= low) & (depth < high), mask)


def _centers(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a deepest pixel of each 8-connected component, (n, 2), the largest component first."""
    from scipy import ndimage

    components, n = ndimage.label(mask, np.ones((3, 3)))
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    sizes = np.bincount(components.ravel())[1:]
    centers = []
    for component in np.argsort(-sizes, kind="stable") + 1:
        inside = np.where(components == component, depth, 0)
        deepest = np.argwhere(inside == inside.max())
        centers.append(deepest[int(rng.integers(len(deepest)))])
    return np.array(centers).reshape(n, 2)


def _branches(scribble: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    neighbours = ndimage.convolve(scribble.astype(np.uint8), np.ones((3, 3)), mode="constant") - 1
    return scribble & (neighbours > 2)


def _longest(scribble: np.ndarray, max_pixels: int | None) -> np.ndarray:
    """Return the pieces that are long enough for a stroke, the longest first until the limit."""
    from scipy import ndimage

    pieces, _ = ndimage.label(scribble, np.ones((3, 3)))
    length = np.bincount(pieces.ravel())
    scribble = _unless_empty(scribble & (length[pieces] >= SHORTEST_PX), scribble)
    pixels = np.argwhere(scribble)
    of_piece = pieces[scribble]
    starts = {
        int(p): pixels[i] for p, i in zip(*np.unique(of_piece, return_index=True), strict=True)
    }
    from_start = np.hypot(*(pixels - [starts[int(p)] for p in of_piece]).T)
    order = np.lexsort((from_start, of_piece, -length[of_piece]))
    return _painted(scribble.shape, pixels[order[:max_pixels]])


def _warped(scribble: np.ndarray, stroke: Stroke) -> np.ndarray:
    """Return the stroke with its pixels moved by a smooth field and its neighbours joined again."""
    seeds = np.random.SeedSequence(stroke.warp_seed).generate_state(2)
    moved = np.indices(scribble.shape).astype(float)
    for axis, seed in enumerate(seeds):
        noise = _smooth_noise(scribble.shape, stroke.warp_smoothing_px, int(seed))
        moved[axis] += noise * stroke.warp_size_px
    ends = [_lines(scribble.shape, moved[:, scribble].T[:, None].repeat(2, axis=1))]
    height, width = scribble.shape
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = (slice(0, height - dy), slice(max(0, -dx), width - max(0, dx)))
        there = (slice(dy, height), slice(max(0, dx), width - max(0, -dx)))
        both = scribble[here] & scribble[there]
        pairs = np.stack([moved[(slice(None), *side)][:, both].T for side in (here, there)], axis=1)
        ends.append(_lines(scribble.shape, pairs))
    return np.logical_or.reduce(ends)


def _smooth_noise(shape: tuple[int, ...], smoothing_px: float, seed: int) -> np.ndarray:
    """Return Gaussian noise (H, W) smoothed with this sigma, of mean 0 and standard deviation 1."""
    from scipy import ndimage

    noise = np.random.default_rng(seed).standard_normal(shape)
    return ndimage.gaussian_filter(noise, smoothing_px) * (2 * np.sqrt(np.pi) * smoothing_px)


def _unless_empty(mask: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    return mask if mask.any() else otherwise
