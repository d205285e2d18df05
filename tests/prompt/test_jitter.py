"""Prompts that are slightly off, as a hand is."""

import numpy as np

from segarena.prompt.jitter import jittered_box, jittered_click

BOX = {
    "z_min": 1,
    "z_max": 3,
    "z_mid": 2,
    "z_mid_x_min": 30,
    "z_mid_y_min": 40,
    "z_mid_x_max": 50,
    "z_mid_y_max": 60,
}


def test_each_side_of_a_box_moves_outwards_by_up_to_the_jitter():
    """All of 0 to 20 pixels occur on every side, and the slices stay."""
    rng = np.random.default_rng(0)
    boxes = [jittered_box(BOX, (5, 200, 200), rng) for _ in range(2000)]
    for key, outwards in (("x_min", -1), ("y_min", -1), ("x_max", 1), ("y_max", 1)):
        moved = {(box[f"z_mid_{key}"] - BOX[f"z_mid_{key}"]) * outwards for box in boxes}
        assert moved == set(range(21))
    for key in ("z_min", "z_max", "z_mid"):
        assert {box[key] for box in boxes} == {BOX[key]}


def test_a_box_stays_in_the_image():
    """A side at the border of the image goes no further."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        box = jittered_box(BOX, (5, 62, 52), rng, max_px=100)
        assert 0 <= box["z_mid_x_min"] <= 30
        assert 0 <= box["z_mid_y_min"] <= 40
        assert 50 <= box["z_mid_x_max"] <= 51
        assert 60 <= box["z_mid_y_max"] <= 61


def test_a_jitter_of_zero_leaves_the_box():
    """No jitter, no change."""
    assert jittered_box(BOX, (5, 200, 200), np.random.default_rng(0), max_px=0) == BOX


def test_a_click_is_moved_within_its_radius_and_within_its_error():
    """All voxels of the error within the radius occur, and no other."""
    gts = np.zeros((1, 9, 9), np.uint8)
    gts[0, 2:7, 4:9] = 3
    segs = np.zeros_like(gts)
    rng = np.random.default_rng(0)
    seen = {jittered_click((0, 4, 5, "fg"), gts == 3, segs == 3, rng, radius=2) for _ in range(500)}
    expected = {
        (0, y, x, "fg")
        for y in range(9)
        for x in range(4, 9)
        if 2 <= y < 7 and (y - 4) ** 2 + (x - 5) ** 2 <= 4
    }
    assert seen == expected


def test_a_background_click_stays_on_what_was_wrongly_added():
    """Jitter never turns a click into one of the wrong kind."""
    truth = np.zeros((3, 3, 3), bool)
    answer = np.zeros_like(truth)
    answer[1, 1, 1:] = True
    truth[1, 0] = True
    rng = np.random.default_rng(0)
    seen = {jittered_click((1, 1, 2, "bg"), truth, answer, rng, radius=3) for _ in range(50)}
    assert seen == {(1, 1, 1, "bg"), (1, 1, 2, "bg")}


def test_a_radius_of_zero_leaves_the_click():
    """No jitter, no change."""
    truth = np.ones((2, 2, 2), bool)
    click = (1, 0, 1, "fg")
    rng = np.random.default_rng(0)
    assert jittered_click(click, truth, ~truth, rng, radius=0) == click


def test_a_jittered_click_holds_plain_ints():
    """It goes into a JSON file and into a pickle that every numpy reads."""
    truth = np.ones((2, 2, 2), bool)
    click = jittered_click((0, 0, 0, "fg"), truth, ~truth, np.random.default_rng(1), radius=5)
    assert [type(part) for part in click] == [int, int, int, str]
