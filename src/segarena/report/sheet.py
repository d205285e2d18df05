"""A contact sheet: one case, a row a submission, a column an interaction.

Each panel is the middle slice of the largest label, with the truth's contours (solid), the answer's
(dashed), the box, and the clicks and scribbles so far; those on other slices are faint.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segarena.case import Image
from segarena.files import whole

# Okabe and Ito's palette: told apart by colour-blind readers.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
LABELS_SHOWN = 7
PANEL_INCHES = 1.9


def draw(
    path: str | Path,
    *,
    case: str,
    image: Image,
    gts: np.ndarray,
    answers: Mapping[str, Sequence[np.ndarray]],
    said: Mapping[str, Sequence[dict[str, Any]]],
) -> None:
    """Write the sheet as PNG.

    gts: (D, H, W). answers: submission -> its label maps, one an interaction. said: submission ->
    what the user had said at each of them. At most the seven largest labels are drawn.
    """
    labels = _largest_labels(gts)
    z = _slice_to_show(gts, labels)
    columns = max(len(series) for series in answers.values()) + 1
    panel = image.imgs[z]
    height_mm = panel.shape[0] * image.spacing_mm[1]
    width_mm = panel.shape[1] * image.spacing_mm[2]
    with mpl.rc_context({"font.size": 7, "axes.titlesize": 7}):
        figure = Figure(
            figsize=(
                columns * PANEL_INCHES,
                len(answers) * PANEL_INCHES * height_mm / width_mm + 1,
            ),
            layout="compressed",
        )
        grid = figure.subplots(len(answers), columns, squeeze=False)
        for row, (submission, series) in zip(grid, answers.items(), strict=True):
            _panel(row[0], image, z, labels, gts=gts, segs=None)
            row[0].set_title("truth and box")
            row[0].set_ylabel(submission)
            rounds = zip(row[1:], series, said[submission], strict=True)
            for k, (axes, segs, words) in enumerate(rounds, start=1):
                _panel(axes, image, z, labels, gts=gts, segs=segs)
                _said(axes, words, labels, z)
                axes.set_title(f"interaction {k}" + ("" if words["asked"] else " (not asked)"))
        figure.suptitle(f"{case}, slice {z + 1} of {gts.shape[0]}; solid: truth, dashed: answer")
        with whole(path) as aside:
            figure.savefig(aside, format="png", dpi=130)


def _panel(
    axes: Axes,
    image: Image,
    z: int,
    labels: list[int],
    *,
    gts: np.ndarray,
    segs: np.ndarray | None,
) -> None:
    aspect = image.spacing_mm[1] / image.spacing_mm[2]
    axes.imshow(
        image.imgs[z], cmap="gray", vmin=0, vmax=255, aspect=aspect, interpolation="nearest"
    )
    axes.set_xticks([])
    axes.set_yticks([])
    every = [int(v) for v in np.unique(gts) if v]
    for colour, label in zip(COLOURS, labels, strict=False):
        _contour(axes, gts[z] == label, colour, "solid")
        if segs is not None:
            _contour(axes, segs[z] == label, colour, "dashed")
        elif image.boxes is not None:
            _box(axes, image.boxes[every.index(label)], colour)


def _contour(axes: Axes, mask: np.ndarray, colour: str, style: str) -> None:
    if mask.any() and min(mask.shape) > 1:
        padded = np.pad(mask, 1).astype(float)
        x, y = np.arange(-1, mask.shape[1] + 1), np.arange(-1, mask.shape[0] + 1)
        axes.contour(x, y, padded, [0.5], colors=[colour], linestyles=style, linewidths=0.9)


def _box(axes: Axes, box: dict[str, int], colour: str) -> None:
    x, y = box["z_mid_x_min"] - 0.5, box["z_mid_y_min"] - 0.5
    width = box["z_mid_x_max"] - box["z_mid_x_min"] + 1
    height = box["z_mid_y_max"] - box["z_mid_y_min"] + 1
    axes.add_patch(mpl.patches.Rectangle((x, y), width, height, fill=False, ec=colour, lw=0.9))


def _said(axes: Axes, said: dict[str, Any], labels: list[int], z: int) -> None:
    """Draw all clicks, + foreground and x background, and all scribbles (background: edged)."""
    for colour, label in zip(COLOURS, labels, strict=False):
        if label not in said["labels"]:
            continue
        i = said["labels"].index(label)
        for kind, marker in (("fg", "P"), ("bg", "X")):
            for cz, y, x in said["clicks"][i][kind]:
                shade = 1.0 if cz == z else 0.35
                axes.plot(x, y, marker, ms=5, mfc=colour, mec="black", mew=0.5, alpha=shade)
            drawn = said["scribbles"][i][kind] if "scribbles" in said else []
            for here, shade in ((True, 1.0), (False, 0.35)):
                pixels = [(x, y) for sz, y, x in drawn if (sz == z) == here]
                if pixels:
                    edge = "none" if kind == "fg" else "black"
                    size = 4 if kind == "fg" else 6
                    columns, rows = zip(*pixels, strict=True)
                    axes.scatter(
                        columns, rows, s=size, c=colour, marker="s", lw=0.4, ec=edge, alpha=shade
                    )


def _largest_labels(gts: np.ndarray) -> list[int]:
    values, counts = np.unique(gts[gts > 0], return_counts=True)
    return [int(v) for v in values[np.argsort(-counts, kind="stable")][:LABELS_SHOWN]]


def _slice_to_show(gts: np.ndarray, labels: list[int]) -> int:
    slices = np.flatnonzero((gts == labels[0]).any(axis=(1, 2)))
    return int(slices[len(slices) // 2])
