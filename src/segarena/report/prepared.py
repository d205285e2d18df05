"""What pictures and viewer read of a case: how it is shown, and what was answered on it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segarena.case import Truth, read_answer, spacing_of
from segarena.report.orientation import orientation_of
from segarena.report.pictures import View, own_colours, view_of
from segarena.report.volumes import Grid, grid_of


def case_view(truth_npz: str | Path, truth: Truth, colours: Mapping[str, str]) -> View:
    """Return the view of a prepared case. colours: of labels that have their own, by id."""
    return view_of(
        truth.gts,
        spacing_of(truth_npz, truth),
        own_colours(truth.ids, colours),
        truth.labels,
        orientation_of(truth),
    )


def case_grid(truth_npz: str | Path, truth: Truth, imgs: np.ndarray) -> Grid:
    """Return the viewer's grid of a prepared case. imgs: (D, H, W) or (D, H, W, 3)."""
    return grid_of(
        truth,
        spacing_of(truth_npz, truth),
        is_placed=orientation_of(truth).letters is not None,
        channels=3 if imgs.ndim == 4 else 1,
    )


def answers_of(folder: Path, interactions: int, keep_answers: str) -> list[np.ndarray | None]:
    """Return the answers of a submission on a case, one per interaction.

    keep_answers: which the config keeps; with `final` all but the last may be gone, which is None.
    """
    paths = [folder / f"{k}.npz" for k in range(1, interactions + 1)]
    may_be_gone = paths[:-1] if keep_answers == "final" else []
    return [None if p in may_be_gone and not p.exists() else read_answer(p) for p in paths]
