"""A contact sheet: scribbles drawn by people beside simulated ones, on the same images.

    python benchmarks/scribbles.py sheet.png

Left the three annotators, right one simulated user per kind and two with the mix of the protocol.
What people drew was drawn with a pen of some five pixels; the simulated strokes, one pixel wide,
are widened to that pen for the eye alone. Foreground is green, background red, the outline of the
label yellow.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

from segarena.prompt.scribbles import ALIKE, from_file, scribbles

FOLDER = Path(__file__).parents[1] / "tests" / "data" / "scribbles"
PEN_RADIUS_PX = 2.0
MAX_VOXELS = 500


def main(sheet: str, folder: Path = FOLDER) -> None:
    """Draw one row per image of `folder` and write the sheet."""
    paths = sorted(folder.glob("*.npz"))
    mixes = [({kind: 1}, kind) for kind in ALIKE] + [(ALIKE, "mix")] * 2
    figure, axes = plt.subplots(len(paths), 3 + len(mixes), figsize=(24, 3.1 * len(paths)))
    for row, path in zip(np.atleast_2d(axes), paths, strict=True):
        with np.load(path) as archive:
            image, gts = archive["img"], (archive["label"] > 0)[None].astype(np.uint8)
        marks = [
            (one, f"annotator {n}", 0.0) for n, one in enumerate(from_file(path, gts.shape), 1)
        ]
        for repetition, (mix, name) in enumerate(mixes):
            one, _ = scribbles(
                gts,
                None,
                seed=0,
                case=path.stem,
                interaction=1,
                repetition=repetition,
                mix=mix,
                max_voxels=MAX_VOXELS,
            )
            marks.append((one[0] or {"fg": [], "bg": []}, name, PEN_RADIUS_PX))
        for axis, (one, name, pen) in zip(row, marks, strict=True):
            _show(axis, image, gts[0], one, pen)
            axis.set_title(f"{path.stem.split('_')[0]}, {name}", fontsize=9)
    figure.tight_layout(pad=0.4, h_pad=1.5)
    figure.savefig(sheet, dpi=70)


def _show(axis, image, mask, marks, pen_radius_px) -> None:  # type: ignore[no-untyped-def]
    axis.imshow(image, cmap="gray")
    axis.contour(mask, [0.5], colors="yellow", linewidths=0.7)
    for sign, colour in (("fg", (0.1, 0.9, 0.2)), ("bg", (1.0, 0.2, 0.1))):
        off = np.ones(mask.shape, bool)
        for _, y, x in marks[sign]:
            off[y, x] = False
        drawn = ndimage.distance_transform_edt(off) <= pen_radius_px if not off.all() else ~off
        axis.imshow(np.dstack([np.full(mask.shape, c) for c in colour] + [drawn * 0.85]))
    axis.axis("off")


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
