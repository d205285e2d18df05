"""The click rule of RITM against the published rule written anew with OpenCV, click for click."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segarena.prompt.ritm import ritm, ritm_click, satisfied

cv2 = pytest.importorskip("cv2")

SCRIBBLES = Path(__file__).parents[1] / "data" / "scribbles"


def oracle_series(truth, answers, ignore=None, n_clicks=20):
    """Clicks (y, x, positive) on a 2D truth; `answers` gives the mask after each list of clicks."""
    counted = np.ones(truth.shape, bool) if ignore is None else ~ignore
    free = np.ones(truth.shape, bool)
    answer = np.zeros(truth.shape, bool)
    clicks = []
    for _ in range(n_clicks):
        depths = []
        for error in (truth & ~answer & counted, ~truth & answer & counted):
            padded = cv2.copyMakeBorder(error.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
            depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            depths.append(depth[1:-1, 1:-1] * free)
        missed, added = depths
        positive = bool(missed.max() > added.max())
        chosen = missed if positive else added
        if chosen.max() == 0:
            break
        y, x = np.argwhere(chosen == chosen.max())[0]
        free[y, x] = False
        clicks.append((int(y), int(x), positive))
        answer = answers(clicks)
    return clicks


def series(truth, answers, ignore=None, n_clicks=20):
    """The same with the function under test."""
    volume = truth[None]
    answer = np.zeros(truth.shape, bool)
    clicks = []
    for _ in range(n_clicks):
        click = ritm_click(
            volume,
            answer[None],
            [(0, y, x) for y, x, _ in clicks],
            ignore=None if ignore is None else ignore[None],
        )
        if click is None:
            break
        z, y, x, kind = click
        assert z == 0
        clicks.append((y, x, kind == "fg"))
        answer = answers(clicks)
    return clicks


def discs(shape, radius):
    """A submission that adds a disc for a foreground click and removes one for a background one."""
    y, x = np.indices(shape)

    def answer(clicks):
        mask = np.zeros(shape, bool)
        for cy, cx, positive in clicks:
            mask[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = positive
        return mask

    return answer


def brute_force(error):
    """Squared distance of each error voxel to the nearest that is none, the outside included."""
    outside = np.argwhere(~np.pad(error, 1)) - 1
    squared = np.zeros(error.shape, np.int64)
    for voxel in np.argwhere(error):
        squared[tuple(voxel)] = ((outside - voxel) ** 2).sum(1).min()
    return squared


def mask_of(rows):
    """A 2D mask from text, # is set."""
    return np.array([[c == "#" for c in row] for row in rows])


@pytest.mark.parametrize("path", sorted(SCRIBBLES.glob("*.npz")), ids=lambda p: p.stem)
@pytest.mark.parametrize("radius", [4, 25])
def test_a_series_on_a_real_image_is_the_published_one(path, radius):
    """On real images all twenty clicks are those of the published rule with OpenCV's transform."""
    with np.load(path) as archive:
        truth = archive["label"] > 0
    answers = discs(truth.shape, radius)
    expected = oracle_series(truth, answers)
    assert expected
    assert series(truth, answers) == expected


@settings(max_examples=150)
@given(
    masks=hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24).flatmap(
        lambda shape: st.tuples(
            hnp.arrays(bool, shape), hnp.arrays(bool, shape), hnp.arrays(bool, shape)
        )
    )
)
def test_a_series_on_any_masks_is_the_published_one(masks):
    """Whatever the truth, the constant answer and the ignored area, the clicks are the oracle's."""
    truth, answer, ignore = masks
    expected = oracle_series(truth, lambda _: answer, ignore)
    assert series(truth, lambda _: answer, ignore) == expected


@settings(max_examples=60)
@given(
    masks=hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=6).flatmap(
        lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape))
    )
)
def test_a_volume_is_clicked_at_the_deepest_voxel_by_brute_force(masks):
    """In a volume the click is the first voxel with the largest distance found by brute force."""
    truth, answer = masks
    missed, added = brute_force(truth & ~answer), brute_force(answer & ~truth)
    chosen = missed if missed.max() > added.max() else added
    expected = None
    if chosen.max() > 0:
        at = np.argwhere(chosen == chosen.max())[0].tolist()
        expected = (*at, "fg" if chosen is missed else "bg")
    assert ritm_click(truth, answer, []) == expected


@settings(max_examples=40)
@given(
    maps=hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6).flatmap(
        lambda shape: st.tuples(
            hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 2, 5, 9])),
            hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 2, 5, 200])),
        )
    )
)
def test_each_label_is_played_as_if_it_were_alone(maps):
    """Working on the box of a label changes no click of a series, in images as in volumes."""
    gts, segs = maps
    labels = [label for label in (2, 5, 9) if (gts == label).any()]
    earlier = [{"fg": [], "bg": []} for _ in labels]
    for _ in range(3):
        expected = [
            ritm_click(gts == label, segs == label, clicks["fg"] + clicks["bg"])
            for label, clicks in zip(labels, earlier, strict=True)
        ]
        assert ritm(gts, segs, earlier) == expected
        for clicks, click in zip(earlier, expected, strict=True):
            if click is not None:
                clicks[click[3]].append(list(click[:3]))


def test_the_first_of_equally_deep_pixels_in_row_major_order_is_clicked():
    """A square of even side has four deepest pixels; the upper left one is clicked."""
    truth = np.zeros((1, 8, 8), bool)
    truth[0, 2:6, 1:5] = True
    assert ritm_click(truth, np.zeros_like(truth), []) == (0, 3, 2, "fg")


def test_a_tie_between_missed_and_added_goes_to_the_background():
    """Foreground needs a strictly larger depth."""
    truth = mask_of(["###....", "###....", "###...."])[None]
    answer = mask_of(["....###", "....###", "....###"])[None]
    assert ritm_click(truth, answer, []) == (0, 1, 5, "bg")


def test_a_clicked_pixel_is_not_clicked_again_and_its_neighbour_keeps_its_depth():
    """The next click goes to the next deepest pixel of the same, unchanged depths."""
    truth = mask_of(["#####", "#####", "#####"])[None]
    nothing = np.zeros_like(truth)
    assert ritm_click(truth, nothing, []) == (0, 1, 1, "fg")
    assert ritm_click(truth, nothing, [(0, 1, 1)]) == (0, 1, 2, "fg")
    assert ritm_click(truth, nothing, [(0, 1, 1), (0, 1, 2), (0, 1, 3)]) == (0, 0, 0, "fg")


def test_a_click_outside_the_error_changes_nothing():
    """A voxel that was clicked elsewhere, on whichever side, is no part of the rule."""
    truth = np.zeros((3, 5, 5), bool)
    truth[1, 2, 2] = True
    clicked = [(0, 0, 0), (2, 4, 4), (1, 2, 1)]
    assert ritm_click(truth, np.zeros_like(truth), clicked) == (1, 2, 2, "fg")


def test_no_error_gives_no_click():
    """An answer equal to the truth is not clicked."""
    truth = mask_of([".#.", "###"])[None]
    assert ritm_click(truth, truth.copy(), []) is None


def test_an_error_that_was_clicked_everywhere_gives_no_click():
    """A single wrong pixel is clicked once and never again."""
    truth = mask_of(["...", ".#."])[None]
    nothing = np.zeros_like(truth)
    assert ritm_click(truth, nothing, []) == (0, 1, 1, "fg")
    assert ritm_click(truth, nothing, [(0, 1, 1)]) is None


def test_an_empty_truth_and_an_empty_answer_give_no_click():
    """Nothing on both sides is no error."""
    nothing = np.zeros((1, 4, 4), bool)
    assert ritm_click(nothing, nothing, []) is None


def test_a_single_voxel_is_clicked():
    """A volume of one voxel has its click there."""
    assert ritm_click(np.ones((1, 1, 1), bool), np.zeros((1, 1, 1), bool), []) == (0, 0, 0, "fg")


def test_a_full_mask_is_clicked_in_its_middle_because_the_border_counts_as_outside():
    """Without the padding a mask that fills the image would have no depth at all."""
    truth = np.ones((1, 5, 7), bool)
    assert ritm_click(truth, np.zeros_like(truth), []) == (0, 2, 2, "fg")


def test_a_mask_of_one_row_has_depth_one_everywhere():
    """In an image of one row the first pixel is clicked."""
    assert ritm_click(np.ones((1, 1, 6), bool), np.zeros((1, 1, 6), bool), []) == (0, 0, 0, "fg")


def test_an_image_is_measured_in_its_plane_and_not_towards_the_slices_it_lacks():
    """With D = 1 the depth is that of the plane, not 1 everywhere."""
    truth = np.ones((1, 9, 9), bool)
    assert ritm_click(truth, np.zeros_like(truth), []) == (0, 4, 4, "fg")


def test_a_single_slice_of_a_volume_is_measured_in_the_volume():
    """An error of one slice among several has depth 1 everywhere."""
    truth = np.zeros((3, 9, 9), bool)
    truth[1] = True
    assert ritm_click(truth, np.zeros_like(truth), []) == (1, 0, 0, "fg")


def test_an_ignored_area_is_neither_missed_nor_added():
    """Only the error outside the ignored area is clicked."""
    truth = mask_of(["###....", "###....", "###....", ".......", "......#"])[None]
    ignore = mask_of(["###....", "###....", "###....", ".......", "......."])[None]
    assert ritm_click(truth, np.zeros_like(truth), [], ignore=ignore) == (0, 4, 6, "fg")


def test_each_label_of_a_map_gets_its_own_click_in_the_order_of_the_labels():
    """Labels are sorted; one without an error says None; one wrongly added is background."""
    gts = np.array([[[7, 7, 7, 0, 2, 2, 0, 0, 5]]], np.uint8)
    segs = np.array([[[0, 7, 7, 0, 2, 2, 5, 5, 5]]], np.uint8)
    assert ritm(gts, segs) == [None, (0, 0, 6, "bg"), (0, 0, 0, "fg")]
    previous = [{"fg": [], "bg": []}, {"fg": [], "bg": [[0, 0, 6]]}, {"fg": [[0, 0, 0]], "bg": []}]
    assert ritm(gts, segs, previous) == [None, (0, 0, 7, "bg"), None]


def test_the_ignore_label_is_not_played():
    """Voxels of the ignore label get no click, neither as a label nor as another label's error."""
    gts = np.array([[[1, 1, 0, 255, 255]]], np.uint8)
    segs = np.array([[[1, 1, 0, 1, 1]]], np.uint8)
    assert ritm(gts, segs, ignore_label=255) == [None]
    assert ritm(gts, segs)[0] == (0, 0, 3, "bg")


def test_clicks_are_plain_ints():
    """A click goes into a JSON file and into a pickle that every numpy reads."""
    click = ritm_click(np.ones((2, 2, 2), bool), np.zeros((2, 2, 2), bool), [])
    assert [type(part) for part in click] == [int, int, int, str]


def test_the_user_is_satisfied_at_exactly_the_iou_he_asks_for():
    """Nine of ten pixels are an IoU of 0.9, which satisfies 0.9; eight do not."""
    gts = np.ones((1, 1, 10), np.uint8)
    nine, eight = gts.copy(), gts.copy()
    nine[..., 9:] = 0
    eight[..., 8:] = 0
    assert satisfied(gts, nine, {"iou": 0.9})
    assert not satisfied(gts, eight, {"iou": 0.9})


def test_the_user_is_not_satisfied_while_one_label_is_bad():
    """Every label must reach the IoU."""
    gts = np.array([[[1, 1, 2, 2]]], np.uint8)
    assert not satisfied(gts, np.array([[[1, 1, 0, 0]]], np.uint8), {"iou": 0.5})
    assert satisfied(gts, np.array([[[1, 1, 0, 2]]], np.uint8), {"iou": 0.5})


def test_the_ignored_area_does_not_count_for_satisfaction():
    """An answer that differs only where the truth is to be ignored is perfect."""
    gts = np.array([[[1, 255, 255]]], np.uint8)
    segs = np.array([[[1, 1, 1]]], np.uint8)
    assert satisfied(gts, segs, {"iou": 1.0}, ignore_label=255)
    assert not satisfied(gts, segs, {"iou": 1.0})
