"""What a case's row says of clicks, and of a case that took too long."""

import math

import pytest

from segarena.score.table import row

VALUES = {
    "metrics": [{"name": "IoU"}, {"name": "HD95"}],
    "series": {"auc_from": 1, "noc": {"at": [0.8, 0.9], "min_area_px": 150}},
    "time": {"seconds_per_label": 60, "per": "case", "on_overtime": "zero"},
}
# Interactions 1 to 4 of two labels; the user was satisfied after the third.
SCORES = {
    "IoU": {1: [0.5, 0.3], 2: [0.8, 0.85], 3: [0.95, 0.85], 4: [0.95, 0.85]},
    "HD95": {1: [9.0, math.inf], 2: [4.0, 3.0], 3: [1.0, 3.0], 4: [1.0, 3.0]},
    "truth_voxels": {k: [200.0, 100.0] for k in range(1, 5)},
    "answer_voxels": {k: [180.0, 500.0] for k in range(1, 5)},
}


def made(seconds=(1.0, 2.0, 3.0, 0.0), **more):
    asked = [True, True, True, False]
    return row("c", SCORES, list(seconds), {**VALUES, **more}, asked=asked)


def test_clicks_are_counted_per_label_and_averaged():
    """0.8 is reached by both with the second; 0.9 by one with the third, by the other never."""
    assert (made()["NoC@80"], made()["NoC@90"]) == (2.0, 3.5)
    assert (made()["NoF@80"], made()["NoF@90"]) == (0.0, 0.5)


def test_seconds_per_click_leave_out_what_was_not_asked():
    """Three clicks took 1, 2 and 3 seconds."""
    assert made()["SecondsPerClick"] == 2.0


def test_the_filter_keeps_labels_of_which_truth_and_answer_are_large_enough():
    """The second label's truth has 100 pixels, so the first counts alone."""
    assert made()["Kept_min150"] == 1
    assert (made()["IoU_Final_min150"], made()["HD95_Final_min150"]) == (0.95, 1.0)


def test_a_case_that_took_too_long_gets_the_worst_of_every_column():
    """Shares are 0 and distances infinite, so that no team gains by being late."""
    late = made(seconds=[200.0, 0.0, 0.0, 0.0])
    assert late["IoU_Final"] == 0
    assert late["HD95_Final"] == math.inf
    assert (late["NoC@80"], late["NoF@80"]) == (4, 1)


def test_a_protocol_that_does_not_ask_for_clicks_has_no_such_columns():
    """The reference's columns stay the last ones."""
    plain = made(series={"auc_from": 1})
    assert list(plain)[-1] == "runtime_upperbound"


def test_an_infinite_distance_stays_infinite_in_the_mean():
    """It is the ranking's policy that decides what it counts as."""
    assert made()["HD95_1"] == math.inf
    assert made()["HD95_Final"] == pytest.approx(2.0)
