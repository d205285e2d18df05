"""Tests of the metric catalogue."""

import csv
from pathlib import Path

import numpy as np
import pytest

from segarena.case import read_image, read_truth
from segarena.score.metrics import score

REFERENCE = Path(__file__).parents[1] / "data" / "reference"
CVPR25 = [{"name": "DSC"}, {"name": "NSD", "tolerance_mm": 2, "zero_unless": {}}]


@pytest.mark.parametrize("team", ["sphere", "threshold", "flaky"])
def test_means_equal_the_reference(team):
    """DSC and NSD, averaged over labels, are the reference's numbers to 1e-12."""
    with (REFERENCE / "expected" / team / f"{team}_metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    for row in rows:
        case = row["CaseName"]
        truth = read_truth(REFERENCE / "cases" / "truth" / case).gts
        spacing_mm = read_image(REFERENCE / "cases" / "images" / case).spacing_mm
        answers = np.load(REFERENCE / "expected" / team / case)["all_segs"]
        for interaction, answer in zip(range(7 - len(answers), 7), answers, strict=True):
            scores = score(truth, answer, spacing_mm, CVPR25)
            means = {
                name: np.mean([s.value for s in scores if s.metric == name])
                for name in ("DSC", "NSD")
            }
            assert means["DSC"] == pytest.approx(float(row[f"DSC_{interaction}"]), abs=1e-12)
            if means["DSC"] > 0.2:
                assert means["NSD"] == pytest.approx(float(row[f"NSD_{interaction}"]), abs=1e-12)
