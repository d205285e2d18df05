"""What is drawn of a case and of answers, on hand-made masks."""

from pathlib import Path

import numpy as np
from PIL import Image as Picture

from segarena.case import Image
from segarena.report.orientation import LETTERS, Orientation
from segarena.report.pictures import (
    BLACK,
    COLOURS,
    CONFUSED,
    EXCESS,
    LONGEST_SIDE,
    LONGEST_SIDE_ALONE,
    MISSED,
    OTHER,
    SHEET_COLUMNS,
    SHEET_LINE,
    THINNEST_SIDE,
    describe,
    own_colours,
    shown_colours,
    view_of,
    write_answers,
    write_case,
    write_errors,
    write_sheet,
    write_truth,
)

CUBE = np.zeros((20, 20, 20), np.uint8)
CUBE[8:12, 8:12, 8:12] = 3
CLEAR = 0


def pixels(path: Path) -> np.ndarray:
    with Picture.open(path) as picture:
        return np.asarray(picture)


def prompts(**more: object) -> dict[str, object]:
    return {"labels": [3], "boxes": None, "clicks": [{"fg": [], "bg": []}], **more}


def test_view_is_the_middle_of_the_largest_label() -> None:
    """The slices run through the middle of the label with the most voxels, not of all labels."""
    gts = CUBE.copy()
    gts[0, 0, 0] = 1
    assert [plane.index for plane in view_of(gts, (1, 1, 1)).planes] == [10, 10, 10]


def test_view_keeps_proportions() -> None:
    """With slices three times as far apart, the coronal plane is three times as high as wide."""
    gts = np.ones((20, 20, 20), np.uint8)
    axial, coronal, _ = view_of(gts, (3.0, 1.0, 1.0)).planes
    assert (coronal.height, coronal.width) == (LONGEST_SIDE, round(LONGEST_SIDE / 3))
    assert axial.height == axial.width == round(LONGEST_SIDE / 3)


def test_view_is_cropped_to_the_labels_with_a_margin() -> None:
    """Four voxels of 1 mm keep at least 8 mm around them, as far as the volume goes."""
    gts = np.zeros((40, 40, 40), np.uint8)
    gts[18:22, 18:22, 2:6] = 1
    axial = view_of(gts, (1, 1, 1)).planes[0]
    assert (axial.start, axial.stop) == ((10, 0), (30, 14))


def test_single_slice_has_one_plane() -> None:
    """An image is shown as one plane."""
    gts = np.ones((1, 30, 40), np.uint8)
    view = view_of(gts, (1, 1, 1))
    assert len(describe(view, {})["planes"]) == 1
    assert (view.width, view.height) == (LONGEST_SIDE_ALONE, LONGEST_SIDE_ALONE * 3 // 4)


def test_single_slice_across_another_axis_is_shown_from_its_face() -> None:
    """A volume of one column, 30 high and 40 deep, is shown as 30 by 40."""
    view = view_of(np.ones((30, 40, 1), np.uint8), (1, 1, 1))
    assert [plane.axis for plane in view.planes] == [2]
    assert (view.width, view.height) == (LONGEST_SIDE_ALONE, LONGEST_SIDE_ALONE * 3 // 4)


def test_thin_volume_is_widened() -> None:
    """Two slices of 1 mm in 300 mm are still wide enough to be seen."""
    view = view_of(np.ones((2, 300, 300), np.uint8), (1, 1, 1))
    assert view.planes[1].height == THINNEST_SIDE


def test_case_without_labels_is_shown_whole() -> None:
    """Without a label the middle slices of the whole volume are shown."""
    view = view_of(np.zeros((10, 12, 14), np.uint8), (1, 1, 1))
    assert [plane.index for plane in view.planes] == [5, 6, 7]
    assert view.planes[0].stop == (12, 14)


def test_many_labels_share_the_last_colour() -> None:
    """Beyond our colours all are grey; the page gets a colour or none for each."""
    gts = np.arange(1, 28, dtype=np.uint8).reshape(3, 3, 3)
    view = view_of(gts, (1, 1, 1))
    assert len(view.colours) == 27
    assert list(shown_colours(view).values()) == list(COLOURS)
    labels = describe(view, {1: 50})["labels"]
    assert labels[0] == [50, "#e69f00"]
    assert [colour for _, colour in labels[len(COLOURS) :]] == [None] * (27 - len(COLOURS))


def test_truth_is_a_tint_per_label(tmp_path: Path) -> None:
    """Two labels that touch have a colour each, as large as they are, and let the image through."""
    gts = CUBE.copy()
    gts[:, :, 10:][gts[:, :, 10:] == 3] = 5
    view = view_of(gts, (1, 1, 1))
    write_truth(tmp_path / "truth.png", view, gts)
    layer = pixels(tmp_path / "truth.png")[:, :LONGEST_SIDE]
    scale = LONGEST_SIDE // 20
    rows = slice(8 * scale, 12 * scale)
    assert (layer[rows, 8 * scale : 10 * scale] == view.colours[3]).all()
    assert (layer[rows, 10 * scale : 12 * scale] == view.colours[5]).all()
    assert np.count_nonzero(layer) == 16 * scale**2
    with Picture.open(tmp_path / "truth.png") as picture:
        alphas = {rgba[3] for _, rgba in picture.convert("RGBA").getcolors()}
    assert min(alphas) == 0 < max(alphas) < 128


def test_answers_are_outlined_inside_a_row_each(tmp_path: Path) -> None:
    """An empty answer has an empty row; the right one has its outline on its outermost pixels."""
    view = view_of(CUBE, (1, 1, 1))
    write_answers(tmp_path / "a.png", view, [np.zeros_like(CUBE), CUBE], [prompts(), prompts()])
    layer = pixels(tmp_path / "a.png")
    assert layer.shape == (2 * view.height, view.width)
    first, second = layer[: view.height], layer[view.height :]
    assert not first.any()
    scale = LONGEST_SIDE // 20
    assert (second[8 * scale, 8 * scale : 12 * scale] == 1).all()
    assert not second[8 * scale - 1].any()


def test_an_answer_that_is_gone_says_so(tmp_path: Path) -> None:
    """It is not to be taken for an empty one; the rows of the others are as ever."""
    view = view_of(CUBE, (1, 1, 1))
    write_answers(tmp_path / "a.png", view, [None, CUBE], [prompts(), prompts()])
    write_answers(tmp_path / "b.png", view, [np.zeros_like(CUBE), CUBE], [prompts(), prompts()])
    gone, empty = pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png")
    assert set(np.unique(gone[: view.height])) == {CLEAR, OTHER}
    assert (gone[view.height :] == empty[view.height :]).all()


def test_label_that_the_truth_lacks_is_grey(tmp_path: Path) -> None:
    """An answer's label that the truth does not have is drawn in the colour of no label."""
    view = view_of(CUBE, (1, 1, 1))
    write_answers(tmp_path / "a.png", view, [np.where(CUBE, 9, 0)], [prompts()])
    assert set(np.unique(pixels(tmp_path / "a.png"))) == {CLEAR, OTHER}


def test_touching_labels_have_an_outline_each(tmp_path: Path) -> None:
    """On both sides of the border between two labels is the line of the label that is there."""
    gts = CUBE.copy()
    gts[:, :, 10:][gts[:, :, 10:] == 3] = 5
    view = view_of(gts, (1, 1, 1))
    write_answers(tmp_path / "a.png", view, [gts], [prompts()])
    middle = pixels(tmp_path / "a.png")[LONGEST_SIDE // 2, :LONGEST_SIDE]
    border = LONGEST_SIDE // 2
    assert middle[border - 1 : border + 1].tolist() == [view.colours[3], view.colours[5]]


def test_errors_are_missed_in_excess_or_another_label(tmp_path: Path) -> None:
    """By hand: one column of voxels of each kind, a correct one, and one that does not count."""
    gts = np.array([[[1, 0, 1, 1, 2]]], np.uint8).repeat(5, axis=1)
    segs = np.array([[[0, 1, 2, 1, 0]]], np.uint8).repeat(5, axis=1)
    view = view_of(gts, (1, 1, 1))
    write_errors(tmp_path / "e.png", view, gts, [segs, None], ignored=gts == 2)
    layer = pixels(tmp_path / "e.png")
    assert layer.shape == (2 * view.height, view.width)
    middles = view.width // 10 + np.arange(5) * view.width // 5
    assert layer[view.height // 2, middles].tolist() == [MISSED, EXCESS, CONFUSED, CLEAR, CLEAR]
    assert not layer[view.height :].any()


def test_a_turned_volume_is_drawn_with_its_prompts_and_letters(tmp_path: Path) -> None:
    """Axes in the order x, z, y, all backwards: label, click and box come to the same place."""
    gts = np.zeros((20, 20, 20), np.uint8)
    gts[2:6, 4:8, 10:14] = 3
    turn = Orientation((2, 0, 1), (True, True, True), LETTERS)
    view = view_of(gts, (1, 1, 1), orientation=turn)
    clicks = [{"fg": [[3, 5, 11]], "bg": []}]
    box = {"z_min": 2, "z_max": 5, "z_mid": 4}
    box |= {f"z_mid_{axis}_{end}": at for axis, ends in (("y", (4, 7)), ("x", (10, 13)))
            for end, at in zip(("min", "max"), ends, strict=True)}  # fmt: skip
    empty = np.zeros_like(gts)
    write_truth(tmp_path / "t.png", view, gts)
    write_answers(tmp_path / "a.png", view, [empty], [prompts(clicks=clicks, boxes=[box])])
    truth, drawn = pixels(tmp_path / "t.png"), pixels(tmp_path / "a.png")
    # Across the array's z is the second plane: its rows are x and its columns y, both backwards.
    plane = view.planes[1]
    part = np.s_[: plane.height, plane.left : plane.left + plane.width]
    filled, dashed = np.argwhere(truth[part]), np.argwhere(drawn[part])
    rows, columns = (
        slice(start, stop) for start, stop in zip(plane.start, plane.stop, strict=True)
    )
    expected = np.argwhere(gts[4][::-1, ::-1].T[rows, columns])
    scale = plane.height / (plane.stop[0] - plane.start[0])
    assert filled.min(axis=0).tolist() == (expected.min(axis=0) * scale).round().tolist()
    assert np.abs(dashed.min(axis=0) - filled.min(axis=0)).max() <= 1
    assert np.abs(dashed.max(axis=0) - filled.max(axis=0)).max() <= 2
    for one in view.planes:  # the click is within the label in all of them
        part = np.s_[: one.height, one.left : one.left + one.width]
        assert (drawn[part].astype(bool) & truth[part].astype(bool)).any()
    assert [plane["slice"] for plane in describe(view, {})["planes"]] == [12, 4, 6]


def test_letters_are_drawn_at_the_edges(tmp_path: Path) -> None:
    """An empty image has light at the middle of each edge of a plane, and none without letters."""
    image = Image(np.zeros(CUBE.shape, np.uint8), (1, 1, 1), None)
    for letters in (LETTERS, None):
        view = view_of(CUBE, (1, 1, 1), orientation=Orientation(letters=letters))
        write_case(tmp_path / "c.webp", view, image)
        with Picture.open(tmp_path / "c.webp") as picture:
            light = np.asarray(picture.convert("L"))[:, :LONGEST_SIDE] > 200
        middle = slice(LONGEST_SIDE // 2 - 10, LONGEST_SIDE // 2 + 10)
        edges = light[middle, :20], light[middle, -20:], light[:20, middle], light[-20:, middle]
        assert [bool(edge.any()) for edge in edges] == [letters is not None] * 4


def test_click_is_drawn_at_its_voxel(tmp_path: Path) -> None:
    """A click's marker lies around the centre of its voxel in each plane, in its label's colour."""
    view = view_of(CUBE, (1, 1, 1))
    clicks = [{"fg": [[10, 4, 15]], "bg": []}]
    write_answers(tmp_path / "a.png", view, [np.zeros_like(CUBE)], [prompts(clicks=clicks)])
    layer = pixels(tmp_path / "a.png")[:, :LONGEST_SIDE]
    rows, columns = np.nonzero(layer == 1)
    scale = LONGEST_SIDE / 20
    assert abs(rows.mean() - 4.5 * scale) <= 1
    assert abs(columns.mean() - 15.5 * scale) <= 1


def test_click_beyond_the_view_is_left_out(tmp_path: Path) -> None:
    """A click outside the crop is not drawn into a neighbouring plane or row."""
    gts = np.zeros((40, 40, 40), np.uint8)
    gts[18:22, 18:22, 18:22] = 3
    clicks = [{"fg": [[0, 0, 39]], "bg": [[39, 39, 0]]}]
    view = view_of(gts, (1, 1, 1))
    write_answers(tmp_path / "a.png", view, [np.zeros_like(gts)], [prompts(clicks=clicks)])
    assert not pixels(tmp_path / "a.png").any()


def test_scribble_without_a_stroke_on_one_label(tmp_path: Path) -> None:
    """Scribbles are drawn on their slice; a label that nothing was drawn for (None) is no error."""
    view = view_of(CUBE, (1, 1, 1))
    words = prompts(labels=[3, 5], clicks=[], scribbles=[{"fg": [[10, 9, 9]], "bg": []}, None])
    write_answers(tmp_path / "a.png", view, [np.zeros_like(CUBE)], [words])
    assert pixels(tmp_path / "a.png").any()


def test_foreground_strokes_are_full_and_background_strokes_hollow(tmp_path: Path) -> None:
    """Foreground is the label's colour in a black rim, background black in a rim of that colour."""
    view = view_of(CUBE, (1, 1, 1))
    empty = np.zeros_like(CUBE)
    middles = {}
    for kind, other in (("fg", "bg"), ("bg", "fg")):
        strokes = [{kind: [[10, 9, x] for x in range(5, 15)], other: []}]
        write_answers(tmp_path / "a.png", view, [empty], [prompts(scribbles=strokes)])
        layer = pixels(tmp_path / "a.png")[:, :LONGEST_SIDE]
        scale = LONGEST_SIDE // 20
        y, x = (9 * scale + scale // 2, 9 * scale + scale // 2)
        middles[kind] = layer[y, x], layer[y - 2, x]
    assert middles == {"fg": (1, BLACK), "bg": (BLACK, 1)}


def test_strokes_on_another_slice_are_dots_of_the_labels_colour(tmp_path: Path) -> None:
    """Nothing hides the slice that is shown: every other patch of a line is left out."""
    gts = np.ones((3, LONGEST_SIDE, LONGEST_SIDE), np.uint8)
    view = view_of(gts, (1, 1, 1))
    line = [{"fg": [[0, 100, x] for x in range(100, 140)], "bg": []}]
    words = prompts(labels=[1], scribbles=line)
    write_answers(tmp_path / "a.png", view, [np.zeros_like(gts)], [words])
    layer = pixels(tmp_path / "a.png")[:LONGEST_SIDE, :LONGEST_SIDE]
    assert set(np.unique(layer)) == {CLEAR, 1}
    assert np.count_nonzero(layer) == 20


def test_a_label_with_a_colour_of_its_own_is_drawn_in_it(tmp_path: Path) -> None:
    """The sheet's colour takes the place of ours; the other label keeps the one that it had."""
    gts = np.zeros((1, 40, 40), np.uint8)
    gts[0, 2:30, 2:20], gts[0, 2:10, 25:35] = 1, 2
    view = view_of(gts, (1, 1, 1), own_colours({1: 1, 2: 70}, {"70": "#010203", "9": "#090909"}))
    write_answers(tmp_path / "a.png", view, [gts], [prompts(labels=[1, 2], clicks=[])])
    with Picture.open(tmp_path / "a.png") as picture:
        colours = {rgba[:3] for _, rgba in picture.convert("RGBA").getcolors() if rgba[3]}
    assert colours == {COLOURS[0], (1, 2, 3)}


def test_colour_image_keeps_its_colours(tmp_path: Path) -> None:
    """An RGB image is drawn in colour."""
    imgs = np.zeros((1, 30, 40, 3), np.uint8)
    imgs[..., 0] = 200
    view = view_of(np.ones((1, 30, 40), np.uint8), (1, 1, 1))
    write_case(tmp_path / "a.webp", view, Image(imgs, (1, 1, 1), None))
    with Picture.open(tmp_path / "a.webp") as picture:
        red, green, _ = picture.convert("RGB").getpixel((100, 100))
    assert red > 180
    assert green < 20


def test_sheet_lays_truth_and_answers_over_the_case(tmp_path: Path) -> None:
    """Two interactions stand side by side; only the second shows the answer, both the truth."""
    view = view_of(CUBE, (1, 1, 1))
    write_case(tmp_path / "c.webp", view, Image(np.zeros(CUBE.shape, np.uint8), (1, 1, 1), None))
    write_truth(tmp_path / "t.png", view, CUBE)
    write_answers(tmp_path / "a.png", view, [np.zeros_like(CUBE), CUBE], [prompts(), prompts()])
    layers = (tmp_path / "c.webp", tmp_path / "t.png", {"ada": tmp_path / "a.png"})
    write_sheet(tmp_path / "s.png", *layers, [("3 cube", COLOURS[0])], "a note")
    sheet = pixels(tmp_path / "s.png")
    assert sheet.shape[0] == view.height + 3 * SHEET_LINE
    assert sheet[SHEET_LINE // 2, 6].tolist() == list(COLOURS[0])
    sheet = sheet[2 * SHEET_LINE :]
    width = sheet.shape[1] // SHEET_COLUMNS
    scale = LONGEST_SIDE // 20
    middle, edge = 10 * scale, SHEET_LINE + 8 * scale
    for panel, answered in ((0, False), (width, True)):
        assert not sheet[edge - 1, panel + middle].any()
        assert 0 < sheet[edge + 3, panel + middle, 0] < COLOURS[0][0]
        assert (sheet[edge, panel + middle].tolist() == list(COLOURS[0])) == answered
