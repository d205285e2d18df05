"""Tests of where the simulated user clicks."""

import csv
from pathlib import Path

import numpy as np
import pytest

from segarena.case import read_truth
from segarena.prompt.clicks import largest_error

REFERENCE = Path(__file__).parents[1] / "data" / "reference"


def rows_of(team):
    with (REFERENCE / "expected" / team / "clicks.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("team", ["sphere", "threshold", "flaky"])
def test_clicks_equal_the_reference(team):
    """All clicks of the reference run are found again, voxel for voxel, and no other."""
    expected = {}
    for row in rows_of(team):
        key = row["case"], int(row["interaction"])
        expected.setdefault(key, {})[int(row["label"])] = (
            int(row["z"]),
            int(row["y"]),
            int(row["x"]),
            row["kind"],
        )
    assert expected
    for (case, interaction), clicks in expected.items():
        truth = read_truth(REFERENCE / "cases" / "truth" / f"{case}.npz")
        answers = np.load(REFERENCE / "expected" / team / f"{case}.npz")["all_segs"]
        first = 6 - len(answers) + 1
        before = (
            answers[interaction - 1 - first] if interaction > first else np.zeros_like(truth.gts)
        )
        found = dict(zip(truth.labels, largest_error(truth.gts, before, seed=42), strict=True))
        assert {label: click for label, click in found.items() if click} == clicks
