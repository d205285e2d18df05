"""Tests of the metric catalogue."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from segarena.case import read_image, read_truth
from segarena.score.metrics import score

REFERENCE = Path(__file__).parents[1] / "data" / "reference"
ORACLES = Path(__file__).parents[1] / "data" / "metrics"
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


def expected_values():
    """Return the rows of the oracles by case and label."""
    rows = {}
    with (ORACLES / "expected.csv").open() as file:
        for row in csv.DictReader(file):
            rows.setdefault((row["case"], int(row["label"])), []).append(row)
    return rows


@pytest.mark.parametrize(("case", "label"), sorted(expected_values()))
def test_values_equal_those_of_the_original_packages(case, label):
    """Each metric and convention gives the oracle's value, in the tolerance of its precision."""
    rows = expected_values()[case, label]
    with np.load(ORACLES / "cases.npz") as cases:
        maps = (cases[f"{case}_{name}"] for name in ("truth", "answer", "spacing_mm"))
        truth, answer, spacing_mm = maps
    metrics = {row["metric"]: {**json.loads(row["metric"]), "as": row["metric"]} for row in rows}
    scores = score(truth, answer, spacing_mm, metrics.values(), labels=[label])
    found = {s.metric: s.value for s in scores}
    for row in rows:
        in_float32 = metrics[row["metric"]]["name"] in {"FBeta", "Precision", "CCDSC"}
        bound = 1e-6 if in_float32 else 1e-9
        expected = pytest.approx(float(row["value"]), rel=bound, abs=bound, nan_ok=True)
        assert found[row["metric"]] == expected, row
