"""The figures of a report, by name: each a function from the results to one chart.

The charts that the rank stage has are taken from it; what is added here shows the course of the
interactions and the subgroups. The best eight submissions have a colour and a mark of their own,
all others are grey: nobody can tell thirty colours apart.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import vl_convert

from segarena.files import atomic_write
from segarena.protocol import DATA
from segarena.rank import figures
from segarena.rank.leaderboard import tidy
from segarena.rank.outputs import EVERYTHING
from segarena.rank.stability import BOOTSTRAPS, FINAL
from segarena.report.results import Results

CAPTIONS = DATA / "workflow" / "report"
COLOURED = 8
OTHERS = "other submissions"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999933")
GREY = "#B5B5B5"
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "stroke", "arrow")
# More dots than this a submission are thinned, evenly through the sorted values.
MOST_DOTS = 200


def quality_by_interaction(results: Results) -> Any:
    """Mean quality after every interaction, one line per submission, with its 95 % interval."""
    data = _means_by_interaction(results)
    most = len(results.cases)
    # Not every case counts at every interaction: where fewer do, the best line says how many.
    best = data.groupby(["metric", "interaction"])["mean"].idxmax().dropna()
    fewer = data.loc[best].query("cases < @most")
    data["note"] = (fewer["cases"].astype(str) + f" of {most} cases").reindex(data.index).fillna("")
    base = alt.Chart(data).encode(x=_interactions(results))
    chosen = alt.selection_point(fields=["shown"], bind="legend")
    y = alt.Y("mean:Q", title="Mean over the cases", scale=alt.Scale(zero=False))
    colour = _colour(results)
    bands = base.mark_area(opacity=0.15).encode(
        y=alt.Y("low:Q", title="Mean over the cases", scale=alt.Scale(zero=False)),
        y2="high:Q",
        color=colour,
        detail="name:N",
        opacity=alt.condition(chosen, alt.value(0.15), alt.value(0.0)),
    )
    lines = base.mark_line(strokeWidth=2).encode(
        y=y, color=colour, detail="name:N", opacity=_faded(chosen)
    )
    points = (
        base.mark_point(filled=True, size=50)
        .encode(
            y=y,
            color=colour,
            shape=_shape(results),
            opacity=_faded(chosen),
            tooltip=["name:N", "interaction:Q", *_numbers("mean", "low", "high"), "cases:Q"],
        )
        .add_params(chosen)
    )
    notes = base.mark_text(align="left", dx=6, dy=-12, fontSize=10).encode(y=y, text="note:N")
    return _styled(_by(alt.layer(bands, lines, points, notes), "metric", columns=2, width=420))


def quality_over_time(results: Results) -> Any:
    """Mean quality against the mean time spent so far, a mark an interaction."""
    data = _means_by_interaction(results)
    columns = [f"RunningTime_{k}" for k in results.interactions]
    seconds = results.scores.groupby("submission")[columns].mean().cumsum(axis=1)
    spent = [
        seconds.loc[name].iloc[k - 1]
        for name, k in zip(data["submission"], data["interaction"], strict=True)
    ]
    data = data.assign(seconds=spent)
    chosen = alt.selection_point(fields=["shown"], bind="legend")
    base = alt.Chart(data).encode(
        x=alt.X("seconds:Q", title="Seconds a case, all interactions so far"),
        y=alt.Y("mean:Q", title="Mean over the cases", scale=alt.Scale(zero=False)),
        color=_colour(results),
    )
    lines = base.mark_line(strokeWidth=1.5).encode(
        detail="name:N", order="interaction:Q", opacity=_faded(chosen)
    )
    points = (
        base.mark_point(filled=True, size=50)
        .encode(
            shape=_shape(results),
            opacity=_faded(chosen),
            tooltip=["name:N", "interaction:Q", *_numbers("seconds", "mean"), "cases:Q"],
        )
        .add_params(chosen)
    )
    return _styled(_by(alt.layer(lines, points), "metric", columns=2, width=420))


def subgroups(results: Results) -> Any:
    """Each subgroup's mean of the deciding metric with its 95 % interval, a panel a subgroup."""
    metric = results.metrics[0]
    parts = [_means(results, [{"group": f"all ({len(results.cases)})", "column": metric}])]
    members: dict[str, set[str]] = {}
    for case, values in results.groups.items():
        for column, value in values.items():
            members.setdefault(f"{column}: {value}", set()).add(case)
    for group, cases in sorted(members.items()):
        row = {"group": f"{group} ({len(cases)})", "column": metric}
        parts.append(_means(results, [row], cases=cases))
    data = pd.concat(parts, ignore_index=True)
    order = list(results.names.values())
    base = alt.Chart(data).encode(y=alt.Y("name:N", sort=order, title=None, axis=_names()))
    x = alt.Scale(zero=False)
    rules = base.mark_rule(strokeWidth=1.5, color="#0072B2").encode(
        x=alt.X("low:Q", title=metric, scale=x), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=55, color="#0072B2", opacity=1).encode(
        x=alt.X("mean:Q", title=metric, scale=x),
        tooltip=["name:N", *_numbers("mean", "low", "high"), "cases:Q"],
    )
    layers = alt.layer(rules, dots)
    sort = list(dict.fromkeys(data["group"]))
    return _styled(_by(layers, "group", columns=3, width=230, height=alt.Step(17), sort=sort))


def dot_and_box(results: Results) -> Any:
    """Every case's value of each metric of the ranking, as a dot beside its submission's box."""
    return _stacked(
        [
            figures.dot_and_box(
                _thinned(_named(results, tidy(results.scores, metric))),
                list(results.names.values()),
                value=metric,
            )
            for metric in results.metrics
        ],
        columns=max(1, 1150 // (34 * len(results.names) + 130)),
    )


def podium(results: Results) -> Any:
    """Who took which place in each case, by the deciding metric."""
    metric = results.metrics[0]
    table = _named(results, tidy(results.scores, metric))
    return figures.podium(table, larger_is_better=results.larger_is_better(metric), value=metric)


def ranking_heatmap(results: Results) -> Any:
    """How often each submission took each place, by the deciding metric."""
    metric = results.metrics[0]
    return figures.ranking_heatmap(
        _named(results, tidy(results.scores, metric)),
        list(results.names.values()),
        larger_is_better=results.larger_is_better(metric),
    )


def blobs(results: Results) -> Any:
    """How the final rank spreads over the bootstrap samples."""
    intervals = results.intervals[results.intervals["subgroup"] == EVERYTHING]
    return figures.blobs(
        _named(results, _deciding(results, results.frequencies)),
        _named(results, _deciding(results, intervals)),
    )


def rank_frequencies(results: Results) -> Any:
    """How often each submission had each final rank over the bootstrap samples."""
    return figures.rank_frequencies(_named(results, _deciding(results, results.frequencies)))


def tau_violins(results: Results) -> Any:
    """How the bootstrap rankings agree with the ranking on all cases, by scheme."""
    taus = results.taus
    return figures.tau_violins(taus[taus["task"] == FINAL])


def significance_map(results: Results) -> Any:
    """Who is significantly better than whom, by each metric of the ranking."""
    tests = results.significance
    table = _named(results, tests[tests["subgroup"] == EVERYTHING])
    table = table.assign(other=table["other"].map(results.names))
    order = list(results.names.values())
    return _stacked(
        [
            figures.significance_map(table[table["task"] == metric], order).properties(title=metric)
            for metric in results.metrics
        ],
        columns=max(1, 1150 // (36 * len(order) + 130)),
    )


def ranks_across_schemes(results: Results) -> Any:
    """The final rank of each submission under every scheme."""
    schemes = results.schemes
    found = schemes[(schemes["subgroup"] == EVERYTHING) & (schemes["metric"] == FINAL)]
    table = found.rename(columns={"submission": "algorithm"})
    return figures.ranks_across_schemes(_named(results, table))


FIGURES: dict[str, tuple[str, Callable[[Results], Any]]] = {
    "quality_by_interaction": ("Quality against interactions", quality_by_interaction),
    "quality_over_time": ("Quality against time", quality_over_time),
    "dot_and_box": ("Every case, by metric", dot_and_box),
    "subgroups": ("By modality, structure and other groups", subgroups),
    "blobs": ("How the final rank spreads", blobs),
    "rank_frequencies": ("How often each rank", rank_frequencies),
    "significance_map": ("Who is significantly better than whom", significance_map),
    "ranks_across_schemes": ("Ranks under other schemes", ranks_across_schemes),
    "tau_violins": ("Agreement of the bootstrap rankings", tau_violins),
    "podium": ("Places case by case", podium),
    "ranking_heatmap": ("How often each place", ranking_heatmap),
}


def caption(name: str) -> str:
    """Return the caption of a figure, the one that `snakemake --report` shows as well."""
    text = (CAPTIONS / f"{name}.rst").read_text(encoding="utf-8")
    return " ".join(text.split())


def draw(folder: str | Path, results: Results) -> dict[str, dict[str, Any]]:
    """Write every figure as SVG and PNG under `folder`; return the Vega-Lite specs by name."""
    specs = {}
    with alt.data_transformers.enable("default", max_rows=None):
        for name, (_, build) in FIGURES.items():
            specs[name] = build(results).to_dict()
    for name, spec in specs.items():
        # The PNG is made from the SVG: running Vega takes longer than all the rest.
        svg = vl_convert.vegalite_to_svg(spec)
        with atomic_write(Path(folder) / f"{name}.svg") as tmp:
            tmp.write_text(svg, encoding="utf-8")
        with atomic_write(Path(folder) / f"{name}.png") as tmp:
            tmp.write_bytes(vl_convert.svg_to_png(svg, scale=2))
    return specs


def _means_by_interaction(results: Results) -> pd.DataFrame:
    """Return the means and intervals of all that is measured after every interaction."""
    rows = [
        {"metric": name, "interaction": k, "column": f"{name}_{k}"}
        for name in results.measured
        for k in results.interactions
    ]
    return _means(results, rows)


def _means(
    results: Results, rows: Sequence[dict[str, Any]], *, cases: set[str] | None = None
) -> pd.DataFrame:
    """Return mean and 95 % bootstrap interval of a column of each row, one line per submission.

    All submissions and columns see the same samples of the cases. Missing values count for nothing.
    """
    scores = results.scores
    if cases is not None:
        scores = scores[scores["case"].isin(cases)]
    columns = list(dict.fromkeys(row["column"] for row in rows))
    wide = scores.pivot(index="case", columns="submission", values=columns)
    count = len(wide)
    rng = np.random.default_rng(results.protocol["seed"])
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=BOOTSTRAPS)
    values = wide.to_numpy(float)
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        samples = (drawn @ np.where(there, values, 0)) / (drawn @ there)
    with warnings.catch_warnings():  # where no case has a value there is no interval
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanquantile(samples, [0.025, 0.975], axis=0)
    found = pd.DataFrame(
        {"mean": wide.mean(), "low": low, "high": high, "cases": there.sum(axis=0)}
    )
    parts = [
        found.loc[row["column"]].reset_index().assign(**{k: row[k] for k in row if k != "column"})
        for row in rows
    ]
    data = pd.concat(parts, ignore_index=True)
    return data.assign(
        name=data["submission"].map(results.names), shown=data["submission"].map(_shown(results))
    )


def _shown(results: Results) -> dict[str, str]:
    return {
        submission: name if i < COLOURED else OTHERS
        for i, (submission, name) in enumerate(results.names.items())
    }


def _scale(results: Results, values: Sequence[str], other: str) -> alt.Scale:
    domain = list(dict.fromkeys(_shown(results).values()))
    # By name, as the figures of the rank stage have them, so that a colour stays a submission's.
    own = sorted(name for name in domain if name != OTHERS)
    found = {OTHERS: other, **dict(zip(own, values, strict=False))}
    return alt.Scale(domain=domain, range=[found[name] for name in domain])


def _colour(results: Results) -> alt.Color:
    legend = alt.Legend(title=None, symbolOpacity=1)
    return alt.Color("shown:N", legend=legend, scale=_scale(results, COLOURS, GREY))


def _shape(results: Results) -> alt.Shape:
    legend = alt.Legend(title=None, symbolOpacity=1)
    return alt.Shape("shown:N", legend=legend, scale=_scale(results, SHAPES, "circle"))


def _faded(chosen: Any) -> Any:
    return alt.condition(chosen, alt.value(1.0), alt.value(0.1))


def _numbers(*names: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{name}:Q", format=".3f") for name in names]


def _interactions(results: Results) -> alt.X:
    axis = alt.Axis(values=list(results.interactions), format="d", grid=False)
    last = results.interactions[-1]
    scale = alt.Scale(domain=[1, max(last, 2)], nice=False, padding=12)
    return alt.X("interaction:Q", title="Interaction", axis=axis, scale=scale)


def _by(
    layers: Any,
    column: str,
    *,
    columns: int,
    width: int,
    height: Any = 260,
    sort: Sequence[str] | None = None,
) -> Any:
    header = alt.Header(labelFontSize=12, labelFontWeight="bold", title=None)
    facet = alt.Facet(f"{column}:N", header=header, sort=list(sort) if sort else alt.Undefined)
    panel = layers.properties(width=width, height=height)
    return panel.facet(facet, columns=columns).resolve_scale(y="independent")


def _stacked(charts: Sequence[Any], *, columns: int) -> Any:
    config = charts[0].config
    for chart in charts:
        chart.config = alt.Undefined
    if len(charts) == 1:
        joined = charts[0]
    else:
        joined = alt.concat(*charts, columns=columns).resolve_scale(color="shared")
    joined.config = config
    return joined


def _thinned(table: pd.DataFrame) -> pd.DataFrame:
    """Return at most MOST_DOTS rows a submission, evenly through its sorted values."""
    parts = []
    for _, part in table.sort_values("value").groupby("algorithm", sort=False):
        if len(part) > MOST_DOTS:
            shown_cases = np.linspace(0, len(part) - 1, MOST_DOTS).round().astype(int)
            part = part.iloc[shown_cases]  # noqa: PLW2901
        parts.append(part)
    return pd.concat(parts).sort_values(["algorithm", "case"], ignore_index=True)


def _named(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(algorithm=table["algorithm"].map(results.names))


def _deciding(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["task"] == FINAL) & (table["scheme"] == results.scheme)]


def _names() -> alt.Axis:
    return alt.Axis(labelLimit=140, labelOverlap=False)


def _styled(chart: Any) -> Any:
    return (
        chart.configure_view(stroke=None)
        .configure_axis(
            labelFontSize=11, titleFontSize=12, titleFontWeight="normal", gridColor="#E5E5E5"
        )
        .configure_legend(labelFontSize=11, titleFontSize=11, labelLimit=180)
    )
