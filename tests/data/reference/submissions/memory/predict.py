"""Test submission that remembers: what it answers depends on files that its calls before left.

Needs numpy only. Inputs and outputs as in the submission `sphere`. It leaves

- in outputs, in a folder of its own, how often it was called: the radius of a click's ball grows;
- beside the input, the boxes of the first call: a click changes nothing outside its label's box;
- its answer before, under the answer's name, which it reads in place of prev_pred.

On the fourth call of a case it writes no answer and exits 0, so that its answer before is there.
"""

import glob
import os

import numpy as np

INPUTS = os.environ.get("INPUTS", "/workspace/inputs")
OUTPUTS = os.environ.get("OUTPUTS", "/workspace/outputs")
FACES = (("z_min", "z_max"), ("z_mid_y_min", "z_mid_y_max"), ("z_mid_x_min", "z_mid_x_max"))


def next_call(case):
    """Return how often this case was called, this time included."""
    folder = os.path.join(OUTPUTS, "state")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{case}.txt")
    count = 1
    if os.path.exists(path):
        with open(path) as file:
            count = int(file.read()) + 1
    with open(path, "w") as file:
        file.write(str(count))
    return count


def first_boxes(case, boxes):
    """Return the boxes of the case's first call as (labels, 6) low and high faces, or none."""
    path = os.path.join(INPUTS, f"boxes_{case}.npy")
    if not os.path.exists(path):
        if boxes is None:
            return None
        np.save(path, np.array([[box[face] for pair in FACES for face in pair] for box in boxes]))
    return np.load(path)


def predict(arrays, count, boxes, before):
    shape = arrays["imgs"].shape[:3]
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    segs = before
    if segs is None:
        segs = np.zeros(shape, np.uint8)
        for label, (z0, z1, y0, y1, x0, x1) in enumerate(boxes if boxes is not None else (), 1):
            segs[z0 : z1 + 1, y0 : y1 + 1, x0 : x1 + 1] = label
    for label, order in enumerate(arrays.get("clicks_order", ()), start=1):
        if not len(order) or order[-1] is None:
            continue
        at = arrays["clicks"][label - 1][order[-1]][-1]
        region = (z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2 <= (2 + count) ** 2
        if boxes is not None:
            z0, z1, y0, y1, x0, x1 = boxes[label - 1]
            region &= (z >= z0) & (z <= z1) & (y >= y0) & (y <= y1) & (x >= x0) & (x <= x1)
        if order[-1] == "fg":
            segs[region] = label
        else:
            segs[region & (segs == label)] = 0
    return segs


for path in sorted(glob.glob(os.path.join(INPUTS, "*.npz"))):
    name = os.path.basename(path)
    case = name.removesuffix(".npz")
    with np.load(path, allow_pickle=True) as file:
        arrays = {key: file[key] for key in file.files}
    count, boxes = next_call(case), first_boxes(case, arrays.get("boxes"))
    answer, before = os.path.join(OUTPUTS, name), None
    if os.path.exists(answer):
        with np.load(answer) as file:
            before = file["segs"]
    if count != 4:
        np.savez_compressed(answer, segs=predict(arrays, count, boxes, before))
