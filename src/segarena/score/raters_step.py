"""Score several raters of a case: each against the others, or an answer against each of them.

How well a rater agrees with the consensus of the others is the human level: what an answer could be
expected to reach. It is not ranked.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from segarena.case import asked_labels, ignored, read_answer, read_raters, read_truth, spacing_of
from segarena.files import atomic_write
from segarena.prepare.raters import STAPLE, majority, staple
from segarena.protocol import of_labels_alone
from segarena.score.metrics import score
from segarena.score.raters import without_ignored

COLUMNS = ("rater", "label", "metric", "value")


def main(
    files: dict[str, Any],
    output: str,
    metrics: list[dict[str, Any]],
    *,
    consensus: str,
    ignore_label: int | None = None,
) -> None:
    """Write one row per rater, label (by its id) and metric of two label maps.

    files: the truth, and the answer; without one each rater is scored against the consensus of the
    others, by STAPLE where the case's is, else by majority. A case of fewer than two raters has no
    rows then.
    """
    truth = read_truth(files["truth"])
    outside = ignored(truth, ignore_label)
    raters = without_ignored(read_raters(files["truth"]), outside)
    answer = read_answer(files["answer"]) if "answer" in files else None
    if answer is not None and outside is not None:
        answer = np.where(outside, 0, answer)
    given: dict[str, Any] = {"labels": asked_labels(truth, ignore_label), "ids": truth.ids}
    measured = [metric for metric in metrics if of_labels_alone(metric)]
    spacing_mm = spacing_of(files["truth"], truth)
    with atomic_write(Path(output)) as tmp, tmp.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        for name, one in raters.items():
            others = [other for rater, other in raters.items() if rater != name]
            if answer is not None:
                pair = one, answer
            elif others:
                pair = (staple if consensus == STAPLE else majority)(others), one
            else:
                continue
            for label, metric, value in score(*pair, spacing_mm, measured, **given):
                lines.writerow([name, label, metric, repr(float(value))])
