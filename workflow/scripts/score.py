"""Score every answer of a submission on one case."""

import csv
from collections.abc import Iterator
from typing import Any

import numpy as np

from segarena.case import Truth, ignored, read_answer, read_spacing, read_truth
from segarena.errors import told
from segarena.files import whole
from segarena.score.metrics import score
from segarena.score.noc import AREAS


def main(
    files: dict[str, Any],
    output: str,
    metrics: list[dict[str, Any]],
    *,
    ignore_label: int | None = None,
    areas: bool = False,
) -> None:
    """Write one row per interaction, label and metric; with `areas`, the labels' sizes too."""
    spacing_mm = read_spacing(files["image"])
    truth = read_truth(files["truth"])
    outside = ignored(truth, ignore_label)
    gts = truth.gts if outside is None else np.where(outside, 0, truth.gts)
    with whole(output) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["interaction", "label", "metric", "value"])
        for k, answer in enumerate(files["answers"], start=1):
            segs = read_answer(answer)
            if outside is not None:
                segs = np.where(outside, 0, segs)
            for label, metric, value in score(gts, segs, spacing_mm, metrics):
                table.writerow([k, label, metric, repr(float(value))])
            if areas:
                table.writerows(_areas(k, gts, segs))


def _areas(k: int, gts: np.ndarray, segs: np.ndarray) -> Iterator[list[Any]]:
    """Yield rows with the number of voxels of each label in truth and answer."""
    for label in Truth(gts).labels:
        for name, labels in zip(AREAS, (gts, segs), strict=True):
            yield [k, label, name, float(np.count_nonzero(labels == label))]


if "snakemake" in globals():
    with told(snakemake.log[0]):
        main(
            dict(snakemake.input.items()),
            snakemake.output[0],
            metrics=snakemake.params.metrics,
            ignore_label=snakemake.params.ignore_label,
            areas=snakemake.params.areas,
        )
