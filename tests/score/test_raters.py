"""Tests of metrics against several raters, on drawn masks and by published formulas."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from segarena.errors import ConfigError
from segarena.score import probabilities, raters
from segarena.score.metrics import check, score

ORACLES = Path(__file__).parents[1] / "data" / "metrics"


def expected_rows():
    with (ORACLES / "raters.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("case", ["bubil_D1_B01", "bubil_D1_B22", "prob4"])
def test_values_equal_those_of_packages_and_closed_forms(case):
    """Brier, ECE, NLL, CRPS and ConsensusDSC are those of the original packages."""
    with np.load(ORACLES / "raters.npz") as known:
        maps, spacing_mm, labels = (
            known[f"{case}_{name}"] for name in ("raters", "spacing_mm", "labels")
        )
        probs = known.get(f"{case}_probs")
        sums = known[f"{case}_sums"] if probs is None else None
    labels = [int(label) for label in labels]
    with np.load(ORACLES / "raters.npz") as known:
        answer = known[f"{case}_answer"]
    rated = raters.rated(list(maps), labels)
    rows = [row for row in expected_rows() if row["case"] == case]
    assert len(rows) > 10
    for row in rows:
        metric = json.loads(row["metric"])
        truth = maps[int(row["rater"] or 0)]
        if probs is None:
            tables = probabilities.Tables(sums=dict(zip(labels, sums, strict=True)))
        else:
            places = probabilities.Places(truth, labels, tuple(spacing_mm))
            tables = probabilities.count(probabilities.streamed(probs), places, [metric])
        found = score(truth, answer, spacing_mm, [metric], labels=labels, rated=rated, probs=tables)
        (value,) = (one.value for one in found if one.label == int(row["label"]))
        # Edges of 50 bins: as floats, 1 - 51/255 and others are on either side of them.
        bound = 5e-4 if metric["name"] == "ECE" and metric.get("kind") == "top_label" else 1e-9
        assert value == pytest.approx(float(row["value"]), rel=1e-9, abs=bound), row


def rated_of(*lines):
    maps = [np.array([[[int(sign) for sign in line]]], np.uint8) for line in lines]
    return raters.rated(maps, [1])


def value(answer, rated, **metric):
    answer = np.array([[[int(sign) for sign in answer]]], np.uint8)
    (found,) = score(answer, answer, (10, 10, 10), [metric], labels=[1], rated=rated)
    return found.value


def test_where_raters_differ_nothing_is_an_error():
    """Voxels 2 and 5 are disputed; of the rest the answer has 2 of 3 and one false one."""
    rated = rated_of("0111100", "0011110")
    assert value("0011001", rated, name="ConsensusDSC") == pytest.approx(2 * 2 / (3 + 3))
    assert value("0011100", rated, name="ConsensusDSC") == 1
    assert math.isnan(value("0000000", rated_of("00", "00"), name="ConsensusDSC")) is True


def test_crps_of_raters_that_agree_is_the_distance_of_volumes():
    """Without a spread all but CURVAS' own is |4 - 2| voxels of a millilitre each."""
    rated = rated_of("1111000", "1111000")
    for against, expected in (("empirical", 2), ("normal", 2), ("curvas", 0)):
        assert value("1100000", rated, name="CRPS", against=against) == expected


def test_crps_of_two_raters_by_hand():
    """Volumes 2 and 4, answer 3: mean distance 1, half the raters' mean distance 1/2."""
    assert value("1110000", rated_of("1100", "1111"), name="CRPS") == pytest.approx(0.5)


def test_a_case_without_raters_has_no_value_and_a_call_without_is_rejected():
    """In a run nan; in a notebook an error, since nobody would know why."""
    one = np.ones((1, 2, 2), np.uint8)
    (found,) = score(one, one, (1, 1, 1), [{"name": "CRPS"}], of_run=True)
    assert math.isnan(found.value)
    with pytest.raises(ConfigError, match="CRPS: needs the raters of a run"):
        score(one, one, (1, 1, 1), [{"name": "CRPS"}])


def test_a_rule_for_empties_is_rejected():
    """`empty` would have no effect on metrics of raters and probabilities."""
    with pytest.raises(ConfigError, match=r"metrics.0.empty: has no effect on CRPS"):
        check([{"name": "CRPS", "empty": {"both": 0}}])
