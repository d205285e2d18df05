"""What columns of the teams' tables are called on the page."""

import pytest

from segarena.protocol import load
from segarena.report.headings import heading


@pytest.mark.parametrize(
    ("name", "text", "unit", "high"),
    [
        ("DSC_AUC", "DSC AUC", "0 to 4", 4),
        ("DSC_Final", "DSC final", "0 to 1", 1),
        ("NSD_3", "NSD after 3", "0 to 1", 1),
        ("TotalRunningTime", "Time per case", "seconds", None),
        ("RunningTime_2", "Time of interaction 2", "seconds", None),
        ("NoC@90", "Interactions to reach 90 %", "1 to 6", 6),
        ("NoF@90", "Never reaches 90 %", "share of labels", 1),
    ],
)
def test_a_column_has_words_unit_and_largest_value(name, text, unit, high):
    """Clicks are interactions 2 to 6, so the area below them is at most four."""
    found = heading(name, load("cvpr25"))
    assert (found.text, found.unit, found.high) == (text, unit, high)


def test_a_distance_has_its_unit_and_no_largest_value():
    """HD95 is in millimetres and has no end."""
    protocol = {**load("cvpr25"), "metrics": [{"name": "HD95"}]}
    found = heading("HD95_Final", protocol)
    assert (found.text, found.unit, found.high) == ("HD95 final", "mm", None)
