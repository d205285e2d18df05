import altair as alt
import numpy as np
import pandas as pd
import pytest

from segarena.rank.aggregate import ranks
from segarena.rank.command import task_figures
from segarena.rank.outputs import write_figure
from segarena.rank.significance import pairwise
from segarena.rank.stability import stability

HOSTILE = "<script>alert(1)</script> $x^2$ \"'"


def figures(values):
    table = pd.DataFrame(
        [
            {"task": "t", "algorithm": name, "case": f"c{i:02}", "value": value}
            for name, column in values.items()
            for i, value in enumerate(column)
        ]
    )
    found = stability(table, larger_is_better=True, seed=1, bootstraps=20)
    return task_figures(
        table,
        ranks(table, larger_is_better=True),
        pairwise(table, larger_is_better=True),
        frequencies=found.frequencies,
        intervals=found.intervals,
        taus=found.taus,
        larger_is_better=True,
    )


RNG = np.random.default_rng(1)
THREE = {"a": RNG.random(12), "b": RNG.random(12), HOSTILE: RNG.random(12)}
NAMES = {
    "rank_frequencies",
    "blobs",
    "tau_violins",
    "ranks_across_schemes",
    "podium",
    "ranking_heatmap",
    "dot_and_box",
    "significance_map",
    "critical_difference",
}


def rows_of(chart):
    """The rows that a chart carries, from all its data sets."""
    return [row for rows in chart.to_dict()["datasets"].values() for row in rows]


def test_every_figure_is_written_as_svg_and_png(tmp_path):
    """Nine figures, each as SVG and PNG, with a hostile name escaped."""
    charts = figures(THREE)
    assert set(charts) == NAMES
    for name, chart in charts.items():
        write_figure(chart, tmp_path / name)
        svg = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert svg.rstrip().endswith("</svg>")
        assert "<script" not in svg
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"a": [0.5, 0.7]}, id="one team"),
        pytest.param({"a": [0.5], "b": [0.7]}, id="one case"),
        pytest.param({"a": [0.5] * 4, "b": [0.5] * 4}, id="constant"),
        pytest.param({"a": [np.nan] * 4, "b": [np.nan] * 4}, id="all missing"),
    ],
)
def test_degenerate_rankings_have_figures(values, tmp_path):
    """One team, one case, a constant metric and no answer at all can be drawn."""
    charts = figures(values)
    assert set(charts) == (NAMES if len(values) > 1 else NAMES - PAIRS)
    for name, chart in charts.items():
        write_figure(chart, tmp_path / name)
        assert (tmp_path / f"{name}.png").stat().st_size > 1000


PAIRS = {"significance_map", "critical_difference"}


def test_frequencies_carry_the_shares():
    """The bars of each algorithm and scheme add up to all samples."""
    rows = pd.DataFrame(rows_of(figures(THREE)["rank_frequencies"]))
    total = rows.groupby(["scheme", "algorithm"])["share"].sum()
    assert total.to_list() == pytest.approx([1] * 18)


def test_heatmap_counts_every_case():
    """Each algorithm's places add up to the number of cases."""
    rows = pd.DataFrame(rows_of(figures(THREE)["ranking_heatmap"]))
    assert rows.groupby("algorithm")["cases"].sum().to_list() == [12, 12, 12]


def test_significance_map_fills_what_is_significant():
    """A clear winner's cell is filled, and the reverse is not."""
    base = np.linspace(0, 0.4, 20)
    rows = pd.DataFrame(rows_of(figures({"a": base + 0.5, "b": base})["significance_map"]))
    verdicts = rows.set_index(["algorithm", "other"])["verdict"].to_dict()
    assert verdicts == {("a", "b"): "row better, significant", ("b", "a"): "not significant"}


def test_tied_lines_stand_apart():
    """Algorithms that tie have places of their own around their rank."""
    chart = figures({"a": [0.5] * 4, "b": [0.5] * 4})["ranks_across_schemes"]
    rows = pd.DataFrame(rows_of(chart)).query("scheme == 'mean_then_rank'")
    assert sorted(rows["place"]) == pytest.approx([0.92, 1.08])
    assert set(rows["rank"]) == {1}


def test_figures_are_altair_charts_without_any_request():
    """No chart refers to a file or an address for its data."""
    for name, chart in figures(THREE).items():
        if name != "critical_difference":
            assert isinstance(chart, alt.TopLevelMixin)
            assert '"url"' not in chart.to_json()


def test_same_figure_same_file(tmp_path):
    """Drawing twice gives the same picture, so that a report does not change by itself."""
    charts = figures(THREE)
    for name in ["dot_and_box", "critical_difference"]:
        write_figure(charts[name], tmp_path / "one" / name)
        write_figure(charts[name], tmp_path / "two" / name)
        one, two = tmp_path / "one" / f"{name}.png", tmp_path / "two" / f"{name}.png"
        assert one.read_bytes() == two.read_bytes()
