"""What is drawn of a case and of answers, on hand-made masks."""

from pathlib import Path

import numpy as np
from PIL import Image as Picture

from segarena.case import Image
from segarena.report.pictures import (
    BLACK,
    COLOURS,
    LONGEST_SIDE,
    SHEET_COLUMNS,
    SHEET_LINE,
    THINNEST_SIDE,
    WHITE,
    describe,
    view_of,
    write_answers,
    write_case,
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
    assert [plane["name"] for plane in describe(view, {})["planes"]] == ["axial"]
    assert (view.width, view.height) == (LONGEST_SIDE, LONGEST_SIDE * 3 // 4)


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
    """From the seventh label on, all are grey; none is left without a colour."""
    gts = np.arange(1, 28, dtype=np.uint8).reshape(3, 3, 3)
    colours = view_of(gts, (1, 1, 1)).colours
    assert len(colours) == 27
    assert max(colours.values()) == 7


def test_truth_is_outlined_outside(tmp_path: Path) -> None:
    """The truth's outline is white and runs just outside the label, whose inside stays clear."""
    view = view_of(CUBE, (1, 1, 1))
    write_truth(tmp_path / "truth.png", view, CUBE)
    layer = pixels(tmp_path / "truth.png")
    scale = LONGEST_SIDE // 20
    assert set(np.unique(layer)) == {CLEAR, WHITE}
    assert (layer[8 * scale : 12 * scale, 8 * scale : 12 * scale] == CLEAR).all()
    assert (layer[8 * scale - 1, 8 * scale : 12 * scale] == WHITE).all()
    assert (layer[12 * scale, 8 * scale : 12 * scale] == WHITE).all()


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
    assert set(np.unique(gone[: view.height])) == {CLEAR, 7}
    assert (gone[view.height :] == empty[view.height :]).all()


def test_label_that_the_truth_lacks_is_grey(tmp_path: Path) -> None:
    """An answer's label that the truth does not have is drawn in the colour of no label."""
    view = view_of(CUBE, (1, 1, 1))
    write_answers(tmp_path / "a.png", view, [np.where(CUBE, 9, 0)], [prompts()])
    assert set(np.unique(pixels(tmp_path / "a.png"))) == {CLEAR, 7}


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
    view = view_of(gts, (1, 1, 1), {2: (1, 2, 3), 9: (9, 9, 9)})
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
    write_sheet(
        tmp_path / "s.png", tmp_path / "c.webp", tmp_path / "t.png", {"ada": tmp_path / "a.png"}
    )
    sheet = pixels(tmp_path / "s.png")
    width = sheet.shape[1] // SHEET_COLUMNS
    assert sheet.shape[0] == view.height + SHEET_LINE
    scale = LONGEST_SIDE // 20
    middle, edge = 10 * scale, SHEET_LINE + 8 * scale
    for panel, answered in ((0, False), (width, True)):
        assert sheet[edge - 1, panel + middle].tolist() == [255, 255, 255]
        assert (sheet[edge, panel + middle].tolist() == list(COLOURS[0])) == answered
