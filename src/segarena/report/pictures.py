"""Pictures of a case and of what was answered on it, cheap enough to draw all of them.

A case is drawn once: the middle slices in three planes, side by side in one image, and the truth's
outline as a transparent layer of the same size. What a submission answered is one more transparent
layer a case, with one row per interaction: outlines, box, clicks and scribbles, no image. The page
lays them over each other, so thirty submissions do not mean thirty copies of the image. Outlines
run along the borders of voxels and are found by comparing neighbours; nothing is smoothed.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw

from segarena.case import Box, Image
from segarena.files import atomic_write

# Okabe and Ito's palette without black and blue, which are lost on a dark image; then a grey for
# labels beyond these, and what markers and the truth are drawn in.
COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 200, 140),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
)
CLEAR, OTHER, WHITE, BLACK = 0, len(COLOURS) + 1, len(COLOURS) + 2, len(COLOURS) + 3
PALETTE = ((0, 0, 0), *COLOURS, (170, 170, 170), (255, 255, 255), (0, 0, 0))
Colour = tuple[int, int, int]
AXES = ("axial", "coronal", "sagittal")
LONGEST_SIDE = 320
THINNEST_SIDE = 48
GAP = 4
SHEET_LINE = 14
SHEET_COLUMNS = 3
MARGIN = 0.35
LEAST_MARGIN_MM = 8.0


@dataclass(frozen=True)
class Plane:
    """One slice of a case and where it is in the picture.

    axis: 0, 1 or 2 of the volume. start, stop: the voxels shown, in rows and columns.
    """

    axis: int
    index: int
    start: tuple[int, int]
    stop: tuple[int, int]
    left: int
    width: int
    height: int


@dataclass(frozen=True)
class View:
    """What is shown of a case: up to three planes side by side, and a colour a label.

    colours: the place in the palette of each label.
    """

    shape: tuple[int, int, int]
    planes: tuple[Plane, ...]
    colours: dict[int, int]
    palette: tuple[Colour, ...] = PALETTE

    @property
    def width(self) -> int:
        """Pixels of the whole picture, gaps included."""
        last = self.planes[-1]
        return last.left + last.width

    @property
    def height(self) -> int:
        """Pixels of the tallest plane."""
        return max(plane.height for plane in self.planes)


def view_of(
    gts: np.ndarray,
    spacing_mm: tuple[float, float, float],
    own_colours: Mapping[int, Colour] | None = None,
    labels: Sequence[int] = (),
) -> View:
    """Return the view of a case: the middle slices of its largest label, cropped to all labels.

    gts: (D, H, W). own_colours: of labels that have one, in place of ours. labels: further ones
    that an answer may have. A case without labels is shown as a whole, in its middle. All planes
    have the same scale, save that very thin ones are widened to be seen; a single slice has one
    plane.
    """
    there, counts = np.unique(gts, return_counts=True)
    there, counts = there[there > 0], counts[there > 0]
    ordered = [int(label) for label in there[np.argsort(-counts, kind="stable")]]
    largest = gts == ordered[0] if ordered else np.ones(gts.shape, bool)
    middle = [_middle(largest, axis) for axis in range(3)]
    crop = [_crop(gts, axis, spacing_mm[axis]) for axis in range(3)]
    across = max((stop - start) * spacing_mm[axis] for axis, (start, stop) in enumerate(crop))
    planes: list[Plane] = []
    left = 0
    for axis in range(3 if gts.shape[0] > 1 else 1):
        rows, columns = (other for other in range(3) if other != axis)
        height, width = (
            max(
                THINNEST_SIDE,
                round((crop[a][1] - crop[a][0]) * spacing_mm[a] / across * LONGEST_SIDE),
            )
            for a in (rows, columns)
        )
        start, stop = ((crop[rows][i], crop[columns][i]) for i in range(2))
        planes.append(Plane(axis, middle[axis], start, stop, left, width, height))
        left += width + GAP
    ordered += [label for label in labels if label not in ordered]
    colours = {label: min(i + 1, OTHER) for i, label in enumerate(ordered)}
    palette = list(PALETTE)
    for label, colour in (own_colours or {}).items():
        if CLEAR < colours.get(label, OTHER) < OTHER:
            palette[colours[label]] = colour
    return View(gts.shape, tuple(planes), colours, tuple(palette))


def describe(view: View, ids: Mapping[int, int]) -> dict[str, Any]:
    """Return what the page has to know of a view, ready for JSON.

    ids: of each label. Its `labels` are a pair per label, the largest first: the id, and its place
    among the colours, from 0, or null where it is grey.
    """
    return {
        "labels": [
            [ids.get(label, label), place - 1 if place < OTHER else None]
            for label, place in view.colours.items()
        ],
        "width": view.width,
        "height": view.height,
        "planes": [
            {
                "name": AXES[plane.axis],
                "slice": plane.index + 1,
                "slices": view.shape[plane.axis],
                "left": plane.left,
                "width": plane.width,
                "height": plane.height,
            }
            for plane in view.planes
        ],
    }


def write_sheet(
    path: str | Path, case_picture: str | Path, truth: str | Path, answers: dict[str, Path]
) -> None:
    """Write a case's contact sheet as PNG: three panels a row, an interaction each.

    case_picture, truth: what `write_case` and `write_truth` wrote. answers: submission -> what
    `write_answers` wrote for this case.
    """
    with Picture.open(case_picture) as image, Picture.open(truth) as outline:
        ground = image.convert("RGBA")
        ground.alpha_composite(outline.convert("RGBA"))
    width, height = ground.size[0] + GAP, ground.size[1] + SHEET_LINE
    panels: list[tuple[str, Picture.Image]] = []
    for submission, layer_png in answers.items():
        with Picture.open(layer_png) as layers:
            drawn = layers.convert("RGBA")
        for k in range(drawn.height // ground.height):
            panel = ground.copy()
            top = k * ground.height
            panel.alpha_composite(drawn.crop((0, top, ground.width, top + ground.height)))
            panels.append((f"{submission}, interaction {k + 1}", panel.convert("RGB")))
    rows = -(-len(panels) // SHEET_COLUMNS)
    sheet = Picture.new("RGB", (SHEET_COLUMNS * width, rows * height))
    for i, (title, panel) in enumerate(panels):
        x, y = i % SHEET_COLUMNS * width, i // SHEET_COLUMNS * height
        sheet.paste(panel, (x, y + SHEET_LINE))
        ImageDraw.Draw(sheet).text((x + 2, y + 1), title, fill=(255, 255, 255))
    _save(sheet, path, format="PNG")


def write_case(path: str | Path, view: View, image: Image) -> None:
    """Write the image of a view as WebP."""
    shape = (view.height, view.width, 3) if image.imgs.ndim == 4 else (view.height, view.width)
    canvas = np.zeros(shape, np.uint8)
    for plane in view.planes:
        shown = np.ascontiguousarray(_cut(image.imgs, plane))
        picture = Picture.fromarray(shown)
        size = (plane.width, plane.height)
        drawn = np.asarray(picture.resize(size, Picture.Resampling.BICUBIC))
        canvas[: plane.height, plane.left : plane.left + plane.width] = drawn
    _save(Picture.fromarray(canvas), path, format="WEBP", quality=80, method=2)


def write_truth(path: str | Path, view: View, gts: np.ndarray) -> None:
    """Write the outlines of all labels of the truth as a transparent PNG, white on black."""
    layer = np.zeros((view.height, view.width), np.uint8)
    for plane in view.planes:
        part = layer[: plane.height, plane.left : plane.left + plane.width]
        labels = _enlarged(gts, plane)
        part[_border(labels, inside=False)] = WHITE
    _save_layer(layer, path)


def write_answers(
    path: str | Path,
    view: View,
    answers: Sequence[np.ndarray | None],
    prompts: Sequence[dict[str, Any]],
) -> None:
    """Write a submission's answers on a case as one transparent PNG, one row per interaction.

    answers: label maps, one per interaction, None where it is gone. prompts: all up to each.
    """
    height = view.height
    layer = np.zeros((height * len(answers), view.width), np.uint8)
    gone = []
    for row, segs in enumerate(answers):
        if segs is None:
            gone.append(row)
            continue
        for plane in view.planes:
            top = row * height
            part = layer[top : top + plane.height, plane.left : plane.left + plane.width]
            labels = _enlarged(segs, plane)
            border = _border(labels, inside=True)
            part[border] = _coloured(labels[border], view.colours)
    picture = Picture.fromarray(layer, "P")
    draw = ImageDraw.Draw(picture)
    for row, so_far in enumerate(prompts):
        _draw_prompts(draw, view, so_far, row * height)
    for row in gone:
        draw.text((4, row * height + 4), "this answer was not kept", fill=OTHER)
    _save_layer(np.asarray(picture), path, view.palette)


def _draw_prompts(draw: ImageDraw.ImageDraw, view: View, prompts: dict[str, Any], top: int) -> None:
    for plane in view.planes:
        for i, label in enumerate(prompts["labels"]):
            colour = view.colours.get(label, OTHER)
            if prompts.get("boxes") and plane.axis == 0:
                _draw_box(draw, plane, prompts["boxes"][i], colour, top)
            for kind, points in _of_label(prompts.get("scribbles"), i):
                _draw_stroke(draw, plane, points, colour, top, hollow=kind == "bg")
            for kind, points in _of_label(prompts.get("clicks"), i):
                for point in points:
                    _draw_click(draw, plane, point, colour, top, cross=kind == "bg")


def _of_label(marks: Any, i: int) -> Iterator[tuple[str, list[list[int]]]]:
    if marks and i < len(marks) and marks[i]:
        yield from ((kind, marks[i].get(kind, [])) for kind in ("fg", "bg"))


def _draw_box(draw: ImageDraw.ImageDraw, plane: Plane, box: Box, colour: int, top: int) -> None:
    x0, y0 = _at(plane, box["z_mid_y_min"] - 0.5, box["z_mid_x_min"] - 0.5, top)
    x1, y1 = _at(plane, box["z_mid_y_max"] + 0.5, box["z_mid_x_max"] + 0.5, top)
    left, right = max(x0, plane.left), min(x1, plane.left + plane.width - 1)
    upper, lower = max(y0, top), min(y1, top + plane.height - 1)
    if left >= right or upper >= lower:
        return
    for x in range(round(left), round(right) + 1, 6):
        for edge in (upper, lower):
            draw.line([(x, edge), (min(x + 2, right), edge)], fill=colour)
    for y in range(round(upper), round(lower) + 1, 6):
        for edge in (left, right):
            draw.line([(edge, y), (edge, min(y + 2, lower))], fill=colour)


def _draw_click(
    draw: ImageDraw.ImageDraw, plane: Plane, point: list[int], colour: int, top: int, *, cross: bool
) -> None:
    x, y = _point_at(plane, point, top)
    if not _inside(plane, x, y, top):
        return
    size = 5 if point[plane.axis] == plane.index else 2
    ends = (
        [((x - size, y - size), (x + size, y + size)), ((x - size, y + size), (x + size, y - size))]
        if cross
        else [((x - size, y), (x + size, y)), ((x, y - size), (x, y + size))]
    )
    for width, fill in ((4, BLACK), (2, colour)) if size > 2 else ((1, colour),):
        for line in ends:
            draw.line(line, fill=fill, width=width)


def _draw_stroke(
    draw: ImageDraw.ImageDraw,
    plane: Plane,
    points: list[list[int]],
    colour: int,
    top: int,
    *,
    hollow: bool,
) -> None:
    """Draw a line with a rim on its slice, dots elsewhere; hollow: rim and line swapped."""
    rim, core = (colour, BLACK) if hollow else (BLACK, colour)
    here = [point for point in points if point[plane.axis] == plane.index]
    elsewhere = [point for point in points if point[plane.axis] != plane.index]
    for chosen, before, after, fill in (
        (elsewhere, 0, 0, colour),
        (here, 2, 1, rim),
        (here, 1, 0, core),
    ):
        for point in chosen:
            x, y = _point_at(plane, point, top)
            dotted = chosen is elsewhere and (x // 2 + y // 2) % 2
            if _inside(plane, x, y, top) and not dotted:
                left, upper = max(x - before, plane.left), max(y - before, top)
                right = min(x + after, plane.left + plane.width - 1)
                lower = min(y + after, top + plane.height - 1)
                draw.rectangle((left, upper, max(left, right), max(upper, lower)), fill=fill)


def _point_at(plane: Plane, point: list[int], top: int) -> tuple[float, float]:
    row, column = (point[axis] for axis in range(3) if axis != plane.axis)
    return _at(plane, row, column, top)


def _at(plane: Plane, row: float, column: float, top: int) -> tuple[float, float]:
    """Return (x, y) in the picture of a voxel's centre."""
    high, wide = (stop - start for start, stop in zip(plane.start, plane.stop, strict=True))
    x = plane.left + (column + 0.5 - plane.start[1]) / wide * plane.width
    y = top + (row + 0.5 - plane.start[0]) / high * plane.height
    return x, y


def _inside(plane: Plane, x: float, y: float, top: int) -> bool:
    return plane.left <= x < plane.left + plane.width and top <= y < top + plane.height


def _cut(volume: np.ndarray, plane: Plane) -> np.ndarray:
    """Return the part of a volume (D, H, W) or (D, H, W, 3) that a plane shows."""
    flat = np.take(volume, plane.index, axis=plane.axis)
    return flat[plane.start[0] : plane.stop[0], plane.start[1] : plane.stop[1]]


def _enlarged(volume: np.ndarray, plane: Plane) -> np.ndarray:
    shown = _cut(volume, plane)
    rows = np.arange(plane.height) * shown.shape[0] // plane.height
    columns = np.arange(plane.width) * shown.shape[1] // plane.width
    return shown[rows[:, None], columns]


def _border(labels: np.ndarray, *, inside: bool) -> np.ndarray:
    """Return the pixels at a border between labels: those of the label, or those just outside."""
    found = np.zeros(labels.shape, bool)
    for here, there in (
        (np.s_[:-1, :], np.s_[1:, :]),
        (np.s_[1:, :], np.s_[:-1, :]),
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:, 1:], np.s_[:, :-1]),
    ):
        differs = labels[here] != labels[there]
        found[here] |= differs & ((labels[here] if inside else labels[there]) > 0)
    return found


def _coloured(labels: np.ndarray, colours: dict[int, int]) -> np.ndarray:
    found = np.full(labels.shape, OTHER, np.uint8)
    for label, colour in colours.items():
        found[labels == label] = colour
    return found


def _middle(mask: np.ndarray, axis: int) -> int:
    others = tuple(other for other in range(3) if other != axis)
    slices = np.flatnonzero(mask.any(axis=others))
    return int(slices[len(slices) // 2])


def _crop(gts: np.ndarray, axis: int, spacing_mm: float) -> tuple[int, int]:
    others = tuple(other for other in range(3) if other != axis)
    slices = np.flatnonzero((gts > 0).any(axis=others))
    if len(slices) == 0:
        return 0, gts.shape[axis]
    first, last = int(slices[0]), int(slices[-1]) + 1
    margin = max(round((last - first) * MARGIN), round(LEAST_MARGIN_MM / spacing_mm), 1)
    return max(0, first - margin), min(gts.shape[axis], last + margin)


def _save_layer(layer: np.ndarray, path: str | Path, palette: tuple[Colour, ...] = PALETTE) -> None:
    picture = Picture.fromarray(layer, "P")
    picture.putpalette([value for colour in palette for value in colour])
    _save(picture, path, format="PNG", transparency=CLEAR, bits=4, compress_level=6)


def _save(picture: Picture.Image, path: str | Path, **options: Any) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    with atomic_write(path) as tmp:
        tmp.write_bytes(buffer.getvalue())
