"""Baseline that is meant to be hard to beat without learning: a random walker with geodesic clicks.

A label's probability is found by a random walker (Grady 2006) with a prior (Grady 2005): the sum of
two log-odds, of place and of intensity (histograms inside and outside, fitted in turns with the
solution), smoothed along like intensities.

- From a box, the place is its ellipsoid, and slices outside its z range are background.
- A new click changes its neighbourhood only. It sits in the middle of an error, so the previous
  answer is wrong from the click about to its border: that ball, and all that is nearer to it along
  like intensities (geodesic distance) than to the parts of the answer that are trusted, changes
  sides. All clicks so far stay as fixed seeds.
- The first click on a label without a box stands for a box of fixed size.
- After new strokes the place is what is nearer, along like intensities, to all that was drawn on
  the label than to all that was drawn around it.

Needs numpy and scipy.
"""

import os
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

CERTAIN = 4.0  # log-odds; no prior is surer
INTENSITY = 2.0  # the most that intensity alone may say, in log-odds
ROUNDS = 5  # of fitting the histograms and solving
STEEPNESS = 3.0  # log-odds of place per radius of the box's ellipsoid
SLOPE = 0.5  # log-odds of place per voxel from the border of the previous answer
BOX_WEIGHT, CLICK_WEIGHT = 0.03, 0.1  # of the prior against the neighbours
REACH_OF_BACKGROUND = 0.35  # of the answer's largest depth: no background click reaches further
NEW_LABEL_MM = 8.0  # half the box that a first click stands for


def centred(shape, centre, radii):
    """Return the distance (D, H, W) from a point, each axis in units of its radius."""
    z, y, x = np.ix_(
        *[(np.arange(n) - c) / r for n, c, r in zip(shape, centre, radii, strict=True)]
    )
    return np.sqrt(z**2 + y**2 + x**2)


def around(shape, low, high, margin):
    """Return the slices from `low` to `high` (inclusive), widened by `margin`, inside `shape`."""
    return tuple(
        slice(max(0, int(a - m)), min(n, int(b + m) + 1))
        for a, b, m, n in zip(low, high, np.ceil(margin), shape, strict=True)
    )


def sigmoid(odds):
    """Return the probability of log-odds, kept within the certain ones."""
    return 1 / (1 + np.exp(-np.clip(odds, -CERTAIN, CERTAIN)))


def edge_weights(image, sampling):
    """Return, for each axis, how strongly neighbours along it hold together."""
    steps = [np.abs(np.diff(image, axis=axis)) for axis in range(3)]
    typical = 1.5 * max(np.median(np.concatenate([step.ravel() for step in steps])), 2.0)
    return [
        (np.exp(-((d / typical) ** 2)) + 1e-3) / h**2 for d, h in zip(steps, sampling, strict=True)
    ]


def random_walk(weights, prior, fixed, data, start):
    """Return the x (D, H, W) with the least sum of w (x_i - x_j)^2 and data (x - prior)^2.

    `fixed` marks the voxels that keep their prior. Conjugate gradients from `start`, with the
    diagonal as preconditioner; the matrix is never built.
    """
    ahead = [(slice(None),) * axis + (slice(1, None),) for axis in range(3)]
    behind = [(slice(None),) * axis + (slice(None, -1),) for axis in range(3)]
    diagonal = np.full(prior.shape, data)
    for w, i, j in zip(weights, ahead, behind, strict=True):
        diagonal[i] += w
        diagonal[j] += w

    def times(x):
        product = diagonal * x
        for w, i, j in zip(weights, ahead, behind, strict=True):
            product[i] -= w * x[j]
            product[j] -= w * x[i]
        return product * ~fixed

    x = np.where(fixed, prior, start)
    residual = data * prior * ~fixed - times(x)
    direction = residual / diagonal
    size = (residual * direction).sum()
    for _ in range(60):
        if size <= 1e-6 * prior.size:
            break
        moved = times(direction)
        length = size / (direction * moved).sum()
        x += length * direction
        residual -= length * moved
        step = residual / diagonal
        size, before = (residual * step).sum(), size
        direction = step + size / before * direction
    return np.clip(x, 0, 1)


def geodesic(weights, sampling, sources):
    """Return the distance (D, H, W) to the nearest source, shorter along like intensities."""
    index = np.arange(sources.size).reshape(sources.shape)
    starts = [np.delete(index, -1, axis).ravel() for axis in range(3)]
    ends = [np.delete(index, 0, axis).ravel() for axis in range(3)]
    costs = [
        h * (4 - 3 * np.minimum(w * h**2, 1)).ravel()
        for w, h in zip(weights, sampling, strict=True)
    ]
    edges = (np.concatenate(starts), np.concatenate(ends))
    graph = coo_matrix((np.concatenate(costs), edges), (sources.size, sources.size)).tocsr()
    found = dijkstra(graph, directed=False, indices=index[sources], min_only=True)
    return found.reshape(sources.shape)


def odds_of_intensity(values, inside, outside):
    """Return log-odds (D, H, W) from the smoothed histograms of two weightings of the voxels."""
    counts = [
        ndimage.gaussian_filter1d(np.bincount(values.ravel(), w.ravel(), 256), 3, mode="nearest")
        for w in (inside, outside)
    ]
    shares = [np.log(count / max(count.sum(), 1e-9) + 1e-4) for count in counts]
    return np.clip(shares[0] - shares[1], -INTENSITY, INTENSITY)[values]


def fitted(image, sampling, place, fixed, data):
    """Return a probability (D, H, W) from the log-odds of place; `fixed` keep their side."""
    weights, values = edge_weights(image, sampling), image.astype(np.intp)
    core = np.clip(place / 2, 0.05, 1)
    share = sigmoid(place)
    for _ in range(ROUNDS):
        prior = sigmoid(place + odds_of_intensity(values, share * core, 1 - share))
        prior[fixed] = place[fixed] > 0
        share = random_walk(weights, prior, fixed, data, share)
    return share


def from_box(image, sampling, box):
    """Return the neighbourhood of a box and the label's probability there."""
    low = np.array([box["z_min"], box["z_mid_y_min"], box["z_mid_x_min"]])
    high = np.array([box["z_max"], box["z_mid_y_max"], box["z_mid_x_max"]])
    part = around(image.shape, low, high, 0.25 * (high - low) + 2)
    radii = (high - low) / 2 + 1
    place = STEEPNESS * (1 - centred(image.shape, (low + high) / 2, radii)[part])
    slices = np.arange(part[0].start, part[0].stop)
    fixed = np.zeros(place.shape, bool)
    fixed[(slices < low[0]) | (slices > high[0])] = True
    place[fixed] = -CERTAIN
    return part, fitted(image[part], sampling, place, fixed, BOX_WEIGHT)


def box_around(point, shape, spacing):
    """Return the box that the first click on a label stands for."""
    half = np.maximum(NEW_LABEL_MM / spacing, 1)
    low = np.maximum(np.subtract(point, half).astype(int), 0)
    high = np.minimum(np.add(point, half).astype(int), np.subtract(shape, 1))
    ends = {"min": low, "max": high}
    axes = ("z", "z_mid_y", "z_mid_x")
    return {f"{axis}_{end}": ends[end][i] for end in ends for i, axis in enumerate(axes)}


def from_strokes(image, sampling, said):
    """Return the neighbourhood of a label's strokes and the label's probability there."""
    drawn = {kind: np.reshape(said[kind], (-1, 3)).astype(int) for kind in ("fg", "bg")}
    both = np.concatenate(list(drawn.values()))
    low, high = both.min(axis=0), both.max(axis=0)
    part = around(image.shape, low, high, (0.5 * ((high - low) * sampling).max() + 3) / sampling)
    shape, image, offset = image.shape, image[part], [s.start for s in part]
    seeds = {kind: np.zeros(image.shape, bool) for kind in drawn}
    for kind, voxels in drawn.items():
        seeds[kind][tuple((voxels - offset).T)] = True
    weights = edge_weights(image, sampling)
    beyond = seeds["bg"].copy()
    for axis, (side, size) in enumerate(zip(part, shape, strict=True)):
        faces = np.moveaxis(beyond, axis, 0)
        faces[0] |= side.start > 0
        faces[-1] |= side.stop < size
    near = geodesic(weights, sampling, seeds["fg"])
    far = geodesic(weights, sampling, beyond) if beyond.any() else near.max()
    place = SLOPE * (far - near)
    place[seeds["bg"]], place[seeds["fg"]] = -CERTAIN, CERTAIN
    return part, fitted(image, sampling, place, seeds["fg"] | seeds["bg"], CLICK_WEIGHT)


def refined(image, sampling, mask, clicks, newest):
    """Return the neighbourhood of a new click and the label's probability there."""
    kind, point = newest
    wrong = ~mask if kind == "fg" else mask
    to_border = np.ones(mask.shape)
    if wrong.any() and not wrong.all():
        to_border = ndimage.distance_transform_edt(wrong, sampling)
    reach = to_border[tuple(point)]
    if kind == "bg":
        reach = min(reach, REACH_OF_BACKGROUND * to_border.max())
    reach = max(reach, 1.0)
    radius = max(3 * reach, 5)
    part = around(image.shape, point, point, radius / sampling + 1)
    offset = np.array([s.start for s in part])
    image, mask, wrong, to_border = image[part], mask[part], wrong[part], to_border[part]
    far = centred(image.shape, point - offset, 1 / sampling)

    inside = ndimage.distance_transform_edt(mask, sampling) if mask.any() else 0
    outside = ndimage.distance_transform_edt(~mask, sampling) if not mask.all() else 0
    place = SLOPE * (inside - outside)
    trusted = wrong & (to_border > 1.6 * reach) & (far > reach) | ~wrong
    weights = edge_weights(image, sampling)
    near = geodesic(weights, sampling, wrong & (far <= 0.9 * reach) | (far == 0))
    changed = wrong & (near < 10 * reach)
    if (trusted & wrong).any():
        changed &= near < geodesic(weights, sampling, trusted & wrong)
    place[changed] = CERTAIN if kind == "fg" else -CERTAIN

    fixed = far > radius
    for said, odds in (("bg", -CERTAIN), ("fg", CERTAIN)):
        for seed in np.reshape(clicks[said], (-1, 3)).astype(int) - offset:
            if (seed >= 0).all() and (seed < place.shape).all():
                fixed[tuple(seed)] = True
                place[tuple(seed)] = odds
    return part, fitted(image, sampling, place, fixed, CLICK_WEIGHT)


def paint(view, label, share):
    """Paint a label into a part of the answer where it is probable enough."""
    view[(view == label) & (share <= 0.5)] = 0
    view[(share > 0.6) | (share > 0.5) & (view == 0)] = label


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
    image = imgs.mean(axis=-1) if imgs.ndim == 4 else imgs
    image = ndimage.gaussian_filter(image, 0.5 * spacing.min() / spacing)
    sampling = spacing / spacing.min()
    boxes, clicks = case.get("boxes", ()), case.get("clicks", ())
    orders, scribbles = case.get("clicks_order", ()), case.get("scribbles", ())
    labels = max(len(boxes), len(clicks), len(scribbles))
    segs = np.zeros(image.shape, np.min_scalar_type(labels))
    if "prev_pred" in case:
        segs[...] = case["prev_pred"]
    else:
        best = np.full(image.shape, 0.5)
        for label, box in enumerate(boxes, start=1):
            part, share = from_box(image, sampling, box)
            better = share > best[part]
            best[part][better] = share[better]
            segs[part][better] = label
    for label, (said, order) in enumerate(zip(clicks, orders, strict=True), start=1):
        if not len(order) or order[-1] not in said:
            continue
        kind, point, mask = order[-1], np.array(said[order[-1]][-1]), segs == label
        if kind == "fg" and not mask.any():
            part, share = from_box(image, sampling, box_around(point, image.shape, spacing))
        else:
            part, share = refined(image, sampling, mask, said, (kind, point))
        paint(segs[part], label, share)
    for label, said in enumerate(scribbles, start=1):
        # What was drawn earlier is as it should be in the previous answer.
        new = any(segs[tuple(at)] != label for at in said["fg"])
        if new or (len(said["fg"]) and any(segs[tuple(at)] == label for at in said["bg"])):
            part, share = from_strokes(image, sampling, said)
            paint(segs[part], label, share)
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
