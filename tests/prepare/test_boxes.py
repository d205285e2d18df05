import numpy as np
import pytest

from segarena.prepare.boxes import box_of, boxes_of, drawn_shift


def test_an_unshifted_box_is_the_closed_interval_on_the_middle_slice():
    """Without a shift the box is the extent on the middle slice, last pixel included."""
    mask = np.zeros((9, 20, 30), bool)
    mask[2, 0:20, 0:30] = True
    mask[3, 5:8, 10:14] = True
    mask[4, 1, 1] = True
    assert box_of(mask, shift=0) == {
        "z_min": 2,
        "z_max": 4,
        "z_mid": 3,
        "z_mid_x_min": 10,
        "z_mid_y_min": 5,
        "z_mid_x_max": 13,
        "z_mid_y_max": 7,
    }


def test_the_middle_is_among_the_slices_that_hold_the_label():
    """Slices without the label do not count: of 0, 1, 2 and 8 the middle one is 2, the third."""
    mask = np.zeros((9, 4, 4), bool)
    mask[[0, 1, 2, 8], 1, 2] = True
    assert box_of(mask, shift=0)["z_mid"] == 2


def test_the_shift_scales_with_width_and_height():
    """Three pixels at 256 are 6 in a width of 512, and int(3 * 128/256) = 1 in a height of 128."""
    mask = np.zeros((1, 128, 512), bool)
    mask[0, 60:70, 200:300] = True
    box = box_of(mask, shift=3)
    assert (box["z_mid_x_min"], box["z_mid_x_max"]) == (194, 305)
    assert (box["z_mid_y_min"], box["z_mid_y_max"]) == (59, 70)


def test_a_box_ends_at_the_border():
    """A box is never wider than the slice."""
    box = box_of(np.ones((1, 256, 256), bool), shift=5)
    corners = ("z_mid_x_min", "z_mid_y_min", "z_mid_x_max", "z_mid_y_max")
    assert [box[key] for key in corners] == [0, 0, 255, 255]


def test_a_label_of_one_voxel_has_a_box_of_one_voxel():
    """The smallest label has the smallest box: both ends are its voxel."""
    mask = np.zeros((3, 10, 10), bool)
    mask[2, 7, 4] = True
    assert list(box_of(mask, shift=5).values()) == [2, 2, 2, 4, 7, 4, 7]


def test_boxes_follow_the_sorted_labels_with_their_gaps():
    """There is one box a label, in the order of the labels, whatever ids they have."""
    gts = np.zeros((4, 5, 5), np.uint16)
    gts[3, 1, 1] = 2
    gts[0, 2, 2] = 300
    assert [box["z_mid"] for box in boxes_of(gts, case="a", seed=1)] == [3, 0]


def test_boxes_are_plain_ints():
    """Boxes hold plain Python ints, which every numpy can unpickle."""
    (box,) = boxes_of(np.ones((2, 2, 2), np.uint8), case="a", seed=1)
    assert all(type(value) is int for value in box.values())


def test_a_draw_depends_on_seed_case_and_label_alone():
    """The draws are sha256sum's of box/42/liver_01/1..8 modulo 6, and others elsewhere."""
    draws = [drawn_shift(case="liver_01", label=label, seed=42) for label in range(1, 9)]
    assert draws == [0, 4, 5, 1, 0, 4, 5, 0]
    assert draws != [drawn_shift(case="liver_02", label=label, seed=42) for label in range(1, 9)]
    assert draws != [drawn_shift(case="liver_01", label=label, seed=43) for label in range(1, 9)]


def test_draws_are_uniform_over_0_to_5():
    """Of 6000 draws each of the six values comes 1000 times, give or take five sigma (145)."""
    draws = [drawn_shift(case=f"c{i}", label=1, seed=0) for i in range(6000)]
    counts = np.bincount(draws, minlength=6)
    assert counts.size == 6
    assert counts == pytest.approx(1000, abs=145)
