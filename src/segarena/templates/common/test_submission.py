"""What must hold whatever the model is: python3 test_submission.py, or pytest."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SHAPE = (6, 40, 44)
BOX = {"z_min": 1, "z_max": 4, "z_mid": 3}
BOX |= {"z_mid_x_min": 8, "z_mid_x_max": 30, "z_mid_y_min": 6, "z_mid_y_max": 28}
CLICKS = [{"fg": [[3, 16, 18]], "bg": [[3, 2, 2]]}, {"fg": [], "bg": []}]


def question(**prompts):
    """Return the arrays of an input: noise with a bright ball."""
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    ball = (z - 3) ** 2 * 9 + (y - 16) ** 2 + (x - 18) ** 2 <= 100
    imgs = np.random.default_rng(0).integers(0, 60, SHAPE) + 150 * ball
    return {"imgs": imgs.astype(np.uint8), "spacing": np.array([1.0, 1.0, 3.0]), **prompts}


def objects(values):
    """Return a list as an array of Python objects, as boxes and clicks come."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def ask(arrays):
    """Return the answer of predict.sh to one question."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = Path(folder, "inputs"), Path(folder, "outputs")
        inputs.mkdir()
        outputs.mkdir()
        np.savez_compressed(inputs / "case.npz", **arrays)
        environment = {**os.environ, "INPUTS": str(inputs), "OUTPUTS": str(outputs)}
        # The python3 of predict.sh is then the one that runs this test.
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(["sh", "predict.sh"], cwd=HERE, env=environment, check=True)
        with np.load(outputs / "case.npz") as file:
            return file["segs"]


def check_labels(segs, labels):
    """Whole numbers from 0 to the number of labels, one per voxel of the image."""
    assert segs.shape == SHAPE
    assert segs.dtype.kind == "u"
    assert segs.max() <= labels


def test_a_box_alone():
    """The first interaction: one label with a box, no clicks, no answer before."""
    check_labels(ask(question(boxes=objects([BOX]))), 1)


def test_clicks_without_a_box_and_a_perfect_label():
    """A case without boxes; the second label has no error, so no click and None in its order."""
    order = objects([["fg", "bg"], [None, None]])
    before = np.zeros(SHAPE, np.uint8)
    asked = question(clicks=objects(CLICKS), clicks_order=order, prev_pred=before)
    check_labels(ask(asked), 2)


def test_the_same_question_has_the_same_answer():
    """Random numbers need a seed, or nobody can repeat the result."""
    asked = question(boxes=objects([BOX]))
    assert np.array_equal(ask(asked), ask(asked))


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print("passed:", name)
