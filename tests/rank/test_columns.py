"""Which way a column is better, and its worst value."""

from segarena.rank.columns import directions

METRICS = [{"name": "DSC"}, {"name": "HD95"}, {"name": "NSD", "tolerance_mm": 2, "as": "NSD2"}]


def test_clicks_times_and_distances_are_better_when_smaller():
    """Columns of metrics take their direction from the catalogue, whatever was made of them."""
    columns = ["NoC@90", "NoF@90", "SecondsPerClick", "TotalRunningTime", "RunningTime_3"]
    columns += ["HD95_Final", "HD95_AUC", "HD95_2", "DSC_Final", "NSD2_AUC", "DSC_Final_min150"]
    smaller, _ = directions(columns, METRICS, interactions=20)
    assert smaller == set(columns[:8])


def test_effort_and_regret_are_better_when_smaller():
    """Less work and fewer setbacks are better; a score after some seconds goes by its metric."""
    columns = ["Clicks", "EffortSeconds", "EffortSeconds_3", "DSC_Regret", "HD95_Harmful"]
    columns += ["HD95@60s", "DSC@60s"]
    smaller, worst = directions(columns, METRICS, interactions=20)
    assert smaller == set(columns[:6])
    assert worst == {"DSC@60s": 0}


def test_a_share_and_a_number_of_clicks_have_a_worst_value_and_a_distance_has_none():
    """0 for a share, all clicks for NoC, 1 for NoF; a distance counts as the worst measured."""
    columns = ["NoC@90", "NoF@90", "DSC_Final", "NSD2_AUC", "HD95_Final", "TotalRunningTime"]
    _, worst = directions(columns, METRICS, interactions=20)
    assert worst == {"NoC@90": 20, "NoF@90": 1, "DSC_Final": 0, "NSD2_AUC": 0}
