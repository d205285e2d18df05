"""Pictures of a case and of what was answered on it, cheap enough to draw all of them.

A case is drawn once: the middle slices in three planes, side by side in one image, turned as
`segarena.report.orientation` says, and the truth as a transparent layer of the same size, a tint
per label. What a submission answered is one more transparent layer per case, with one row per
interaction: outlines, box, clicks and scribbles, no image; and another one of the same form for the
errors: what it missed, what is in excess, and where it took one label for another. The page lays
them over each other, so thirty submissions do not mean thirty copies of the image. Outlines run
along the borders of voxels and are found by comparing neighbours; nothing is smoothed. Each label
has an outline of its own, so that touching labels stay apart.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture
from PIL import ImageColor, ImageDraw, ImageFont

from segarena.case import Box, Image
from segarena.files import atomic_write
from segarena.report.orientation import AS_STORED, Orientation

# Okabe and Ito's palette without black and blue, which are lost on a dark image, then six more that
# are less easy to distinguish; a grey for labels beyond these, and the rim of markers.
COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 200, 140),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (166, 134, 255),
    (160, 220, 60),
    (255, 160, 150),
    (0, 210, 220),
    (200, 160, 90),
    (255, 120, 255),
)
CLEAR, OTHER, BLACK = 0, len(COLOURS) + 1, len(COLOURS) + 2
PALETTE = ((0, 0, 0), *COLOURS, (170, 170, 170), (0, 0, 0))
MISSED, EXCESS, CONFUSED = 1, 2, 3
ERRORS = {
    "missed": (64, 128, 255),
    "excess": (255, 64, 64),
    "another label": (255, 255, 255),
}
"""What kinds of errors are called, and their colours, in the order of the layer's values."""
Colour = tuple[int, int, int]
Point = tuple[float, float, float]
TINT, VEIL = 96, 168  # how opaque the truth and the errors are, of 255
LONGEST_SIDE, LONGEST_SIDE_ALONE = 320, 640  # of three planes, of a single one
THINNEST_SIDE = 48
OBLIQUE_DEGREES = 5.0
GAP = 4
LETTER_SIZE, TEXT_SIZE = 15, 11
SHEET_LINE = 16
SHEET_COLUMNS = 3
SHEET_LONGEST_NAME = 40
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

    shape: of the volume as it is shown. colours: the place in the palette of each label.
    """

    shape: tuple[int, int, int]
    planes: tuple[Plane, ...]
    colours: dict[int, int]
    palette: tuple[Colour, ...] = PALETTE
    orientation: Orientation = AS_STORED

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
    orientation: Orientation = AS_STORED,
) -> View:
    """Return the view of a case: the middle slices of its largest label, cropped to all labels.

    gts: (D, H, W). own_colours: of labels that have one, in place of ours. labels: further ones
    that an answer may have. A case without labels is shown as a whole, in its middle. All planes
    have the same scale, save that very thin ones are widened to be seen; a single slice has one
    plane.
    """
    gts = orientation.turned(gts)
    first, second, third = (spacing_mm[axis] for axis in orientation.order)
    spacing_mm = (first, second, third)
    there, counts = np.unique(gts, return_counts=True)
    there, counts = there[there > 0], counts[there > 0]
    ordered = [int(label) for label in there[np.argsort(-counts, kind="stable")]]
    largest = gts == ordered[0] if ordered else np.ones(gts.shape, bool)
    middle = [_middle(largest, axis) for axis in range(3)]
    crop = [_crop(gts, axis, spacing_mm[axis]) for axis in range(3)]
    single = [axis for axis in range(3) if gts.shape[axis] == 1][:1]
    across = max((stop - start) * spacing_mm[axis] for axis, (start, stop) in enumerate(crop))
    longest = LONGEST_SIDE_ALONE if single else LONGEST_SIDE
    planes: list[Plane] = []
    left = 0
    for axis in single or range(3):
        rows, columns = (other for other in range(3) if other != axis)
        height, width = (
            max(
                THINNEST_SIDE,
                round((crop[a][1] - crop[a][0]) * spacing_mm[a] / across * longest),
            )
            for a in (rows, columns)
        )
        start, stop = ((crop[rows][i], crop[columns][i]) for i in range(2))
        planes.append(Plane(axis, middle[axis], start, stop, left, width, height))
        left += width + GAP
    ordered += [label for label in labels if label not in ordered]
    colours, palette = _coloured_labels(ordered, own_colours or {})
    first_size, *sizes = gts.shape
    shape = (first_size, sizes[0], sizes[1])
    return View(shape, tuple(planes), colours, tuple(palette), orientation)


def _coloured_labels(
    ordered: list[int], own: Mapping[int, Colour]
) -> tuple[dict[int, int], list[Colour]]:
    """Return each label's place in the palette: its own, else the next of ours, else grey."""
    palette = list(PALETTE)
    ours = (i for i, colour in enumerate(COLOURS, start=1) if colour not in own.values())
    colours: dict[int, int] = {}
    for label in ordered:
        if label in own:
            colours[label] = len(palette)
            palette.append(own[label])
        else:
            colours[label] = next(ours, OTHER)
    return colours, palette


def describe(view: View, ids: Mapping[int, int]) -> dict[str, Any]:
    """Return what the page has to know of a view, ready for JSON.

    ids: of each label. Its `labels` are a pair per label, the largest first: the id, and its
    colour, or null where it shares the grey of the small ones. A plane's `slice` is counted from 1
    along the file's axis.
    """
    colours = {label: hex_of(colour) for label, colour in shown_colours(view).items()}
    return {
        "labels": [[ids.get(label, label), colours.get(label)] for label in view.colours],
        "width": view.width,
        "height": view.height,
        "planes": [
            {
                "name": view.orientation.name(plane.axis),
                "slice": _slice_in_the_file(view, plane) + 1,
                "slices": view.shape[plane.axis],
                "left": plane.left,
                "width": plane.width,
                "height": plane.height,
            }
            for plane in view.planes
        ],
        "convention": convention(view.orientation),
    }


def shown_colours(view: View) -> dict[int, Colour]:
    """Return the colours of the labels that do not share the grey of the small ones."""
    return {label: view.palette[at] for label, at in view.colours.items() if at != OTHER}


def convention(orientation: Orientation) -> str:
    """Return how a case is turned, in words."""
    if orientation.letters is None:
        return "shown as stored: the file does not say how the patient lay"
    oblique = orientation.oblique_degrees
    return "radiological: the patient's right is on the left" + (
        f"; oblique by up to {oblique:.0f}°" if oblique >= OBLIQUE_DEGREES else ""
    )


def own_colours(ids: Mapping[int, int], colours: Mapping[str, str]) -> dict[int, Colour]:
    """Return the colours of labels that have their own, by label. colours: #rrggbb by id."""
    found: dict[int, Colour] = {}
    for label, label_id in ids.items():
        if str(label_id) in colours:
            red, green, blue = ImageColor.getrgb(colours[str(label_id)])[:3]
            found[label] = red, green, blue
    return found


def hex_of(colour: Colour) -> str:
    """Return a colour as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _slice_in_the_file(view: View, plane: Plane) -> int:
    backwards = view.orientation.backwards[plane.axis]
    return view.shape[plane.axis] - 1 - plane.index if backwards else plane.index


def write_sheet(
    path: str | Path,
    case_picture: str | Path,
    truth: str | Path,
    answers: dict[str, Path],
    legend: Sequence[tuple[str, Colour]] = (),
    note: str = "",
) -> None:
    """Write a case's contact sheet as PNG: three panels a row, an interaction each.

    case_picture, truth: what `write_case` and `write_truth` wrote. answers: submission -> what
    `write_answers` wrote for this case. legend: names and colours of the labels, above the panels,
    with a note.
    """
    with Picture.open(case_picture) as image, Picture.open(truth) as tint:
        ground = image.convert("RGBA")
        ground.alpha_composite(tint.convert("RGBA"))
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
    head = _head(legend, note, SHEET_COLUMNS * width)
    rows = -(-len(panels) // SHEET_COLUMNS)
    sheet = Picture.new("RGB", (SHEET_COLUMNS * width, head.height + rows * height))
    sheet.paste(head, (0, 0))
    for i, (title, panel) in enumerate(panels):
        x, y = i % SHEET_COLUMNS * width, head.height + i // SHEET_COLUMNS * height
        sheet.paste(panel, (x, y + SHEET_LINE))
        ImageDraw.Draw(sheet).text((x + 2, y + 1), title, fill=(255, 255, 255), font=_font())
    _save(sheet, path, format="PNG")


def _head(legend: Sequence[tuple[str, Colour]], note: str, width: int) -> Picture.Image:
    """Return what stands above a sheet's panels: a square and a name per label, and the note."""
    entries = [(name[:SHEET_LONGEST_NAME], colour) for name, colour in legend]
    places: list[tuple[int, int]] = []
    x, y = 2, 1
    for text, _ in entries:
        size = SHEET_LINE + round(_font().getlength(text)) + 12
        if x > 2 and x + size > width:
            x, y = 2, y + SHEET_LINE
        places.append((x, y))
        x += size
    lines = (y // SHEET_LINE + 1) * bool(entries) + bool(note)
    head = Picture.new("RGB", (width, lines * SHEET_LINE))
    draw = ImageDraw.Draw(head)
    for (text, colour), (left, top) in zip(entries, places, strict=True):
        draw.rectangle((left, top + 2, left + 10, top + 12), fill=colour)
        draw.text((left + SHEET_LINE, top), text, fill=(255, 255, 255), font=_font())
    if note:
        at = (2, (lines - 1) * SHEET_LINE + 1)
        draw.text(at, note, fill=(200, 200, 200), font=_font())
    return head


def write_case(path: str | Path, view: View, image: Image) -> None:
    """Write the image of a view as WebP, with the letters of the directions."""
    imgs = view.orientation.turned(image.imgs)
    shape = (view.height, view.width, 3) if imgs.ndim == 4 else (view.height, view.width)
    canvas = np.zeros(shape, np.uint8)
    for plane in view.planes:
        shown = np.ascontiguousarray(_cut(imgs, plane))
        picture = Picture.fromarray(shown)
        size = (plane.width, plane.height)
        drawn = np.asarray(picture.resize(size, Picture.Resampling.BICUBIC))
        canvas[: plane.height, plane.left : plane.left + plane.width] = drawn
    picture = Picture.fromarray(canvas)
    for plane in view.planes:
        _draw_letters(ImageDraw.Draw(picture), plane, view.orientation)
    _save(picture, path, format="WEBP", quality=80, method=2)


def _draw_letters(draw: ImageDraw.ImageDraw, plane: Plane, orientation: Orientation) -> None:
    """Write which way is which at the middle of each edge, and the convention in the corner."""
    if orientation.letters is None:
        return
    rows, columns = (orientation.letters[axis] for axis in range(3) if axis != plane.axis)
    left, right = plane.left + 3, plane.left + plane.width - 3
    across, down = plane.left + plane.width / 2, plane.height / 2
    look: dict[str, Any] = {"fill": "white", "stroke_width": 2, "stroke_fill": "black"}
    for text, place, anchor in (
        (columns[0], (left, down), "lm"),
        (columns[1], (right, down), "rm"),
        (rows[0], (across, 3), "mt"),
        (rows[1], (across, plane.height - 3), "mb"),
    ):
        draw.text(place, text, font=_font(LETTER_SIZE), anchor=anchor, **look)
    if "R" in columns:
        text = "radiological"
        if orientation.oblique_degrees >= OBLIQUE_DEGREES:
            text += f", oblique {orientation.oblique_degrees:.0f}°"
        if _font().getlength(text) < plane.width / 2 - LETTER_SIZE:
            draw.text((left, plane.height - 4), text, font=_font(), anchor="ls", **look)


@cache
def _font(size: int = TEXT_SIZE) -> Any:
    return ImageFont.load_default(size)


def write_truth(path: str | Path, view: View, gts: np.ndarray) -> None:
    """Write all labels of the truth as a transparent PNG, a tint of its colour for each."""
    gts = view.orientation.turned(gts)
    layer = np.zeros((view.height, view.width), np.uint8)
    for plane in view.planes:
        part = layer[: plane.height, plane.left : plane.left + plane.width]
        labels = _enlarged(gts, plane)
        part[labels > 0] = _coloured(labels[labels > 0], view.colours)
    _save_layer(layer, path, view.palette, opacity=TINT)


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
            labels = _enlarged(view.orientation.turned(segs), plane)
            border = _border(labels)
            if len(view.planes) == 1:  # twice as large, so the line is twice as thick
                border |= _border(np.where(border, 0, labels))
            part[border] = _coloured(labels[border], view.colours)
    picture = Picture.fromarray(layer, "P")
    draw = ImageDraw.Draw(picture)
    for row, so_far in enumerate(prompts):
        _draw_prompts(draw, view, so_far, row * height)
    for row in gone:
        draw.text((4, row * height + 4), "this answer was not kept", fill=OTHER)
    _save_layer(np.asarray(picture), path, view.palette)


def write_errors(
    path: str | Path,
    view: View,
    gts: np.ndarray,
    answers: Sequence[np.ndarray | None],
    ignored: np.ndarray | None = None,
) -> None:
    """Write where a submission's answers differ from the truth, a row an interaction, as PNG.

    ignored: voxels (D, H, W) that the protocol takes out. The row of an answer that is gone is
    empty.
    """
    turned = view.orientation.turned
    layer = np.zeros((view.height * len(answers), view.width), np.uint8)
    for row, segs in enumerate(answers):
        if segs is None:
            continue
        for plane in view.planes:
            top = row * view.height
            part = layer[top : top + plane.height, plane.left : plane.left + plane.width]
            part[...] = _errors(_enlarged(turned(gts), plane), _enlarged(turned(segs), plane))
            if ignored is not None:
                part[_enlarged(turned(ignored), plane)] = CLEAR
    _save_layer(layer, path, ((0, 0, 0), *ERRORS.values()), opacity=VEIL)


def _errors(truth: np.ndarray, answer: np.ndarray) -> np.ndarray:
    found = np.zeros(truth.shape, np.uint8)
    found[(truth > 0) & (answer == 0)] = MISSED
    found[(truth == 0) & (answer > 0)] = EXCESS
    found[(truth > 0) & (answer > 0) & (truth != answer)] = CONFUSED
    return found


def _draw_prompts(draw: ImageDraw.ImageDraw, view: View, prompts: dict[str, Any], top: int) -> None:
    def shown(points: list[list[int]]) -> list[Point]:
        return [view.orientation.point((z, y, x), view.shape) for z, y, x in points]

    for plane in view.planes:
        for i, label in enumerate(prompts["labels"]):
            colour = view.colours.get(label, OTHER)
            if prompts.get("boxes") and view.orientation.order[plane.axis] == 0:
                _draw_box(draw, view, plane, prompts["boxes"][i], colour, top)
            for kind, points in _of_label(prompts.get("scribbles"), i):
                _draw_stroke(draw, plane, shown(points), colour, top, hollow=kind == "bg")
            for kind, points in _of_label(prompts.get("clicks"), i):
                for point in shown(points):
                    _draw_click(draw, plane, point, colour, top, cross=kind == "bg")


def _of_label(marks: Any, i: int) -> Iterator[tuple[str, list[list[int]]]]:
    if marks and i < len(marks) and marks[i]:
        yield from ((kind, marks[i].get(kind, [])) for kind in ("fg", "bg"))


def _draw_box(
    draw: ImageDraw.ImageDraw, view: View, plane: Plane, box: Box, colour: int, top: int
) -> None:
    corners = [
        view.orientation.point(
            (box["z_mid"], box[f"z_mid_y_{end}"], box[f"z_mid_x_{end}"]), view.shape
        )
        for end in ("min", "max")
    ]
    rows, columns = (
        sorted(corner[axis] for corner in corners) for axis in range(3) if axis != plane.axis
    )
    x0, y0 = _at(plane, rows[0] - 0.5, columns[0] - 0.5, top)
    x1, y1 = _at(plane, rows[1] + 0.5, columns[1] + 0.5, top)
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
    draw: ImageDraw.ImageDraw, plane: Plane, point: Point, colour: int, top: int, *, cross: bool
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
    points: list[Point],
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


def _point_at(plane: Plane, point: Point, top: int) -> tuple[float, float]:
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


def _border(labels: np.ndarray) -> np.ndarray:
    """Return the pixels of labels that lie at a border, to another label or the background."""
    found = np.zeros(labels.shape, bool)
    for here, there in (
        (np.s_[:-1, :], np.s_[1:, :]),
        (np.s_[1:, :], np.s_[:-1, :]),
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:, 1:], np.s_[:, :-1]),
    ):
        found[here] |= (labels[here] != labels[there]) & (labels[here] > 0)
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


def _save_layer(
    layer: np.ndarray, path: str | Path, palette: tuple[Colour, ...], *, opacity: int = 255
) -> None:
    picture = Picture.fromarray(layer, "P")
    picture.putpalette([value for colour in palette for value in colour])
    options = {"transparency": bytes([0] + [opacity] * (len(palette) - 1)), "compress_level": 6}
    _save(picture, path, format="PNG", bits=4 if len(palette) <= 16 else 8, **options)


def _save(picture: Picture.Image, path: str | Path, **options: Any) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    with atomic_write(path) as tmp:
        tmp.write_bytes(buffer.getvalue())
