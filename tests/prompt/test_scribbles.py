"""What a simulated user scribbles, on many masks, on degenerate ones, and as people drew it."""

import json
import struct
import subprocess
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segarena.errors import CaseError
from segarena.prompt.scribbles import (
    Stroke,
    apply,
    click_pixels,
    clicks,
    draw,
    from_file,
    scribbles,
    unbroken,
)

cv2 = pytest.importorskip("cv2")

SCRIBBLES = Path(__file__).parents[1] / "data" / "scribbles"
KINDS = ("line", "centerline", "contour")
DRAWS = {"seed": 1, "case": "case", "interaction": 1}


def components(mask):
    """The number of 8-connected components, by OpenCV."""
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1


def blobs(seed, size=40):
    """A smooth random mask that is neither empty nor full."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(size, size)), (0, 0), 3)
    return noise > np.quantile(noise, 0.3 + 0.6 * (seed % 7) / 7)


def speckles(seed, size=24):
    """An unfriendly random mask of scattered pixels."""
    rng = np.random.default_rng(seed)
    mask = rng.random((size, size)) < rng.uniform(0.01, 0.9)
    mask[int(rng.integers(size)), int(rng.integers(size))] = True
    return mask


def disc(size=41, radius=15):
    y, x = np.indices((size, size)) - size // 2
    return y**2 + x**2 <= radius**2


def scribbled(mask, kind, seed=0, **options):
    rng = np.random.default_rng(seed)
    return apply(mask, draw(mask, rng, {kind: 1}), **options)


def painted(voxels, shape):
    mask = np.zeros(shape, bool)
    for voxel in voxels:
        mask[tuple(voxel)] = True
    return mask


any_mask = st.builds(
    lambda make, seed: make(seed), st.sampled_from([blobs, speckles]), st.integers(0, 10**6)
)


@settings(max_examples=60)
@given(mask=any_mask, seed=st.integers(0, 10**6), kind=st.sampled_from(KINDS))
def test_a_scribble_lies_inside_its_mask_and_is_never_empty(mask, seed, kind):
    """On any mask that is not empty, each kind leaves at least a pixel, and none outside."""
    scribble = scribbled(mask, kind, seed)
    assert scribble.any()
    assert not (scribble & ~mask).any()


@settings(max_examples=60)
@given(mask=any_mask, seed=st.integers(0, 10**6), limit=st.integers(1, 30))
def test_a_limited_scribble_has_at_most_that_many_pixels(mask, seed, limit):
    """A limit keeps at least one pixel, at most the limit, and adds none."""
    rng = np.random.default_rng(seed)
    stroke = draw(mask, rng)
    limited, whole = apply(mask, stroke, max_pixels=limit), apply(mask, stroke)
    assert limited.sum() == min(limit, whole.sum())
    assert not (limited & ~whole).any()


@settings(max_examples=60)
@given(mask=any_mask, seed=st.integers(0, 10**6))
def test_the_centre_line_before_breaking_is_one_stroke_per_component(mask, seed):
    """Before it is broken the centre line is inside the mask and as connected as the mask."""
    stroke = draw(mask, np.random.default_rng(seed), {"centerline": 1})
    line = unbroken(mask, stroke)
    assert not (line & ~mask).any()
    assert components(line) == components(mask)
    assert components(line & mask) == components(line | mask)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), radius=st.integers(1, 19))
def test_the_contour_of_a_disc_before_breaking_is_one_closed_stroke(seed, radius):
    """It is connected, and closed: what it encloses is not connected with the outside."""
    mask = disc(radius=radius)
    outline = unbroken(mask, draw(mask, np.random.default_rng(seed), {"contour": 1}))
    assert components(outline) == 1
    assert not (outline & ~mask).any()
    outside, labels = cv2.connectedComponents((~outline).astype(np.uint8), connectivity=4)
    assert outside - 1 == 1 or labels[20, 20] != labels[0, 0]


@settings(max_examples=60)
@given(mask=any_mask, seed=st.integers(0, 10**6))
def test_each_line_before_warping_is_one_straight_stroke_between_two_pixels_of_the_mask(mask, seed):
    """It is connected, holds both ends, has one pixel a step, and keeps to the straight line."""
    stroke = draw(mask, np.random.default_rng(seed), {"line": 1})
    assert 1 <= len(stroke.ends) <= 3
    for (y0, x0), (y1, x1) in stroke.ends:
        alone = Stroke(**{**asdict(stroke), "ends": (((y0, x0), (y1, x1)),)})
        line = unbroken(mask, alone)
        assert mask[y0, x0] and mask[y1, x1] and line[y0, x0] and line[y1, x1]
        assert components(line) == 1
        length = max(abs(y1 - y0), abs(x1 - x0))
        assert line.sum() >= length + 1
        y, x = np.nonzero(line)
        off = np.abs((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0))
        assert (off <= 0.75 * max(np.hypot(y1 - y0, x1 - x0), 1) + 1e-9).all()


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), rule=st.sampled_from(["random", "center", "border"]))
def test_clicks_lie_in_the_mask_and_keep_their_distance(seed, rule):
    """At least one click, none outside, none closer to another than asked for."""
    mask = speckles(seed)
    rng = np.random.default_rng(seed)
    pixels = np.array(click_pixels(mask, rng, rule, count=5, min_distance_px=4))
    assert 1 <= len(pixels) <= 5
    assert mask[tuple(pixels.T)].all()
    gaps = np.hypot(*(pixels[:, None] - pixels[None]).transpose(2, 0, 1))
    assert (gaps[~np.eye(len(pixels), dtype=bool)] >= 4).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_pixel_is_scribbled(kind):
    """The only pixel is the scribble."""
    mask = np.zeros((9, 9), bool)
    mask[3, 5] = True
    assert np.argwhere(scribbled(mask, kind)).tolist() == [[3, 5]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_mask_is_scribbled(kind):
    """A mask without any outside has scribbles, too."""
    for seed in range(5):
        assert scribbled(np.ones((30, 20), bool), kind, seed).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 17), (17, 1), (1, 1), (2, 2)])
def test_a_mask_of_one_row_or_column_is_scribbled(kind, shape):
    """Images as thin as a line are no special case."""
    for seed in range(5):
        assert scribbled(np.ones(shape, bool), kind, seed).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_that_touches_the_border_is_scribbled_inside(kind):
    """The strokes stay in the mask and in the image."""
    mask = np.zeros((30, 30), bool)
    mask[:12, 18:] = True
    for seed in range(10):
        scribble = scribbled(mask, kind, seed)
        assert scribble.any()
        assert not (scribble & ~mask).any()


def test_the_contour_does_not_follow_the_frame_of_the_image():
    """Where the region is cut by the border of the image nobody draws."""
    mask = np.zeros((40, 40), bool)
    mask[:, :20] = True
    outline = unbroken(mask, draw(mask, np.random.default_rng(0), {"contour": 1}))
    assert components(outline) == 1
    assert np.unique(np.nonzero(outline)[1]).size == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_centre_line_of_a_wide_background_is_a_ring_around_the_structure(seed):
    """It runs halfway between the structure and what is out of reach, not along the frame."""
    around = ~disc(size=201, radius=15)
    stroke = draw(around, np.random.default_rng(seed), {"centerline": 1}, background=True)
    ring = unbroken(around, stroke)
    y, x = np.nonzero(ring) - np.array([[100], [100]])
    assert components(ring) == 1
    assert np.abs(np.hypot(y, x) - (15.5 + stroke.reach_px / 2)).max() < 4


def test_background_lines_begin_and_end_near_the_structure():
    """Both ends are within reach, which is 12 to 40 pixels; foreground has no reach."""
    around = ~disc(size=201, radius=15)
    for seed in range(20):
        stroke = draw(around, np.random.default_rng(seed), {"line": 1}, background=True)
        assert 12 <= stroke.reach_px <= 40
        for y, x in np.array(stroke.ends).reshape(-1, 2) - 100:
            assert 15 < np.hypot(y, x) <= 16 + stroke.reach_px
        assert draw(around, np.random.default_rng(seed), {"line": 1}).reach_px is None


def test_the_level_says_how_deep_inside_the_contour_runs():
    """Level 1 follows the outline of the mask, level 0 shrinks to its middle."""
    mask = disc()
    stroke = draw(mask, np.random.default_rng(0), {"contour": 1})
    outermost = unbroken(mask, Stroke(**{**asdict(stroke), "level": 1.0}))
    innermost = unbroken(mask, Stroke(**{**asdict(stroke), "level": 0.0}))
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    outline = mask & (cv2.erode(mask.astype(np.uint8), cross) == 0)
    assert (outermost == outline).all()
    assert np.argwhere(innermost).tolist() == [[20, 20]]


def test_a_warp_without_size_leaves_a_line_as_it_is():
    """A displacement of 0 px moves nothing, so a line in a convex mask stays whole."""
    mask = disc()
    stroke = draw(mask, np.random.default_rng(0), {"line": 1})
    still = Stroke(**{**asdict(stroke), "warp_size_px": 0.0, "ends": (((20, 8), (20, 32)),)})
    expected = np.zeros_like(mask)
    expected[20, 8:33] = True
    assert (apply(mask, still) == expected).all()


def test_a_warped_line_is_not_torn():
    """Inside a mask without limits a moved line is still one stroke."""
    mask = np.ones((200, 200), bool)
    for seed in range(20):
        stroke = draw(mask, np.random.default_rng(seed), {"line": 1})
        one = Stroke(**{**asdict(stroke), "ends": (((60, 60), (140, 130)),)})
        assert components(apply(mask, one)) == 1


def test_a_warp_that_leaves_the_mask_altogether_is_undone():
    """A pixel that is moved out of its mask counts where it was."""
    mask = np.zeros((60, 60), bool)
    mask[30, 30] = True
    stroke = draw(mask, np.random.default_rng(0), {"line": 1})
    far = Stroke(**{**asdict(stroke), "warp_size_px": 1e6})
    assert np.argwhere(apply(mask, far)).tolist() == [[30, 30]]


def test_what_was_drawn_gives_the_scribble_again_after_a_journey_through_json():
    """The record is complete: the scribble follows from it and the truth alone."""
    gts = disc()[None].astype(np.uint8)
    (marks,), (record,) = scribbles(gts, None, **DRAWS)
    for sign, mask in (("fg", gts[0] == 1), ("bg", gts[0] != 1)):
        for parameters in json.loads(json.dumps(record[sign])):
            z = parameters.pop("z")
            again = np.argwhere(apply(mask, Stroke(**parameters))).tolist()
            assert [[z, y, x] for y, x in again] == marks[sign]


def test_the_same_name_gives_the_same_scribbles_and_another_gives_others():
    """Seed, case, interaction and repetition each change what is drawn; nothing else does."""
    gts = disc()[None].astype(np.uint8)
    first = scribbles(gts, None, **DRAWS)
    assert scribbles(gts, None, **DRAWS) == first
    for other in ({"seed": 2}, {"case": "b"}, {"interaction": 2}, {"repetition": 1}):
        assert scribbles(gts, None, **{**DRAWS, **other}) != first


def test_a_label_is_scribbled_the_same_whatever_other_labels_there_are():
    """Each label has its own generator."""
    gts = np.zeros((1, 60, 60), np.uint8)
    gts[0, 5:25, 5:25] = 2
    alone, _ = scribbles(gts, None, **DRAWS)
    gts[0, 40:55, 40:55] = 1
    both, _ = scribbles(gts, None, **DRAWS)
    assert both[1] == alone[0]


def test_another_process_draws_the_same():
    """Nothing hangs on the process, such as Python's own hash."""
    code = (
        "import numpy as np, json; from segarena.prompt.scribbles import scribbles;"
        "gts = np.zeros((1, 30, 30), np.uint8); gts[0, 5:25, 5:20] = 1;"
        "print(json.dumps(scribbles(gts, None, seed=1, case='c', interaction=1)[0]))"
    )
    root = Path(__file__).parents[2]
    other = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(root / "src"), "PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
        text=True,
    )
    gts = np.zeros((1, 30, 30), np.uint8)
    gts[0, 5:25, 5:20] = 1
    assert json.loads(other.stdout) == scribbles(gts, None, seed=1, case="c", interaction=1)[0]


def test_the_first_scribbles_lie_on_the_truth_and_on_the_background():
    """Without an answer foreground is inside each label, background outside of it."""
    gts = np.zeros((1, 60, 60), np.uint8)
    gts[0, 5:25, 5:25], gts[0, 30:55, 30:55] = 4, 9
    marks, _ = scribbles(gts, None, **DRAWS)
    for label, voxels in zip((4, 9), marks, strict=True):
        fg, bg = painted(voxels["fg"], gts.shape), painted(voxels["bg"], gts.shape)
        assert fg.any() and bg.any()
        assert (gts[fg] == label).all()
        assert (gts[bg] != label).all()


def test_later_scribbles_lie_on_what_was_missed_and_on_what_was_added():
    """Foreground corrects the missed part, background the added one."""
    gts = np.zeros((1, 60, 60), np.uint8)
    segs = np.zeros_like(gts)
    gts[0, 10:50, 5:40] = 1
    segs[0, 10:50, 20:55] = 1
    (marks,), _ = scribbles(gts, segs, **DRAWS)
    fg, bg = painted(marks["fg"], gts.shape), painted(marks["bg"], gts.shape)
    assert fg.any() and bg.any()
    assert (fg <= ((gts == 1) & (segs == 0))).all()
    assert (bg <= ((gts == 0) & (segs == 1))).all()


def test_a_perfect_answer_is_not_scribbled_on():
    """Without an error the user says None."""
    gts = disc()[None].astype(np.uint8)
    assert scribbles(gts, gts.copy(), **DRAWS)[0] == [None]
    assert clicks(gts, gts.copy(), **DRAWS) == [None]


def test_an_empty_truth_has_no_labels_to_scribble_on():
    """There is no entry where there is no label."""
    empty = np.zeros((1, 8, 8), np.uint8)
    assert scribbles(empty, None, **DRAWS) == ([], [])
    assert clicks(empty, None, **DRAWS) == []


def test_a_truth_without_background_is_scribbled_on_the_foreground_alone():
    """There is nowhere to put a background scribble."""
    (marks,), _ = scribbles(np.ones((1, 20, 20), np.uint8), None, **DRAWS)
    assert marks["fg"]
    assert marks["bg"] == []


def test_a_volume_is_scribbled_in_its_largest_slice_and_around_it():
    """Foreground and first background are drawn in the slice with most of the label."""
    gts = np.zeros((4, 30, 30), np.uint8)
    gts[1, 10:15, 10:15] = 1
    gts[2, 5:25, 5:25] = 1
    (marks,), _ = scribbles(gts, None, **DRAWS)
    assert {z for z, _, _ in marks["fg"]} == {2}
    assert {z for z, _, _ in marks["bg"]} == {2}


def test_the_lowest_of_equally_large_slices_is_scribbled():
    """Ties go to the lowest index."""
    gts = np.zeros((4, 9, 9), np.uint8)
    gts[1:3, 2:7, 2:7] = 1
    (marks,), _ = scribbles(gts, None, **DRAWS)
    assert {z for z, _, _ in marks["fg"]} == {1}


def test_all_slices_of_a_volume_can_be_scribbled():
    """Each slice that holds the label gets its strokes."""
    gts = np.zeros((5, 20, 20), np.uint8)
    gts[1:4, 5:15, 5:15] = 1
    (marks,), _ = scribbles(gts, None, slices="all", **DRAWS)
    assert {z for z, _, _ in marks["fg"]} == {1, 2, 3}
    assert {z for z, _, _ in marks["bg"]} == {1, 2, 3}


def test_scribbles_are_sorted_plain_ints_without_repetition():
    """They go into a JSON file and into a pickle that every numpy reads."""
    (marks,), _ = scribbles(disc()[None].astype(np.uint8), None, **DRAWS)
    for voxels in marks.values():
        assert voxels == sorted(voxels)
        assert len({tuple(v) for v in voxels}) == len(voxels)
        assert {type(c) for voxel in voxels for c in voxel} == {int}


def test_only_the_kinds_of_the_mix_are_drawn():
    """A kind of weight 0 never comes, the others do."""
    mask = disc()
    rng = np.random.default_rng(0)
    mix = {"line": 2, "centerline": 0, "contour": 1}
    kinds = [draw(mask, rng, mix).kind for _ in range(200)]
    assert set(kinds) == {"line", "contour"}
    assert 100 < kinds.count("line") < 165


def test_drawn_parameters_stay_in_the_published_ranges():
    """Blur 5 to 20, smoothing 4 to 16, displacement 1 to 6 pixels."""
    mask = disc()
    rng = np.random.default_rng(0)
    for _ in range(200):
        stroke = draw(mask, rng)
        assert 5 <= stroke.blur_sigma_px <= 20
        assert 0 <= stroke.level <= 1
        assert 4 <= stroke.break_smoothing_px <= 16
        assert 4 <= stroke.warp_smoothing_px <= 16
        assert 1 <= stroke.warp_size_px <= 6


def test_centre_clicks_go_to_the_middle_of_each_component_the_largest_first():
    """One click per component, at its deepest pixel."""
    mask = np.zeros((20, 20), bool)
    mask[1:4, 1:4] = True
    mask[8:17, 8:17] = True
    rng = np.random.default_rng(0)
    assert click_pixels(mask, rng, "center", count=5) == [[12, 12], [2, 2]]
    assert click_pixels(mask, rng, "center", count=1) == [[12, 12]]


def test_a_centre_too_close_to_an_earlier_click_is_left_out():
    """The minimum distance holds between components as well."""
    mask = np.zeros((3, 9), bool)
    mask[:, :3] = True
    mask[1, 4] = True
    rng = np.random.default_rng(0)
    assert click_pixels(mask, rng, "center", count=2, min_distance_px=4) == [[1, 1]]


def test_border_clicks_are_nearer_to_the_outline_than_random_ones():
    """In a large disc the border rule clicks further out on average."""
    mask = disc(size=121, radius=55)
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 0)
    mean = {}
    for rule in ("random", "border"):
        rng = np.random.default_rng(0)
        mean[rule] = np.mean([depth[tuple(click_pixels(mask, rng, rule)[0])] for _ in range(100)])
    assert mean["border"] < 0.8 * mean["random"]


@pytest.mark.parametrize("rule", ["random", "center", "border"])
def test_degenerate_masks_are_clicked(rule):
    """A single pixel is clicked once, a full mask has its clicks, an empty one has none."""
    rng = np.random.default_rng(0)
    single = np.zeros((5, 5), bool)
    single[4, 0] = True
    assert click_pixels(single, rng, rule, count=3, min_distance_px=2) == [[4, 0]]
    assert len(click_pixels(np.ones((6, 6), bool), rng, rule, count=1)) == 1
    assert click_pixels(np.zeros((5, 5), bool), rng, rule) == []


def test_clicks_have_the_form_of_scribbles():
    """Per label foreground and background, [z, y, x], plain ints, in the right regions."""
    gts = np.zeros((3, 20, 20), np.uint8)
    gts[1, 5:15, 5:15] = 7
    (marks,) = clicks(gts, None, **DRAWS, count=3, min_distance_px=2)
    assert [len(marks["fg"]), len(marks["bg"])] == [3, 3]
    assert all(gts[tuple(v)] == 7 for v in marks["fg"])
    assert all(gts[tuple(v)] == 0 and v[0] == 1 for v in marks["bg"])
    assert {type(c) for voxel in marks["fg"] + marks["bg"] for c in voxel} == {int}


@pytest.mark.parametrize("path", sorted(SCRIBBLES.glob("*.npz")), ids=lambda p: p.stem)
def test_scribbles_drawn_by_people_are_read_per_annotator(path):
    """Three annotators, each with foreground and background; most of the background is right."""
    with np.load(path) as archive:
        label, soft = archive["label"], archive["scribbles"]
    people = from_file(path, (1, *label.shape))
    assert len(people) == 3
    for annotator, marks in enumerate(people):
        assert len(marks["fg"]) == np.count_nonzero(soft[annotator, 0] >= 128)
        assert np.mean([label[y, x] == 0 for _, y, x in marks["bg"]]) > 0.7
        assert marks["fg"] == sorted(marks["fg"])


def test_a_higher_threshold_keeps_fewer_pixels_of_a_soft_pen(tmp_path):
    """A pixel counts if its value is above the threshold, on the scale of 0 to 1."""
    soft = np.zeros((1, 2, 1, 4), np.float32)
    soft[0, 0, 0] = [0.0, 0.25, 0.5, 1.0]
    np.savez(tmp_path / "s.npz", scribbles=soft)
    kept = {
        t: [x for _, _, x in from_file(tmp_path / "s.npz", (1, 1, 4), threshold=t)[0]["fg"]]
        for t in (0.0, 0.25, 0.5)
    }
    assert kept == {0.0: [1, 2, 3], 0.25: [2, 3], 0.5: [3]}


def test_an_annotator_who_drew_nothing_says_nothing(tmp_path):
    """Empty lists, not an error."""
    np.savez(tmp_path / "s.npz", scribbles=np.zeros((1, 2, 3, 3), np.uint8))
    assert from_file(tmp_path / "s.npz", (1, 3, 3)) == [{"fg": [], "bg": []}]


def test_scribbles_of_another_size_are_refused(tmp_path):
    """The message names the file and both shapes."""
    np.savez(tmp_path / "s.npz", scribbles=np.zeros((1, 2, 3, 3), np.uint8))
    with pytest.raises(CaseError, match=r"s\.npz.*\(1, 2, 3, 3\).*\(1, 4, 4\)"):
        from_file(tmp_path / "s.npz", (1, 4, 4))


def test_a_file_without_scribbles_is_refused(tmp_path):
    """The message names the file and the key."""
    np.savez(tmp_path / "s.npz", img=np.zeros((3, 3)))
    with pytest.raises(CaseError, match=r"s\.npz.*scribbles"):
        from_file(tmp_path / "s.npz", (1, 3, 3))


@pytest.mark.parametrize("shape", ["(1099511627776, 2, 3, 3)", "(9**9,)", "(1, 2, 3", "(-1,)"])
def test_a_hostile_file_of_scribbles_is_one_line(tmp_path, shape):
    """A header that promises terabytes, or is broken, unpacks nothing."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    with zipfile.ZipFile(tmp_path / "s.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        start = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header
        archive.writestr("scribbles.npy", start + bytes(100))
    with pytest.raises(CaseError, match=r"s\.npz: key 'scribbles' cannot be read") as raised:
        from_file(tmp_path / "s.npz", (1, 3, 3))
    assert "\n" not in str(raised.value)


def test_scribbles_of_more_people_than_there_are_is_one_line(tmp_path):
    """A thousand are; nothing of a larger array is unpacked."""
    np.savez_compressed(tmp_path / "s.npz", scribbles=np.zeros((1001, 2, 3, 3)))
    with pytest.raises(CaseError, match="more than the 144,000 expected"):
        from_file(tmp_path / "s.npz", (1, 3, 3))


def test_a_pickle_among_scribbles_is_never_unpickled(tmp_path):
    """An object array is no scribble."""
    np.savez(tmp_path / "s.npz", scribbles=np.array([{"a": 1}], dtype=object))
    with pytest.raises(CaseError, match="expected numbers"):
        from_file(tmp_path / "s.npz", (1, 3, 3))
