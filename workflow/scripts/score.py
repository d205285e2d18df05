"""Score every answer of a submission on one case."""

import csv
from typing import Any

from segarena.case import read_answer, read_spacing, read_truth
from segarena.errors import told
from segarena.files import whole
from segarena.score.metrics import score


def main(files: dict[str, Any], output: str, metrics: list[dict[str, Any]]) -> None:
    """Write one row per interaction, label and metric."""
    spacing_mm = read_spacing(files["image"])
    gts = read_truth(files["truth"]).gts
    with whole(output) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["interaction", "label", "metric", "value"])
        for k, answer in enumerate(files["answers"], start=1):
            for label, metric, value in score(gts, read_answer(answer), spacing_mm, metrics):
                table.writerow([k, label, metric, repr(float(value))])


if "snakemake" in globals():
    with told(snakemake.log[0]):
        main(dict(snakemake.input.items()), snakemake.output[0], snakemake.params.metrics)
