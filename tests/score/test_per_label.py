"""Each label's scores over the cases."""

import numpy as np
import pytest
from scipy import stats

from segarena.score.per_label import label_rows

VALUES = {
    "metrics": [{"name": "DSC"}, {"name": "HD95"}],
    "labels": {
        "10": {"name": "liver"},
        "WT": {"name": "whole tumour", "members": [2, 10]},
        "absent": {"name": "absent", "members": [77]},
    },
}


@pytest.fixture
def tables(tmp_path):
    """Three cases: label 2 in all, 10 in one, the region in all; the first interaction is worse."""
    dsc = {"2": (0.5, 0.6, 0.9), "10": (0.7,), "WT": (0.2, 0.4, 0.6)}
    hd = {"2": (1.0, float("inf"), 3.0), "10": (float("nan"),), "WT": (1.0, 2.0, 6.0)}
    paths = []
    for i in range(3):
        lines = ["interaction,label,metric,value"]
        for k in (1, 2):
            for label, values in dsc.items():
                if i < len(values):
                    lines.append(f"{k},{label},DSC,{values[i] if k == 2 else 0.0}")
                    lines.append(f"{k},{label},HD95,{hd[label][i] if k == 2 else 99.0}")
        paths.append(tmp_path / f"{i}.csv")
        paths[-1].write_text("\n".join(lines) + "\n")
    return paths


def rows(tables):
    return {(row["label"], row["metric"]): row for row in label_rows(tables, VALUES)}


def test_labels_by_id_then_regions_with_their_names(tables):
    """2 comes before 10; a region that no case has gets no row."""
    assert [(row["label"], row["name"], row["metric"]) for row in label_rows(tables, VALUES)] == [
        ("2", "", "DSC"),
        ("2", "", "HD95"),
        ("10", "liver", "DSC"),
        ("10", "liver", "HD95"),
        ("WT", "whole tumour", "DSC"),
        ("WT", "whole tumour", "HD95"),
    ]


def test_mean_median_and_t_interval_are_those_of_the_last_interaction(tables):
    """Against scipy's own t interval of the three cases' values."""
    row = rows(tables)["2", "DSC"]
    values = [0.5, 0.6, 0.9]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (row["cases"], row["median"]) == (3, 0.6)
    assert [row["mean"], row["lower"], row["upper"]] == pytest.approx([2 / 3, low, high])


def test_one_case_has_no_interval_and_no_value_is_no_case(tables):
    """A single value has no spread; a NaN does not count."""
    one = rows(tables)["10", "DSC"]
    assert (one["cases"], one["mean"], one["lower"], one["upper"]) == (1, 0.7, "", "")
    none = rows(tables)["10", "HD95"]
    assert (none["cases"], none["mean"]) == (0, "")


def test_an_infinite_distance_stays_infinite(tables):
    """The mean says so, the median need not, and there is no interval."""
    row = rows(tables)["2", "HD95"]
    assert (row["mean"], row["median"], row["lower"]) == (float("inf"), 3.0, "")
