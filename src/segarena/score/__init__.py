"""Metrics by name, and what a series of them means.

`score` is for notebooks and the command line; the workflow uses `segarena.score.metrics.score`.
Imports are inside it, so that importing the package costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

DEFAULT_METRICS = ({"name": "DSC"}, {"name": "NSD", "tolerance_mm": 2})


def score(
    truth: np.ndarray | str | Path,
    answer: np.ndarray | str | Path,
    spacing_mm: Sequence[float] | None = None,
    metrics: Iterable[Mapping[str, Any]] = DEFAULT_METRICS,
    *,
    labels: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Measure a label map against another: one row per label and metric.

    truth, answer: two arrays (D, H, W) with `spacing_mm` (z, y, x), or (H, W) with (y, x); or the
    paths of two NIfTI files, two pictures, or two .npz (`gts` and `segs`), whose spacing is used
    unless `spacing_mm` is given. metrics: as in a protocol (docs/metrics.md). labels: those to
    measure; those of the truth unless given. Columns: label, metric, value, unit. What looks wrong
    but can be measured is a Python warning. Raises CaseError where the maps do not fit each other
    or the truth has no label, ConfigError where a metric is not in the catalogue.
    """
    import warnings

    table, notes = measured(truth, answer, spacing_mm, metrics, labels)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return table


def measured(
    truth: np.ndarray | str | Path,
    answer: np.ndarray | str | Path,
    spacing_mm: Sequence[float] | None,
    metrics: Iterable[Mapping[str, Any]],
    labels: Sequence[int] | None,
    regions: Mapping[str, Sequence[int]] | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Return what `score` returns, and its warnings.

    regions: labels whose unions are measured as well, by name; also where a side has none of them.
    """
    import numpy as np
    import pandas as pd

    from segarena.errors import CaseError
    from segarena.score import metrics as catalogue
    from segarena.score.read import check_labels, read_files, spacing_for

    metrics = list(metrics)
    unions = dict(regions or {})
    catalogue.check(metrics, regions=unions)
    notes: list[str] = []
    names = ("truth", "answer")
    if isinstance(truth, str | Path) and isinstance(answer, str | Path):
        names = (str(truth), str(answer))
        truth, answer, file_mm, notes = read_files(
            Path(truth), Path(answer), may_be_empty=labels is not None
        )
        spacing_mm = file_mm if spacing_mm is None else spacing_mm
    elif isinstance(truth, str | Path) or isinstance(answer, str | Path):
        raise CaseError("score: give two arrays or two paths, not one of each")
    else:
        spacing_mm = spacing_for(truth, spacing_mm)
    truth, answer = check_labels(truth, names[0]), check_labels(answer, names[1])
    if spacing_mm is None:
        raise CaseError("score: no spacing: give spacing_mm, in mm and in the order (z, y, x)")
    spacing_mm = catalogue.spacing_of(spacing_mm)
    found = catalogue.score(truth, answer, spacing_mm, metrics, labels=labels, regions=unions)
    if not found and metrics:
        raise CaseError("truth is empty: it has no label to measure; name the labels with `labels`")
    for name, members in unions.items():
        one, other = (np.isin(ids, members).astype(np.uint8) for ids in (truth, answer))
        found += catalogue.score(
            one, other, spacing_mm, metrics, labels=[1], ids={1: name}, regions=unions
        )
    notes += _notes(truth, answer, metrics, labels)
    units = {catalogue.column(m): catalogue.METRICS[m["name"]].unit for m in metrics}
    table = pd.DataFrame(found, columns=["label", "metric", "value"])
    return table.assign(unit=table["metric"].map(units)), notes


def _notes(
    truth: np.ndarray,
    answer: np.ndarray,
    metrics: list[Mapping[str, Any]],
    labels: Sequence[int] | None,
) -> list[str]:
    """Return a line per label that is not measured: in the answer alone, or named by a metric."""
    from segarena import masks
    from segarena.protocol import labels_named

    known = set(labels or ()) | set(masks.voxels_by_label(truth))
    return [
        f"answer: label {label} has {voxels} voxels, but is no label of the truth: not measured"
        for label, voxels in masks.invented(truth, answer).items()
        if label not in known
    ] + [
        f"{key}: label {label} is no label of the truth: its value is not used"
        for label, key in labels_named(metrics).items()
        if label not in known
    ]
