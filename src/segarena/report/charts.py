"""The figures of a report, by name: each a function from the results to one chart.

A chart holds the rows of every choice that the page offers; `choose` takes those of one choice,
here for the SVG and PNG and in the page (page.js, `chosen`) for what its filters say. What a row is
for stands in its columns: subgroup, for_metric and for_scheme name the choice, panel the metric
that a panel shows, case and submission what it is about. The best eight submissions have a colour
and a mark of their own, all others are grey: nobody can tell thirty colours apart.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
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
from segarena.report.headings import heading
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
    # Not every case counts at every interaction: the best line says how many do.
    best = data.groupby(["subgroup", "metric", "interaction"])["mean"].idxmax().dropna()
    shown = "n = " + data.loc[best, "cases"].astype(str)
    data["note"] = shown.reindex(data.index).fillna("")
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
    notes = base.mark_text(dy=-12, fontSize=10, color="#595959").encode(y=y, text="note:N")
    return _styled(_by(alt.layer(bands, lines, points, notes), "metric", width=420))


def quality_over_time(results: Results) -> Any:
    """Mean quality against the mean time spent so far, a mark an interaction."""
    data = _means_by_interaction(results)
    columns = [f"RunningTime_{k}" for k in results.interactions]
    parts = []
    for group, members in results.members.items():
        scores = results.scores[results.scores["case"].isin(members)]
        spent = scores.groupby("submission")[columns].mean().cumsum(axis=1)
        spent.columns = list(results.interactions)
        parts.append(
            spent.melt(var_name="interaction", value_name="seconds", ignore_index=False)
            .reset_index()
            .assign(subgroup=group)
        )
    data = data.merge(pd.concat(parts), on=["subgroup", "submission", "interaction"])
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
    return _styled(_by(alt.layer(lines, points), "metric", width=420))


def subgroups(results: Results) -> Any:
    """Each subgroup's mean of one metric with its 95 % interval, a panel a subgroup."""
    parts = []
    for group, members in results.members.items():
        shown = f"{'all cases' if group == EVERYTHING else group} (n = {len(members)})"
        rows = [{"group": shown, "column": metric} for metric in results.metrics]
        for metric, part in zip(
            results.metrics, _means_of_each(results, rows, cases=members), strict=True
        ):
            parts.append(part.assign(for_metric=metric))
            if metric == results.metrics[0]:
                parts.append(part.assign(for_metric=FINAL))
    data = pd.concat(parts, ignore_index=True)
    order = list(results.names.values())
    base = alt.Chart(data).encode(y=alt.Y("name:N", sort=order, title=None, axis=_names()))
    x = alt.Scale(zero=False)
    title = "Mean, with its 95 % interval"
    axis = alt.Axis(tickCount=4)
    rules = base.mark_rule(strokeWidth=1.5, color="#0072B2").encode(
        x=alt.X("low:Q", title=title, scale=x, axis=axis), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=55, color="#0072B2", opacity=1).encode(
        x=alt.X("mean:Q", title=title, scale=x, axis=axis),
        tooltip=["name:N", *_numbers("mean", "low", "high"), "cases:Q"],
    )
    layers = alt.layer(rules, dots)
    sort = list(dict.fromkeys(data["group"]))
    panels = _by(layers, "group", width=230, height=alt.Step(17), sort=sort, x_scale="shared")
    return _styled(panels)


def dot_and_box(results: Results) -> Any:
    """Every case's value of each metric of the ranking, a dot each; boxes where cases suffice."""
    return _stacked(
        [
            figures.dot_and_box(
                _thinned(_named(results, tidy(results.scores, metric).assign(panel=metric))),
                list(results.names.values()),
                value=heading(metric, results.protocol).text,
            )
            for metric in results.metrics
        ],
        columns=max(1, 1150 // (34 * len(results.names) + 130)),
    )


def blobs(results: Results) -> Any:
    """How the rank spreads over the bootstrap samples."""
    found = results.frequencies
    return figures.blobs(
        _chosen_columns(results, found[found["count"] > 0].drop(columns="count")),
        _chosen_columns(results, results.intervals),
        order=list(results.names.values()),
    )


def tau_violins(results: Results) -> Any:
    """How the bootstrap rankings agree with the ranking on all cases, by scheme."""
    data = results.taus.assign(label=results.taus["scheme"].map(figures.SCHEME_LABELS))
    data = data.rename(columns={"task": "for_metric"})
    order = list(figures.SCHEME_LABELS.values())
    base = alt.Chart(data).encode(
        y=alt.Y("label:N", title=None, sort=order, axis=alt.Axis(labelLimit=200))
    )
    x = alt.X("tau:Q", title="Kendall's tau with the ranking on all cases")
    spots = base.mark_circle(color="#0072B2", opacity=0.75).encode(
        x=x,
        size=alt.Size(
            "share:Q",
            title="Share of samples",
            scale=alt.Scale(domain=[0, 1], range=[4, 500]),
            legend=alt.Legend(format="%", values=[0.05, 0.25, 0.5, 1]),
        ),
        tooltip=["label:N", *_numbers("tau"), alt.Tooltip("share:Q", format=".1%")],
    )
    return _styled(spots.properties(width=520, height=alt.Step(30)))


def significance_map(results: Results) -> Any:
    """Who is significantly better than whom, by each metric of the ranking."""
    table = _named(results, results.significance).assign(panel=results.significance["task"])
    table = table.assign(other=table["other"].map(results.names))
    wanted = ["algorithm", "other", "panel", "subgroup", "p_holm", "significant"]
    table = table[[*wanted, "rank_biserial", "share_better", "share_tied"]].round(4)
    order = list(results.names.values())
    return _stacked(
        [
            figures.significance_map(table[table["panel"] == metric], order).properties(
                title=heading(metric, results.protocol).text
            )
            for metric in results.metrics
        ],
        columns=max(1, 1150 // (36 * len(order) + 130)),
    )


def ranks_across_schemes(results: Results) -> Any:
    """The rank of each submission under every scheme."""
    schemes = results.schemes
    parts = [
        figures.ranks_across_schemes(
            _named(results, part.rename(columns={"submission": "algorithm"})).assign(
                for_metric=metric
            )
        )
        for (_, metric), part in schemes[schemes["subgroup"] == EVERYTHING].groupby(
            ["subgroup", "metric"]
        )
        if metric == FINAL
    ]
    return parts[0]


FIGURES: dict[str, tuple[str, Callable[[Results], Any]]] = {
    "quality_by_interaction": ("Quality over interactions", quality_by_interaction),
    "quality_over_time": ("Quality over time", quality_over_time),
    "dot_and_box": ("Every case", dot_and_box),
    "subgroups": ("By modality, structure and other groups", subgroups),
    "blobs": ("How the rank spreads", blobs),
    "significance_map": ("Who is significantly better than whom", significance_map),
    "ranks_across_schemes": ("Ranks under other schemes", ranks_across_schemes),
    "tau_violins": ("Agreement of the bootstrap rankings", tau_violins),
}
QUALITY = ("quality_by_interaction", "quality_over_time", "dot_and_box", "subgroups")
STABILITY = ("blobs", "significance_map", "ranks_across_schemes", "tau_violins")


def caption(name: str) -> str:
    """Return the caption of a figure, the one that `snakemake --report` shows as well."""
    text = (CAPTIONS / f"{name}.rst").read_text(encoding="utf-8")
    return " ".join(text.split())


def draw(folder: str | Path, results: Results) -> dict[str, dict[str, Any]]:
    """Write every figure under `folder` and return the Vega-Lite specs, with all rows, by name.

    NAME.svg, .png and .json (a Vega-Lite spec) show all cases; NAME.csv has the rows of every
    choice.
    """
    specs = {}
    with alt.data_transformers.enable("default", max_rows=None):
        for name, (_, build) in FIGURES.items():
            specs[name] = build(results).to_dict()
    start = {"subgroup": EVERYTHING, "for_metric": FINAL, "for_scheme": results.scheme}
    for name, spec in specs.items():
        chosen = choose(spec, start)
        # The PNG is made from the SVG: running Vega takes longer than all the rest.
        svg = vl_convert.vegalite_to_svg(chosen)
        rows = [row for rows in spec["datasets"].values() for row in rows]
        with atomic_write(Path(folder) / f"{name}.svg") as tmp:
            tmp.write_text(svg, encoding="utf-8")
        with atomic_write(Path(folder) / f"{name}.png") as tmp:
            tmp.write_bytes(vl_convert.svg_to_png(svg, scale=2))
        with atomic_write(Path(folder) / f"{name}.json") as tmp:
            tmp.write_text(json.dumps(chosen, allow_nan=False), encoding="utf-8")
        with atomic_write(Path(folder) / f"{name}.csv") as tmp:
            pd.DataFrame(rows).to_csv(tmp, index=False, lineterminator="\n")
    return specs


def choose(spec: dict[str, Any], choice: dict[str, str]) -> dict[str, Any]:
    """Return a spec with the rows of one choice: the value of subgroup, for_metric, for_scheme."""
    datasets = {
        key: [row for row in rows if all(row.get(k, v) == v for k, v in choice.items())]
        for key, rows in spec["datasets"].items()
    }
    return {**spec, "datasets": datasets}


def _means_by_interaction(results: Results) -> pd.DataFrame:
    """Return the means and intervals of all that is measured, by interaction and subgroup."""
    rows = [
        {"metric": name, "panel": name, "interaction": k, "column": f"{name}_{k}"}
        for name in results.measured
        for k in results.interactions
    ]
    return pd.concat(
        [
            part.assign(subgroup=group)
            for group, members in results.members.items()
            for part in _means_of_each(results, rows, cases=members)
        ],
        ignore_index=True,
    )


def _means_of_each(
    results: Results, rows: Sequence[dict[str, Any]], *, cases: set[str]
) -> Iterator[pd.DataFrame]:
    """Yield mean and 95 % bootstrap interval of the column of each row, one line per submission.

    All submissions and columns see the same samples of the cases. Missing values count for nothing.
    """
    scores = results.scores[results.scores["case"].isin(cases)]
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
    found = found.astype(float).round(5).astype({"cases": int})
    names = {"name": results.names, "shown": _shown(results)}
    for row in rows:
        part = found.loc[row["column"]].reset_index()
        columns_of_names = {key: part["submission"].map(value) for key, value in names.items()}
        yield part.assign(**columns_of_names, **{k: row[k] for k in row if k != "column"})


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
    legend = alt.Legend(title=None, symbolOpacity=1, orient="top", columns=4)
    return alt.Color("shown:N", legend=legend, scale=_scale(results, COLOURS, GREY))


def _shape(results: Results) -> alt.Shape:
    legend = alt.Legend(title=None, symbolOpacity=1, orient="top", columns=4)
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
    width: int,
    height: Any = 260,
    sort: Sequence[str] | None = None,
    x_scale: str = "independent",
) -> Any:
    header = alt.Header(labelFontSize=12, labelFontWeight="bold", title=None)
    facet = alt.Facet(f"{column}:N", header=header, sort=list(sort) if sort else alt.Undefined)
    panel = layers.properties(width=width, height=height)
    columns = _columns(layers.data[column].nunique(), 1150 // (width + 150))
    # Axes of their own: shared ones would hang below a row that is not full.
    panels = panel.facet(facet, columns=columns).resolve_axis(x="independent")
    return panels.resolve_scale(x=x_scale, y="independent")


def _columns(panels: int, most: int) -> int:
    """Return how many panels stand side by side, so that the last row is as full as can be."""
    return min(range(1, max(1, most) + 1), key=lambda n: (-(-panels // n) * n - panels, -n))


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


def _chosen_columns(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    columns = {"task": "for_metric", "scheme": "for_scheme"}
    return _named(results, table).rename(columns=columns)


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
