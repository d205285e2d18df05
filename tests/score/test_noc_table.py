"""What a case's row says of clicks, and of a case that took too long."""

import math

import pytest

from segarena.score.table import row, unanswered

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


def test_clicks_are_counted_by_the_metric_that_the_protocol_names():
    """One label has 0.9 of its lesions after the second interaction, the other after the fourth."""
    recall = {1: [0.5, 0.0], 2: [0.9, 0.5], 3: [0.9, 0.8], 4: [1.0, 1.0]}
    metrics = [*VALUES["metrics"], {"name": "LesionRecall"}]
    series = {"auc_from": 1, "noc": {"metric": "LesionRecall", "at": [0.9]}}
    values = {**VALUES, "metrics": metrics, "series": series}
    found = row("c", {**SCORES, "LesionRecall": recall}, [1.0] * 4, values)
    assert (found["NoC@90"], found["NoF@90"]) == (3, 0)


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


def test_a_label_without_a_value_is_in_no_mean():
    """The second label has no IoU at all: clicks and means are those of the first alone."""
    scores = {**SCORES, "IoU": {k: [v[0], math.nan] for k, v in SCORES["IoU"].items()}}
    values = [1.0, 2.0, 3.0, 0.0]
    found = row("c", scores, values, VALUES)
    assert (found["NoC@90"], found["NoF@90"], found["IoU_Final"]) == (3.0, 0.0, 0.95)
    nothing = {**scores, "IoU": {k: [math.nan, math.nan] for k in range(1, 5)}}
    found = row("c", nothing, values, VALUES)
    columns = ("NoC@90", "NoF@90", "IoU_Final", "IoU_AUC")
    assert all(math.isnan(found[column]) for column in columns)
    late = row("c", nothing, [200.0, 0.0, 0.0, 0.0], VALUES)
    assert math.isnan(late["IoU_Final"])


def test_a_gate_without_a_value_closes_nothing():
    """NSD is 0 unless DSC is above 0.2; a DSC that does not count is no reason, and nan stays."""
    nsd = {"name": "NSD", "zero_unless": {"metric": "DSC", "above": 0.2}}
    values = {**VALUES, "metrics": [{"name": "DSC"}, nsd], "series": {"auc_from": 1}}
    scores = {"DSC": {1: [0.2], 2: [0.3], 3: [math.nan]}, "NSD": {k: [0.7] for k in (1, 2, 3)}}
    found = row("c", scores, [1.0] * 3, values)
    assert [found[f"NSD_{k}"] for k in (1, 2, 3)] == [0.0, 0.7, 0.7]
    scores["NSD"][1] = [math.nan]
    assert math.isnan(row("c", scores, [1.0] * 3, values)["NSD_1"])


@pytest.mark.parametrize(
    ("on_failure", "statuses", "expected"),
    [
        ("previous", "not_asked crashed ok timed_out", [False, True, False, False]),
        ("zeros", "not_asked crashed ok timed_out", [False, True, False, True]),
        ("zeros", "ok bad_answer not_asked ok", [False, True, True, False]),
        ("previous", "not_asked not_asked", [False, False]),
    ],
)
def test_an_interaction_is_unanswered_until_there_is_an_answer(on_failure, statuses, expected):
    """A failed call leaves the answer before it in force, or zeros, as the protocol says."""
    assert unanswered(statuses.split(), on_failure) == expected


def test_a_crash_is_not_right_in_a_case_without_foreground():
    """Both labels are empty in truth and answer, but the first of two calls gave no answer."""
    values = {**VALUES, "metrics": [{"name": "DSC"}, {"name": "HD95"}], "series": {"auc_from": 1}}
    right = {"DSC": 1.0, "HD95": 0.0, "truth_voxels": 0.0, "answer_voxels": 0.0}
    scores = {name: {k: [value] * 2 for k in (1, 2)} for name, value in right.items()}
    found = row("c", scores, [1.0, 1.0], values, unanswered=[True, False])
    assert [found[name] for name in ("DSC_1", "DSC_2", "HD95_1", "HD95_2")] == [0, 1, math.inf, 0]
    scores["truth_voxels"] = {k: [5.0, 0.0] for k in (1, 2)}
    found = row("c", scores, [1.0, 1.0], values, unanswered=[True, False])
    assert found["DSC_1"] == 1
