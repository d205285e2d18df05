"""Score every answer of a submission on one case."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from segarena import masks
from segarena.case import Truth, ignored, read_answer, read_truth, spacing_of
from segarena.files import whole
from segarena.score import kept
from segarena.score.metrics import column, score
from segarena.score.noc import AREAS
from segarena.score.table import INVENTED


def main(
    files: dict[str, Any],
    output: str,
    metrics: list[dict[str, Any]],
    *,
    ignore_label: int | None = None,
    areas: bool = False,
    code: str = "",
) -> None:
    """Write one row per interaction, label (by its id) and metric; with `areas`, the sizes too.

    Labels that an answer has and the truth does not have get a row each, with their voxels, by the
    number that the answer gave them.
    What was measured before from the same files, by the same `code`, is not measured again.
    """
    table = Path(output)
    read = [files["truth"], *files["answers"]]
    made_from = kept.made_from(read, ignore_label=ignore_label, code=code)
    columns = {column(metric): metric for metric in metrics} | dict.fromkeys(AREAS if areas else ())
    columns |= {INVENTED: None}
    values, known = kept.values_of(table, made_from, columns)
    missing = [metric for metric in metrics if column(metric) not in known]
    if missing or not known.issuperset(columns):
        values |= _measured(files, missing, ignore_label, areas)
    with whole(table) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["interaction", "label", "metric", "value"])
        for k, label in sorted({(k, label) for k, label, _ in values}):
            names = [name for name in columns if (k, label, name) in values]
            lines.writerows([k, label, name, values[k, label, name]] for name in names)
    kept.keep(table, made_from, columns)


def _measured(
    files: dict[str, Any], metrics: list[dict[str, Any]], ignore_label: int | None, areas: bool
) -> kept.Values:
    """Return the values of these metrics, and of the labels' and invented labels' voxels."""
    values: kept.Values = {}
    truth = read_truth(files["truth"])
    spacing_mm = spacing_of(files["truth"], truth)
    ids = truth.ids
    outside = ignored(truth, ignore_label)
    gts = truth.gts if outside is None else np.where(outside, 0, truth.gts)
    for k, answer in enumerate(files["answers"], start=1):
        segs = read_answer(answer)
        if outside is not None:
            segs = np.where(outside, 0, segs)
        for label, metric, value in score(gts, segs, spacing_mm, metrics, ids=ids):
            values[k, label, metric] = repr(float(value))
        for label, voxels in masks.invented(gts, segs).items():
            values[k, label, INVENTED] = repr(float(voxels))
        for label in Truth(gts).labels if areas else ():
            for name, labels in zip(AREAS, (gts, segs), strict=True):
                size = float(np.count_nonzero(labels == label))
                values[k, ids[label], name] = repr(size)
    return values
