"""Baseline that learned: a small 3D network, trained on synthetic shapes and textures alone.

The neighbourhood of each label (its box, its clicks and the answer before, with a margin) is
resampled to a cube of 64 voxels. A U-Net of 1.2 million parameters sees the image, the box, the
clicks and the answer before, and its answer is put back in its place; where labels meet, the surer
one wins. Every click is honoured. No image of a patient was used to train it; README.md is the
model card, and recipes/learned has the training.

Needs numpy and scipy; a call takes a few seconds per label on one core.
"""

import os
from pathlib import Path

import numpy as np
from scipy import ndimage

SIZE = 64
SIGMA = 0.06  # of a click, in half sides of the cube
MARGIN = 0.5  # of the side of what was prompted, on each side
LEAST_MARGIN = (3, 8, 8)
LOOKS = 2  # more, where a click alone does not say how large its label is
CERTAIN = 1e3  # a logit that no answer of the network reaches


def convolved(x, weights):
    """Return the convolution of x (D, H, W, C) with weights (3, 3, 3, C, O), zeros around it."""
    d, h, w, c = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (1, 1), (0, 0))).reshape(d + 2, h + 2, (w + 2) * c)
    rows = np.lib.stride_tricks.sliding_window_view(padded, 3 * c, axis=2)[:, :, ::c]
    result = np.zeros((d, h * w, weights.shape[-1]), np.float32)
    for z in range(d):  # a slice at a time stays in the cache
        for dz, dy in np.ndindex(3, 3):
            around = rows[z + dz, dy : dy + h].reshape(h * w, 3 * c)
            result[z] += around @ weights[dz, dy].reshape(3 * c, -1)
    return result.reshape(d, h, w, -1)


def normalised(x, scale, shift, groups=8):
    """Return x (D, H, W, C) with mean 0 and variance 1 within each group of channels."""
    slices = x.reshape(x.shape[0], -1, x.shape[-1])
    first = np.einsum("zvc->zc", slices).mean(0) / slices.shape[1]
    second = np.einsum("zvc,zvc->zc", slices, slices).mean(0) / slices.shape[1]
    mean, square = (m.reshape(groups, -1).mean(1) for m in (first, second))
    factor = 1 / np.sqrt(square - mean**2 + 1e-5)
    each = x.shape[-1] // groups
    factor, mean = np.repeat(factor, each) * scale, np.repeat(mean, each)
    return x * factor + (shift - mean * factor)


class Network:
    """The U-Net, with the weights of train.py: (64, 64, 64, 5) to logits (64, 64, 64)."""

    def __init__(self, path):
        with np.load(path) as file:
            self.weights = {name: file[name].astype(np.float32) for name in file.files}

    def block(self, name, x):
        """Return x after two convolutions, each normalised and put through SiLU."""
        for layer in (0, 3):
            x = convolved(x, self.weights[f"{name}.{layer}.weight"])
            scale, shift = (self.weights[f"{name}.{layer + 1}.{k}"] for k in ("weight", "bias"))
            x = normalised(x, scale, shift)
            x = x / (1 + np.exp(-x))
        return x

    def __call__(self, x):
        """Return the logits."""
        skipped = []
        for level in range(4):
            if level:
                d, h, w, c = x.shape
                x = x.reshape(d // 2, 2, h // 2, 2, w // 2, 2, c).max((1, 3, 5))
            x = self.block(f"down.{level}", x)
            skipped.append(x)
        for level, skip in enumerate(skipped[-2::-1]):
            x = x.repeat(2, 0).repeat(2, 1).repeat(2, 2)
            x = self.block(f"up.{level}", np.concatenate([x, skip], -1))
        return (x @ self.weights["head.weight"].reshape(-1, 1))[..., 0] + self.weights["head.bias"]


def resampled(array, shape):
    """Return the array (D, H, W) on a grid of another shape, the same space, trilinear."""
    for axis, (old, new) in enumerate(zip(array.shape, shape, strict=True)):
        at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.minimum(at.astype(int), max(old - 2, 0))
        part = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        high = np.minimum(low + 1, old - 1)
        array = array.take(low, axis) * (1 - part) + array.take(high, axis) * part
    return array


def region(shape, box, points, before):
    """Return low and high (exclusive) corners of what is looked at."""
    corners = [np.array(point) for point in points]
    if box is not None:
        corners.append(np.array([box["z_min"], box["z_mid_y_min"], box["z_mid_x_min"]]))
        corners.append(np.array([box["z_max"], box["z_mid_y_max"], box["z_mid_x_max"]]))
    if before.any():
        places = ndimage.find_objects(before.astype(np.uint8))[0]
        corners += [np.array([p.start for p in places]), np.array([p.stop - 1 for p in places])]
    low, high = np.min(corners, 0), np.max(corners, 0) + 1
    margin = np.maximum((high - low) * MARGIN, LEAST_MARGIN).astype(int)
    if box is None and not before.any():
        margin = np.maximum(margin, np.array(shape) // 4)
    return np.maximum(low - margin, 0), np.minimum(high + margin, shape)


def logits(network, image, box, clicks, before, seen=None):
    """Return where (slices) and what (D, H, W) the network answers for one label.

    seen: what the region goes by in place of the answer before.
    """
    low, high = region(
        image.shape, box, clicks["fg"] + clicks["bg"], before if seen is None else seen
    )
    place = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    part = resampled(image[place].astype(np.float32), (SIZE,) * 3)
    dark, bright = np.percentile(part, (1, 99))
    channels = [np.clip((part - dark) / max(bright - dark, 1e-3), -0.2, 1.2)]
    inside = np.zeros(image.shape, np.float32)
    if box is not None:
        inside[
            box["z_min"] : box["z_max"] + 1,
            box["z_mid_y_min"] : box["z_mid_y_max"] + 1,
            box["z_mid_x_min"] : box["z_mid_x_max"] + 1,
        ] = 1
    channels.append(resampled(inside[place], (SIZE,) * 3) > 0.5)
    axis = np.linspace(-1, 1, SIZE)
    for points in (clicks["fg"], clicks["bg"]):
        spots = np.zeros((SIZE,) * 3)
        for point in points:
            centre = (np.array(point) - low + 0.5) / (high - low) * 2 - 1
            z, y, x = np.ix_(*[(axis - c) ** 2 for c in centre])
            spots = np.maximum(spots, np.exp(-(z + y + x) / (2 * SIGMA**2)))
        channels.append(spots)
    channels.append(resampled(before[place].astype(np.float32), (SIZE,) * 3) > 0.5)
    answer = network(np.stack(channels, -1).astype(np.float32))
    return place, resampled(answer, tuple(high - low))


def answer(network, case):
    """Return the label map (D, H, W) for one input file."""
    image = case["imgs"] if case["imgs"].ndim == 3 else case["imgs"].mean(-1)
    boxes, clicks = case.get("boxes"), case.get("clicks")
    orders = case.get("clicks_order", ())
    count = len(boxes if boxes is not None else clicks)
    previous = case.get("prev_pred", np.zeros(image.shape, np.uint8))
    surest = np.zeros(image.shape, np.float32)
    segs = np.zeros(image.shape, np.min_scalar_type(count))
    for label in range(1, count + 1):
        said = {"fg": [], "bg": []} if clicks is None else clicks[label - 1]
        said = {kind: [tuple(point) for point in said[kind]] for kind in ("fg", "bg")}
        box, before = None if boxes is None else boxes[label - 1], previous == label
        if len(orders) and (not len(orders[label - 1]) or orders[label - 1][-1] not in said):
            surest[before], segs[before] = CERTAIN, label  # nothing was wrong with it
            continue
        if box is None and not said["fg"]:
            continue
        place, found = logits(network, image, box, said, before)
        looks = LOOKS if box is None and not before.any() else 0
        for _ in range(looks):  # again, around what was found
            seen = np.zeros(image.shape, bool)
            seen[place] = found > 0
            place, found = logits(network, image, box, said, before, seen)
        for kind, value in (("fg", CERTAIN), ("bg", -CERTAIN)):
            for point in said[kind]:
                found[tuple(p - s.start for p, s in zip(point, place, strict=True))] = value
        wins = found > np.maximum(surest[place], 0)
        surest[place][wins] = found[wins]
        segs[place][wins] = label
    return segs


def main():
    """Answer every case in the inputs folder."""
    network = Network(Path(__file__).with_name("net.npz"))
    outputs = Path(os.environ.get("OUTPUTS", "/workspace/outputs"))
    for path in sorted(Path(os.environ.get("INPUTS", "/workspace/inputs")).glob("*.npz")):
        with np.load(path, allow_pickle=True) as file:
            case = {key: file[key] for key in file.files}
        np.savez_compressed(outputs / path.name, segs=answer(network, case))


if __name__ == "__main__":
    main()
