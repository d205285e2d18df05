"""The numbers of a reliability diagram: how often a label is there, by its probability."""

from functools import partial
from pathlib import Path
from typing import Any

from segarena.case import asked_labels, has_probs, ignored, probs_of, read_truth, spacing_of
from segarena.score import probabilities
from segarena.score.table import write_table

BINS = 10
COLUMNS = ("label", "low", "high", "voxels", "mean_probability", "share")
_MEASURED = {"name": "Brier"}


def main(
    truths: list[str], answers: list[str], output: str, *, ignore_label: int | None = None
) -> None:
    """Write one row per label (by its id) and bin [low, high), over all cases of a submission.

    answers: the last one of each case. Voxels are those of the region `box`; bins without any have
    no mean and no share. Answers without probabilities do not count.
    """
    region = probabilities.region_of(_MEASURED)
    totals: dict[int, Any] = {}
    for truth_npz, answer in zip(truths, answers, strict=True):
        if not has_probs(answer):
            continue
        truth = read_truth(truth_npz)
        labels = asked_labels(truth, ignore_label)
        outside = ignored(truth, ignore_label)
        places = probabilities.Places(truth.gts, labels, spacing_of(truth_npz, truth), outside)
        tables = probabilities.count(partial(probs_of, answer), places, [_MEASURED])
        for label in labels:
            name = truth.ids[label]
            totals[name] = totals.get(name, 0) + tables.of_label[label, region]
    rows = [
        {
            "label": label,
            "low": number / BINS,
            "high": (number + 1) / BINS,
            "voxels": voxels,
            "mean_probability": total / voxels if voxels else "",
            "share": inside / voxels if voxels else "",
        }
        for label, table in sorted(totals.items())
        for number, (voxels, total, inside) in enumerate(probabilities.reliability(table, BINS))
    ]
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    write_table(output, rows, columns=COLUMNS)
