"""Metrics by name, and what a series of them means.

`score` is for notebooks and the command line; the workflow uses `segarena.score.metrics.score`.
Imports are inside it, so that importing the package costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

DEFAULT_METRICS = ({"name": "DSC"}, {"name": "NSD", "tolerance_mm": 2})


def score(
    truth: np.ndarray | str | Path,
    answer: np.ndarray | str | Path,
    spacing_mm: tuple[float, float, float] | None = None,
    metrics: Iterable[Mapping[str, Any]] = DEFAULT_METRICS,
) -> pd.DataFrame:
    """Measure a label map against another: a row per label and metric.

    truth, answer: two arrays (D, H, W) with `spacing_mm` (z, y, x), or the paths of two NIfTI
    files, whose header says the spacing. metrics: as in a protocol (docs/metrics.md).
    Columns: label, metric, value, unit. Raises CaseError where the maps do not fit each other,
    ConfigError where a metric is not in the catalogue.
    """
    import pandas as pd

    from segarena.errors import CaseError
    from segarena.score import metrics as catalogue

    metrics = list(metrics)
    if isinstance(truth, str | Path) and isinstance(answer, str | Path):
        truth, answer, header_mm = _read_both(Path(truth), Path(answer))
        spacing_mm = spacing_mm or header_mm
    elif isinstance(truth, str | Path) or isinstance(answer, str | Path):
        raise CaseError("score: give two arrays or two paths, not one of each")
    if spacing_mm is None:
        raise CaseError("score: arrays need spacing_mm, in mm and in the order (z, y, x)")
    scores = catalogue.score(truth, answer, spacing_mm, metrics)
    units = {catalogue.column(m): catalogue.METRICS[m["name"]].unit for m in metrics}
    table = pd.DataFrame(scores, columns=["label", "metric", "value"])
    return table.assign(unit=table["metric"].map(units))


def _read_both(
    truth: Path, answer: Path
) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """Return two NIfTI label maps as (z, y, x) and their spacing."""
    import nibabel
    import numpy as np

    from segarena.errors import CaseError

    maps, affines = [], []
    for path in (truth, answer):
        try:
            image: Any = nibabel.load(path)
            voxels = np.asanyarray(image.dataobj)
        except (OSError, EOFError, ValueError, nibabel.filebasedimages.ImageFileError) as error:
            raise CaseError(f"{path}: not a readable NIfTI file ({error})") from error
        voxels = np.squeeze(voxels, axis=tuple(range(3, voxels.ndim)))
        whole = voxels.astype(np.int64)
        if not np.array_equal(whole, voxels):
            raise CaseError(f"{path}: not a label map, it holds values that are not whole numbers")
        maps.append(np.transpose(np.atleast_3d(whole)))
        affines.append(image.affine)
    if maps[0].shape != maps[1].shape or not np.allclose(affines[0], affines[1], atol=1e-3):
        raise CaseError(f"{answer}: not in the space of {truth}; resample it to that grid first")
    x, y, z = (float(s) for s in nibabel.affines.voxel_sizes(affines[0]))
    return maps[0], maps[1], (z, y, x)
