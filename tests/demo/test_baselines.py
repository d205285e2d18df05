"""The demo's submissions on a drawn case: a bright ball and a bright block in noise."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SUBMISSIONS = Path(__file__).parents[2] / "demo" / "submissions"
NAMES = ["ellipsoid", "region-growing", "geodesic", "learned"]
SHAPE = (24, 40, 40)
CENTRE = (12, 15, 15)
BALL_BOX = {
    "z_min": 4,
    "z_max": 20,
    "z_mid": 12,
    "z_mid_x_min": 6,
    "z_mid_y_min": 6,
    "z_mid_x_max": 24,
    "z_mid_y_max": 24,
}
BLOCK_BOX = {
    "z_min": 8,
    "z_max": 15,
    "z_mid": 12,
    "z_mid_x_min": 29,
    "z_mid_y_min": 29,
    "z_mid_x_max": 36,
    "z_mid_y_max": 36,
}


@pytest.fixture(scope="module")
def truth():
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[(z - CENTRE[0]) ** 2 + (y - CENTRE[1]) ** 2 + (x - CENTRE[2]) ** 2 <= 64] = 1
    drawn[8:16, 29:37, 29:37] = 2
    return drawn


@pytest.fixture(scope="module")
def imgs(truth):
    noise = np.random.default_rng(7).normal(0, 12, SHAPE)
    return np.clip(60 + 90 * (truth > 0) + noise, 0, 255).astype(np.uint8)


def objects(items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


def clicked(fg=(), bg=()):
    return {"fg": [list(point) for point in fg], "bg": [list(point) for point in bg]}


def ask(name, folder, **arrays):
    """Return the answer of a submission, run as a process of its own."""
    inputs, outputs = folder / "inputs", folder / "outputs"
    inputs.mkdir()
    outputs.mkdir()
    np.savez_compressed(inputs / "case.npz", **{"spacing": np.array([1.0, 1.0, 1.5]), **arrays})
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(
        ["sh", "predict.sh"],
        cwd=SUBMISSIONS / name,
        env={"PATH": path, "INPUTS": str(inputs), "OUTPUTS": str(outputs)},
        check=True,
    )
    assert [path.name for path in outputs.iterdir()] == ["case.npz"]
    with np.load(outputs / "case.npz", allow_pickle=False) as answer:
        return answer["segs"]


def dice(mask, other):
    return 2 * (mask & other).sum() / (mask.sum() + other.sum())


@pytest.mark.parametrize("name", NAMES)
def test_boxes_alone_find_the_ball(name, imgs, truth, tmp_path):
    """From the boxes alone both labels are found; the ball with a Dice above 0.75.

    The ellipsoid in the ball's loose box has 8.5 * 9.5 ** 2 / 8 ** 3 = 1.5 times its volume, which
    gives a Dice of 0.8.
    """
    segs = ask(name, tmp_path, imgs=imgs, boxes=objects([BALL_BOX, BLOCK_BOX]))
    assert segs.shape == SHAPE
    assert segs.dtype == np.uint8
    assert np.unique(segs).tolist() == [0, 1, 2]
    assert dice(segs == 1, truth == 1) > 0.75
    assert dice(segs == 2, truth == 2) > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_clicks_are_honoured(name, imgs, truth, tmp_path):
    """A voxel clicked as foreground carries the label, one clicked as background does not."""
    previous = np.zeros(SHAPE, np.uint8)
    previous[CENTRE[0] - 8 : CENTRE[0], 6:25, 6:25] = 1  # the upper half, and too wide
    wrong, lacking = (9, 7, 7), (16, 15, 15)
    assert truth[wrong] == 0
    assert truth[lacking] == 1
    segs = ask(
        name,
        tmp_path,
        imgs=imgs,
        boxes=objects([BALL_BOX]),
        prev_pred=previous,
        clicks=objects([clicked(fg=[lacking], bg=[wrong])]),
        clicks_order=np.array([["bg", "fg"]], object),
    )
    assert segs[lacking] == 1
    assert segs[wrong] == 0
    assert dice(segs == 1, truth == 1) > dice(previous == 1, truth == 1)


@pytest.mark.parametrize("name", NAMES)
def test_clicks_alone_start_a_label(name, imgs, truth, tmp_path):
    """Without a box, one foreground click a label gives the clicked labels at their place."""
    segs = ask(
        name,
        tmp_path,
        imgs=imgs,
        prev_pred=np.zeros(SHAPE, np.uint8),
        clicks=objects([clicked(fg=[CENTRE]), clicked(fg=[(12, 33, 33)])]),
        clicks_order=np.array([["fg"], ["fg"]], object),
    )
    assert segs[CENTRE] == 1
    assert segs[12, 33, 33] == 2
    assert dice(segs == 1, truth == 1) > 0.6


@pytest.mark.parametrize("name", ["region-growing", "geodesic"])
def test_strokes_are_used_and_honoured(name, imgs, truth, tmp_path):
    """From strokes in one slice both labels are found, and what was drawn holds afterwards."""
    across = [(12, 15, x) for x in range(9, 22)]
    outside = [(12, y, 26) for y in range(6, 25)]
    scribbles = [clicked(fg=across, bg=outside), clicked(fg=[(12, 33, x) for x in range(30, 36)])]
    nothing = np.zeros(SHAPE, np.uint8)
    segs = ask(name, tmp_path, imgs=imgs, prev_pred=nothing, scribbles=objects(scribbles))
    assert all(segs[at] == 1 for at in across)
    assert not any(segs[at] for at in outside)
    assert dice(segs == 1, truth == 1) > 0.6
    assert dice(segs == 2, truth == 2) > 0.5


@pytest.mark.parametrize("name", ["region-growing", "geodesic"])
def test_a_later_stroke_corrects_the_answer(name, imgs, truth, tmp_path):
    """Strokes on what is missing and on what is too much make the answer better."""
    previous = np.zeros(SHAPE, np.uint8)
    previous[CENTRE[0] - 8 : CENTRE[0], 6:25, 6:28] = 1
    scribbles = clicked(
        fg=[(15, 15, x) for x in range(10, 21)], bg=[(8, y, 26) for y in range(8, 23)]
    )
    segs = ask(name, tmp_path, imgs=imgs, prev_pred=previous, scribbles=objects([scribbles]))
    assert dice(segs == 1, truth == 1) > dice(previous == 1, truth == 1)


@pytest.mark.parametrize("name", ["region-growing", "geodesic"])
def test_strokes_that_hold_already_change_nothing(name, imgs, truth, tmp_path):
    """Where all that was drawn is in the previous answer, it is given again."""
    scribbles = [clicked(fg=[CENTRE], bg=[(2, 2, 2)]), clicked()]
    segs = ask(name, tmp_path, imgs=imgs, prev_pred=truth, scribbles=objects(scribbles))
    assert np.array_equal(segs, truth)


@pytest.mark.parametrize("name", NAMES)
def test_no_click_keeps_the_previous_answer(name, imgs, truth, tmp_path):
    """Where the user has nothing to correct (order None), the previous answer is given again."""
    segs = ask(
        name,
        tmp_path,
        imgs=imgs,
        boxes=objects([BALL_BOX, BLOCK_BOX]),
        prev_pred=truth,
        clicks=objects([clicked(), clicked()]),
        clicks_order=np.array([[None], [None]], object),
    )
    assert np.array_equal(segs, truth)


@pytest.mark.parametrize("name", NAMES)
def test_rgb_single_slice(name, tmp_path):
    """An RGB image of one slice is answered with a label map of one slice."""
    imgs = np.full((1, 30, 30, 3), 40, np.uint8)
    imgs[0, 10:20, 10:20] = 200
    square = dict.fromkeys(("z_min", "z_max", "z_mid"), 0) | {
        "z_mid_x_min": 10,
        "z_mid_y_min": 10,
        "z_mid_x_max": 19,
        "z_mid_y_max": 19,
    }
    segs = ask(name, tmp_path, imgs=imgs, boxes=objects([square]))
    assert segs.shape == (1, 30, 30)
    assert segs[0, 14, 14] == 1
    assert segs[0, 2, 2] == 0


@pytest.mark.parametrize("name", [name for name in NAMES if name != "learned"])  # 6 minutes
def test_more_than_255_labels_need_a_wider_type(name, tmp_path):
    """With 300 labels the answer's type holds 300."""
    tiny = {**BALL_BOX, "z_min": 1, "z_max": 2, "z_mid": 1, "z_mid_x_max": 8, "z_mid_y_max": 8}
    imgs = np.full((4, 12, 12), 90, np.uint8)
    segs = ask(name, tmp_path, imgs=imgs, boxes=objects([tiny] * 300))
    assert segs.dtype == np.uint16
