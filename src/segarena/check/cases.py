"""The cases of a check: small bundled ones, the participant's own, those of a challenge file.

The bundled ones are drawn, not real, so that they cost nothing to carry and seconds to run. Each
has what some programs do not expect: no box, many labels, one slice, very few voxels, over a
million voxels, a label without any error.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segarena.case import Image, Truth, write_image, write_truth
from segarena.errors import ConfigError
from segarena.prepare.boxes import boxes_of
from segarena.prepare.nifti import CASE_NAME, find_cases, prepare_case

SEED = 2025

_SUFFIX = re.compile(r"(_0000)?(\.nii\.gz|\.nii|\.npz|\.png|\.jpe?g)$", re.IGNORECASE)


@dataclass(frozen=True)
class CheckCase:
    """One case of a check.

    write: makes image.npz, truth.npz and, where people drew on it, scribbles.npz in a folder.
    interactions: how many are run, all where None. is_given: it is the participant's or the
    challenge's. perfect_label: before the second interaction label 1 gets no error.
    """

    write: Callable[[Path], None]
    interactions: int | None = None
    is_given: bool = False
    perfect_label: bool = False


def bundled_case(*, box: bool, zoom: int = 1) -> tuple[Image, Truth]:
    """Return a drawn case of 20 x 64 x 72 voxels: three ellipsoids in noise, with or without a box.

    zoom: how many times as large its slices are in both directions.
    """
    ellipsoids = [((9, 20, 24), (6, 12, 14)), ((11, 46, 20), (4, 9, 8)), ((10, 36, 54), (7, 16, 9))]
    return _drawn((20, 64, 72), ellipsoids, (3.0, 1.0, 1.0), box=box, zoom=zoom)


def bundled() -> dict[str, CheckCase]:
    """Return the bundled cases by name, in the order in which they are run."""
    # In the cube each voxel may stand in the place of another, so swapped axes show.
    cube = ((40, 40, 40), [((6, 12, 17), (4, 5, 6))], (2.5, 0.8, 1.1))
    many = [
        ((8, 8 + 16 * row, 8 + 16 * column), (5, 6, 6)) for row in (0, 1, 2) for column in range(4)
    ]
    slice_ = ((1, 64, 72), [((0, 20, 24), (1, 12, 14)), ((0, 46, 50), (1, 9, 16))], (1.0, 1.0, 1.0))
    tiny = ((3, 6, 5), [((1, 3, 2), (0.5, 1, 1))], (4.0, 1.0, 1.0))
    return {
        "bundled": _case(*bundled_case(box=True)),
        "bundled-nobox": _case(*bundled_case(box=False)),
        "bundled-cube": _case(*_drawn(*cube, box=True), interactions=2),
        "bundled-cube-nobox": _case(*_drawn(*cube, box=False), interactions=3),
        "bundled-12-labels": _case(
            *_drawn((16, 48, 64), many, (2.0, 1.0, 1.0), box=True), interactions=2
        ),
        "bundled-slice": _case(*_drawn(*slice_, box=True), interactions=2),
        "bundled-tiny": _case(*_drawn(*tiny, box=True), interactions=2),
        "bundled-large": _case(*bundled_case(box=True, zoom=4), interactions=2, perfect_label=True),
    }


def own_cases(
    places: list[list[Path]], modality: str | None
) -> tuple[dict[str, CheckCase], list[str]]:
    """Return the participant's cases, prepared as the benchmark does, and the warnings.

    places: [DIR] with DIR/images and DIR/labels, or [IMAGE, LABEL]. Raises ConfigError or CaseError
    with the file and the reason.
    """
    cases: dict[str, CheckCase] = {}
    warnings: list[str] = []
    for place in places:
        for name, (image, label) in _pairs(place).items():
            if name in cases:
                raise ConfigError(f"--case: two cases are called {name}; rename one")
            prepared, truth, notes = prepare_case(
                image, label, case=name, modality=modality, window=None, box=True, seed=SEED
            )
            warnings += notes
            cases[name] = _case(prepared, truth, is_given=True)
    return cases, warnings


def _pairs(place: list[Path]) -> dict[str, tuple[Path, Path]]:
    if len(place) == 1:
        (folder,) = place
        if not (folder / "images").is_dir():
            raise ConfigError(
                f"--case: {folder} is no folder with images/ and labels/; write --case IMAGE LABEL "
                "for one case"
            )
        return find_cases(folder / "images", folder / "labels")
    if len(place) != 2:
        raise ConfigError("--case: write --case IMAGE LABEL, or --case FOLDER")
    for path in place:
        if not path.is_file():
            raise ConfigError(f"--case: no file {path}")
    name = _SUFFIX.sub("", place[0].name)
    if not CASE_NAME.fullmatch(name):
        raise ConfigError(f"--case: invalid name {name!r}: use letters, digits, '.', '_' and '-'")
    return {name: (place[0], place[1])}


def _drawn(
    shape: tuple[int, int, int],
    ellipsoids: Sequence[tuple[tuple[float, ...], tuple[float, ...]]],
    spacing_mm: tuple[float, float, float],
    *,
    box: bool,
    zoom: int = 1,
) -> tuple[Image, Truth]:
    """Return ellipsoids (centre, radii) in noise, one per label."""
    depth, height, width = shape[0], shape[1] * zoom, shape[2] * zoom
    z, y, x = np.ogrid[:depth, :height, :width]
    y, x = y / zoom, x / zoom
    gts = np.zeros((depth, height, width), np.uint8)
    for label, ((cz, cy, cx), (rz, ry, rx)) in enumerate(ellipsoids, start=1):
        gts[((z - cz) / rz) ** 2 + ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1] = label
    noise = np.random.default_rng(SEED).normal(0, 12, gts.shape)
    levels = np.array([60, 140, 180, 110, *range(120, 240, 10)])[gts]
    imgs = np.clip(levels + noise, 0, 255).astype(np.uint8)
    boxes = boxes_of(gts, case="check", seed=SEED) if box else None
    spacing = (spacing_mm[0], spacing_mm[1] / zoom, spacing_mm[2] / zoom)
    return Image(imgs, spacing, boxes, "xyz"), Truth(gts, spacing_mm=spacing)


def _case(
    image: Image,
    truth: Truth,
    *,
    interactions: int | None = None,
    is_given: bool = False,
    perfect_label: bool = False,
) -> CheckCase:
    def write(folder: Path) -> None:
        write_image(folder / "image.npz", image)
        write_truth(folder / "truth.npz", truth)

    return CheckCase(write, interactions, is_given, perfect_label)
