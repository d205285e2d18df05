"""Read each question, have model.py answer it label by label, write the answer.

`python3 predict.py` answers what is in inputs and ends (predict.sh). `python3 predict.py serve`
loads the model once and answers until it is asked to leave (serve.sh). No need to change this file.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

from model import Model

INPUTS = Path(os.environ.get("INPUTS", "/workspace/inputs"))
OUTPUTS = Path(os.environ.get("OUTPUTS", "/workspace/outputs"))


def prompts(case):
    """Yield each label's box (None: there is none) and its foreground and background voxels."""
    labels = max(len(case.get(key, ())) for key in ("boxes", "clicks", "scribbles"))
    drawn = [case[key] for key in ("clicks", "scribbles") if key in case]
    for i in range(labels):
        box = case["boxes"][i] if "boxes" in case else None
        fg = [voxel for one in drawn for voxel in one[i]["fg"]]
        bg = [voxel for one in drawn for voxel in one[i]["bg"]]
        yield box, np.reshape(fg, (-1, 3)).astype(int), np.reshape(bg, (-1, 3)).astype(int)


def answer(model, question, path):
    """Write the label map of one question: the labels are 1, 2, ... in the order of the prompts."""
    with np.load(question, allow_pickle=True) as file:  # boxes and clicks are Python objects
        case = {key: file[key] for key in file.files}
    image, spacing = case["imgs"], case["spacing"][::-1]  # (x, y, z) to (z, y, x), as the axes
    segs, best = np.zeros(image.shape[:3], np.uint16), np.full(image.shape[:3], 0.5, np.float32)
    before = case.get("prev_pred", segs.copy())  # the previous answer; zeros before the first
    for label, (box, fg, bg) in enumerate(prompts(case), start=1):
        share = model.probability(image, spacing, box, fg, bg, before == label)
        segs[share > best] = label
        best = np.maximum(best, share)
    part = path.with_suffix(".part.npz")
    np.savez_compressed(part, segs=segs)
    part.rename(path)  # an answer is whole or absent


def serve(model):
    """Answer each inputs/K/CASE.npz into outputs/K/CASE.npz until there is an inputs/end."""
    (OUTPUTS / "ready").touch()
    done = set()
    while not (INPUTS / "end").exists():
        for question in set(INPUTS.glob("*/*.npz")) - done:
            answer(model, question, OUTPUTS / question.parent.name / question.name)
            done.add(question)
        time.sleep(0.005)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve(Model())
    else:
        loaded = Model()
        for found in sorted(INPUTS.glob("*.npz")):
            answer(loaded, found, OUTPUTS / found.name)
