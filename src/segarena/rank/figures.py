"""The figures of a ranking: from a table of this stage to a chart, nothing read or written.

Colour is never the only carrier of meaning: positions and labels say the same, significance is a
filled mark, and the scales (viridis, Okabe and Ito's two) hold for colour-blind readers and in
grey. Every chart takes all tasks or schemes that its table holds; the caller filters.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from segarena.rank.aggregate import SCHEMES, case_ranks, tasks

Chart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.VConcatChart

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#8A8A8A"
SCHEME_LABELS = {
    "mean_then_rank": "mean, then rank",
    "median_then_rank": "median, then rank",
    "rank_then_mean": "rank, then mean",
    "rank_then_median": "rank, then median",
    "test_then_rank": "test, then rank",
    "test_then_rank_holm": "test (Holm), then rank",
}
# Above this many cases the podium's lines would be one grey field.
MOST_LINES = 200
# From this many cases on quartiles say more than the dots themselves.
LEAST_FOR_BOX = 20
# The violins' bins, and the least span of taus that each is for.
BINS = ((0.05, 0.75), (0.02, 0.3), (0.01, -1.0))


def rank_frequencies(frequencies: pd.DataFrame) -> Chart:
    """Stacked bars: how often each algorithm had each rank. `Stability.frequencies`, one task."""
    order = _by_mean_rank(frequencies)
    data = _schemes_named(frequencies[frequencies["count"] > 0])
    base = alt.Chart(data).mark_bar(stroke="white", strokeWidth=0.5)
    chart = base.encode(
        x=alt.X("algorithm:N", sort=order, title=None, axis=_names()),
        y=alt.Y("share:Q", title="Share of samples", axis=alt.Axis(format="%")),
        color=_rank_colour(len(order)),
        order=alt.Order("rank:Q"),
        tooltip=["algorithm:N", "rank:Q", alt.Tooltip("share:Q", format=".1%")],
    )
    return _by_scheme(chart.properties(width=_width(len(order)), height=180), data)


def blobs(
    frequencies: pd.DataFrame, intervals: pd.DataFrame, *, order: Sequence[str] | None = None
) -> Chart:
    """Blobs as large as the share of samples at each rank, with the 95 % interval and the median.

    `Stability.frequencies` and `.intervals`, one task. order: of the algorithms, by their mean
    rank unless given.
    """
    order = order or _by_mean_rank(frequencies)
    shares = frequencies[frequencies["share"] > 0].assign(part="share")
    data = pd.concat([shares, intervals.assign(part="interval")])
    data = _schemes_named(data) if "scheme" in data else data
    x = alt.X("algorithm:N", sort=order, title=None, axis=_names())
    places = alt.Scale(domain=[0.5, len(order) + 0.5], reverse=True, nice=False)
    ticks = alt.Axis(values=list(range(1, len(order) + 1)), format="d", grid=True)
    y = alt.Y("rank:Q", title="Rank", scale=places, axis=ticks)
    base = alt.Chart(data)
    spots = base.transform_filter("datum.part == 'share'").mark_circle(color=BLUE, opacity=0.65)
    largest = max(60.0, min(400.0, 4000 / max(1, len(order))))
    size = alt.Size(
        "share:Q",
        title="Share of samples",
        scale=alt.Scale(domain=[0, 1], range=[4, largest]),
        legend=alt.Legend(format="%", values=[0.05, 0.25, 0.5, 1]),
    )
    found = base.transform_filter("datum.part == 'interval'")
    layers = alt.layer(
        spots.encode(x=x, y=y, size=size, tooltip=["algorithm:N", "rank:Q", "share:Q"]),
        found.mark_rule(color="black", strokeWidth=1.2).encode(
            x=x, y=alt.Y("low:Q", title="Rank", scale=places), y2="high:Q"
        ),
        found.mark_point(shape="cross", size=45, filled=True, color="black").encode(
            x=x, y=alt.Y("median:Q", title="Rank", scale=places)
        ),
    )
    layers = layers.properties(width=_width(len(order)), height=_height(len(order)))
    return _by_scheme(layers, data)


def tau_violins(taus: pd.DataFrame) -> Chart:
    """How the bootstrap rankings agree with the ranking on all cases. `Stability.taus`, one task.

    The width is a count in fine bins, not a smoothed density: with few algorithms tau takes few
    values, and with a certain ranking only one.
    """
    lowest = float(taus["tau"].min()) if len(taus) else 0.0
    bin_width = next(width for width, span in BINS if 1 - lowest >= span)
    data = taus.assign(
        bin=(taus["tau"] / bin_width).round() * bin_width,
        label=taus["scheme"].map(SCHEME_LABELS),
    )
    counts = data.groupby(["label", "bin"], as_index=False, observed=True).size()
    widest = counts.groupby("label")["size"].transform("max")
    counts = counts.assign(
        half=counts["size"] / widest / 2,
        other=-counts["size"] / widest / 2,
        bottom=counts["bin"] - 0.45 * bin_width,
        top=counts["bin"] + 0.45 * bin_width,
    )
    medians = data.groupby("label", as_index=False)["tau"].median()
    base = alt.Chart(pd.concat([counts, medians]))
    y = alt.Scale(domain=[min(lowest, 0.9) - bin_width, 1 + bin_width], nice=False)
    bars = (
        base.transform_filter("isValid(datum.half)")
        .mark_rect(color=BLUE, opacity=0.75)
        .encode(
            x=alt.X("other:Q", title=None, axis=None, scale=alt.Scale(domain=[-0.6, 0.6])),
            x2="half:Q",
            y=alt.Y("bottom:Q", title="Kendall's tau", scale=y),
            y2="top:Q",
            tooltip=["label:N", "bin:Q", "size:Q"],
        )
    )
    middle = (
        base.transform_filter("isValid(datum.tau)")
        .mark_tick(orient="horizontal", color="black", thickness=2, size=100, opacity=1)
        .encode(y=alt.Y("tau:Q", title="Kendall's tau", scale=y))
    )
    layers = alt.layer(bars, middle).properties(width=104, height=220)
    header = alt.Header(labelOrient="bottom", labelLimit=130, title=None, labelFontSize=10)
    column = alt.Column("label:N", sort=list(SCHEME_LABELS.values()), header=header)
    return _styled(layers.facet(column=column, spacing=4))


def significance_map(pairwise: pd.DataFrame, order: Sequence[str]) -> Chart:
    """Is the row significantly better than the column? `pairwise`, one task, `order` best first.

    Filled where it is (Holm); the number is the rank-biserial correlation, and below it, where
    there is room and any, the share of cases on which the two tie.
    """
    size = 36 if len(order) <= 12 else 22
    # Rank-biserial in a small cell: +.53 says it in four characters.
    shown = pairwise["rank_biserial"].map(
        lambda r: f"{r:+.2f}".replace("0.", ".").replace("-", "\N{MINUS SIGN}")
    )
    data = pairwise.assign(
        label=shown.where(pairwise["rank_biserial"] != 0, "0"),
        tied=pairwise["share_tied"].map(lambda s: f"={s:.0%}" if s > 0 else ""),
        verdict=np.where(pairwise["significant"], "row better, significant", "not significant"),
    )
    verdicts = alt.Scale(
        domain=["row better, significant", "not significant"], range=[BLUE, "#EEEEEE"]
    )
    base = alt.Chart(data).encode(
        x=alt.X("other:N", sort=list(order), title="than this one", axis=_names()),
        y=alt.Y("algorithm:N", sort=list(order), title="Is this one better"),
    )
    cells = base.mark_rect(stroke="white").encode(
        color=alt.Color("verdict:N", title="Number: rank-biserial; =: cases tied", scale=verdicts),
        tooltip=[
            "algorithm:N",
            "other:N",
            "p_holm:Q",
            "rank_biserial:Q",
            "share_better:Q",
            "share_tied:Q",
        ],
    )
    colour = alt.condition("datum.significant", alt.value("white"), alt.value("#333333"))
    room = size > 30
    text = base.mark_text(fontSize=10 if room else 7, dy=-5 if room else 0)
    found = [cells, text.encode(text="label:N", color=colour)]
    if room:
        tied = base.mark_text(fontSize=8, dy=8).encode(text="tied:N", color=colour)
        found.append(tied)
    layers = alt.layer(*found).properties(width=alt.Step(size), height=alt.Step(size))
    return _styled(layers)


def ranks_across_schemes(ranks: pd.DataFrame) -> Chart:
    """A line per algorithm through its ranks by each scheme. `ranks`, one task.

    Algorithms that tie are drawn a little apart, so that no line hides another.
    """
    count = ranks["algorithm"].nunique()
    shown = [scheme for scheme in SCHEMES if scheme in set(ranks["scheme"])]
    tied = ranks.groupby(["scheme", "rank"], observed=True)
    spread = (tied.cumcount() - (tied["algorithm"].transform("size") - 1) / 2) * 0.16
    data = ranks.assign(place=ranks["rank"] + spread, x=ranks["scheme"].map(shown.index))
    last = len(shown) - 1
    names = data[data["x"] == last].sort_values(["place", "algorithm"])
    height = max(_height(count), 24 * count)
    names = names.assign(
        label=_apart(names["place"].to_numpy(), least=15 * count / height, most=count + 0.5),
        x_label=last + 0.14,
        x_text=last + 0.18,
    )
    labels = [SCHEME_LABELS[scheme] for scheme in shown]
    axis = alt.Axis(
        values=list(range(len(shown))),
        labelExpr=f"{labels}[datum.value]",
        labelAngle=-20,
        grid=False,
    )
    x = alt.Scale(domain=[-0.2, last + 0.8], nice=False)
    y = alt.Y(
        "place:Q",
        title="Rank",
        scale=alt.Scale(domain=[0.4, count + 0.6], reverse=True, nice=False),
        axis=alt.Axis(values=list(range(1, count + 1)), format="d"),
    )
    colour = alt.Color("algorithm:N", legend=None, scale=_team_colours(count))
    base = alt.Chart(data).encode(x=alt.X("x:Q", title=None, scale=x, axis=axis), y=y, color=colour)
    lines = base.mark_line(strokeWidth=1.6, opacity=0.8)
    points = base.mark_point(filled=True, size=50, opacity=1).encode(
        shape=alt.Shape("algorithm:N", legend=None), tooltip=["algorithm:N", "scheme:N", "rank:Q"]
    )
    named = alt.Chart(names)
    leaders = named.mark_rule().encode(
        x=alt.X("x:Q"), x2="x_label:Q", y=y, y2="label:Q", color=colour
    )
    text = named.mark_text(align="left", fontSize=11, limit=140).encode(
        x="x_text:Q", y="label:Q", text="algorithm:N"
    )
    layers = alt.layer(lines, points, leaders, text)
    return _styled(layers.properties(width=max(380, 105 * (len(shown) + 1)), height=height))


def podium(table: pd.DataFrame, *, larger_is_better: bool, value: str = "Value") -> Chart:
    """Each case's values at the places they took, and below how often each algorithm took them.

    `table`: task, algorithm, case, value, one task. A line joins one case's values.
    """
    data = _placed(table, larger_is_better=larger_is_better)
    algorithms = sorted(data["algorithm"].unique())
    colour = alt.Color("algorithm:N", title=None, scale=_team_colours(len(algorithms)))
    count = len(algorithms)
    # A place is as wide as one, and its algorithms stand side by side in it.
    slot = data["algorithm"].map(algorithms.index)
    data = data.assign(x=data["place"] + ((slot + 0.5) / count - 0.5) * 0.8)
    x = alt.Scale(domain=[0.5, count + 0.5], nice=False, padding=0)
    places = list(range(1, count + 1))
    axis = alt.Axis(values=places, format="d", grid=False)
    width = max(380, min(1100, 26 * count * count, 95 * count))
    base = alt.Chart(data.dropna(subset=["value"])).encode(
        x=alt.X("x:Q", title=None, scale=x, axis=alt.Axis(labels=False, grid=False, values=places)),
        y=alt.Y("value:Q", title=value, scale=_value_scale(data["value"])),
    )
    dots = base.mark_circle(size=26, opacity=0.75).encode(
        color=colour, tooltip=["algorithm:N", "case:N", "value:Q", "place:Q"]
    )
    layers = [dots]
    if data["case"].nunique() <= MOST_LINES:
        lines = base.mark_line(color=GREY, strokeWidth=0.4, opacity=0.5)
        layers = [lines.encode(detail="case:N", order="x:Q"), dots]
    top = alt.layer(*layers).properties(width=width, height=260)
    counts = data.groupby(["algorithm", "place"], as_index=False).agg(
        x=("x", "first"), cases=("case", "size")
    )
    bars = alt.Chart(counts).mark_bar(size=max(2.0, 0.75 * width / count / count))
    bottom = bars.encode(
        x=alt.X("x:Q", title="Place in the case", scale=x, axis=axis),
        y=alt.Y("cases:Q", title="Cases", axis=alt.Axis(tickCount=4, tickMinStep=1)),
        color=colour,
        tooltip=["algorithm:N", "place:Q", "cases:Q"],
    )
    return _styled(alt.vconcat(top, bottom.properties(width=width, height=90), spacing=6))


def ranking_heatmap(table: pd.DataFrame, order: Sequence[str], *, larger_is_better: bool) -> Chart:
    """On how many cases did each algorithm take each place? One task, `order` best first."""
    data = _placed(table, larger_is_better=larger_is_better)
    counts = data.groupby(["algorithm", "place"], as_index=False).agg(cases=("case", "size"))
    largest = int(counts["cases"].max()) if len(counts) else 1
    size = 36 if len(order) <= 12 else 24
    base = alt.Chart(counts).encode(
        x=alt.X(
            "place:O",
            title="Place in the case",
            scale=alt.Scale(domain=list(range(1, len(order) + 1))),
            axis=alt.Axis(labelAngle=0),
        ),
        y=alt.Y("algorithm:N", sort=list(order), title=None),
    )
    scale = alt.Scale(scheme="viridis", domain=[0, largest], reverse=True)
    cells = base.mark_rect(stroke="white").encode(
        color=alt.Color("cases:Q", title="Cases", scale=scale),
        tooltip=["algorithm:N", "place:O", "cases:Q"],
    )
    dark = f"datum.cases > {largest * 0.45}"
    text = base.mark_text(fontSize=11 if size > 30 else 8).encode(
        text="cases:Q", color=alt.condition(dark, alt.value("white"), alt.value("black"))
    )
    return _styled(alt.layer(cells, text).properties(width=alt.Step(size), height=alt.Step(size)))


def dot_and_box(table: pd.DataFrame, order: Sequence[str], *, value: str = "Value") -> Chart:
    """Every case's value as a dot beside the box of its algorithm. One task, `order` best first.

    Below LEAST_FOR_BOX cases a box would be made of a handful of dots: a tick at the mean instead.
    """
    data = table.dropna(subset=["value"])
    # A fixed spread by position, not a random one: the same table is always the same picture.
    place = data.groupby("algorithm", observed=True).cumcount()
    data = data.assign(jitter=(place * 0.618034) % 1)
    base = alt.Chart(data)
    base = base.encode(
        x=alt.X("algorithm:N", title=None, axis=_names(), scale=alt.Scale(domain=list(order))),
        y=alt.Y("value:Q", title=value, scale=_value_scale(data["value"])),
    )
    step = 60 if len(order) <= 12 else 36
    opacity = 0.45 if data["case"].nunique() <= 100 else 0.2
    size = 14 if len(data) > 20 * len(order) else 36
    dots = base.mark_circle(size=size, color=BLUE, opacity=opacity).encode(
        xOffset=alt.XOffset("jitter:Q", scale=alt.Scale(domain=[-0.3, 1.3])),
        tooltip=["algorithm:N", "case:N", "value:Q"],
    )
    if place.max() + 1 < LEAST_FOR_BOX:
        mean = base.mark_tick(color=ORANGE, thickness=3, size=step * 0.5, opacity=1)
        mean = mean.encode(y=alt.Y("mean(value):Q", title=value))
        return _styled(alt.layer(dots, mean).properties(width=_width(len(order)), height=280))
    box = base.mark_boxplot(
        size=step * 0.5,
        outliers=False,
        box={"fill": None, "stroke": "black", "strokeWidth": 1.2},
        median={"color": ORANGE, "thickness": 3, "opacity": 1},
        rule={"color": "black"},
    )
    return _styled(alt.layer(dots, box).properties(width=_width(len(order)), height=280))


def critical_difference(
    mean_ranks: pd.DataFrame, pairwise: pd.DataFrame, *, alpha: float = 0.05
) -> Figure:
    """Mean ranks on an axis; a bar joins those that the Nemenyi test does not tell apart.

    `significance.mean_ranks` and `pairwise`, one task, at least two algorithms. By scikit-posthocs.
    """
    from scikit_posthocs import critical_difference_diagram

    ranks = mean_ranks.set_index("algorithm")["mean_rank"]
    p = pairwise.pivot(index="algorithm", columns="other", values="p_nemenyi")
    p = p.loc[ranks.index, ranks.index].fillna(1.0)
    figure = Figure(figsize=(6, 1.2 + 0.17 * len(ranks)))
    axes = figure.add_subplot()
    names = _short_names(ranks.index.to_list())
    critical_difference_diagram(
        ranks.rename(names),
        p.rename(index=names, columns=names),
        alpha=alpha,
        ax=axes,
        label_fmt_left="{label} ({rank:.2f})",
        label_fmt_right="({rank:.2f}) {label}",
        color_palette=dict.fromkeys(names.values(), "black"),
        crossbar_props={"color": BLUE, "marker": None},
        elbow_props={"linewidth": 1},
        text_h_margin=0.03,
    )
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("Mean rank over the cases")
    return figure


def _placed(table: pd.DataFrame, *, larger_is_better: bool) -> pd.DataFrame:
    parts = []
    for task in tasks(table):
        placed = case_ranks(task.values, larger_is_better=larger_is_better)
        parts.append(
            pd.DataFrame(
                {
                    "algorithm": np.tile(task.algorithms, len(task.cases)),
                    "case": np.repeat(task.cases, len(task.algorithms)),
                    "value": task.values.ravel(),
                    "place": placed.ravel().astype(int),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _value_scale(values: pd.Series) -> alt.Scale:
    lowest, highest = values.min(), values.max()
    if pd.isna(lowest):
        return alt.Scale(domain=[0, 1])
    if lowest == highest:
        # Left alone, the axis of a constant has a single tick, rounded to a whole number.
        room = abs(lowest) / 2 or 0.5
        return alt.Scale(domain=[lowest - room, highest + room], nice=False)
    return alt.Scale(zero=False)


def _short_names(names: Sequence[str]) -> dict[str, str]:
    # Long names would push the diagram aside, and a $ would start mathematics.
    short = {name: name if len(name) <= 26 else f"{name[:25]}…" for name in names}
    if len(set(short.values())) < len(short):
        short = {name: name for name in names}
    return {name: text.replace("$", r"\$") for name, text in short.items()}


def _apart(places: np.ndarray, *, least: float, most: float) -> np.ndarray:
    # Sorted label positions at least `least` apart, and none beyond `most`.
    found = places.copy()
    for i in range(1, len(found)):
        found[i] = max(found[i], found[i - 1] + least)
    found[-1:] = np.minimum(found[-1:], most)
    for i in range(len(found) - 2, -1, -1):
        found[i] = min(found[i], found[i + 1] - least)
    return found


def _by_mean_rank(frequencies: pd.DataFrame) -> list[str]:
    weighed = frequencies.assign(total=frequencies["rank"] * frequencies["share"])
    means = weighed.groupby("algorithm", observed=True)["total"].sum().reset_index()
    return means.sort_values(["total", "algorithm"])["algorithm"].to_list()


def _schemes_named(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(label=table["scheme"].map(SCHEME_LABELS))


def _by_scheme(chart: Any, data: pd.DataFrame) -> Chart:
    if "scheme" not in data or data["scheme"].nunique() <= 1:
        return _styled(chart)
    header = alt.Header(labelFontSize=12, labelFontWeight="bold", title=None)
    facet = alt.Facet("label:N", sort=list(SCHEME_LABELS.values()), header=header)
    wide = 3 if data["algorithm"].nunique() <= 12 else 2
    return _styled(chart.facet(facet, columns=wide))


def _rank_colour(count: int) -> alt.Color:
    scale = alt.Scale(scheme="viridis", domain=[1, max(2, count)])
    legend = alt.Legend(format="d", values=list(range(1, count + 1)), type="symbol", columns=1)
    return alt.Color("rank:Q", title="Rank", scale=scale, legend=legend)


def _team_colours(count: int) -> alt.Scale:
    okabe_ito = [BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999933"]
    return alt.Scale(range=okabe_ito) if count <= len(okabe_ito) else alt.Scale(scheme="category20")


def _names() -> alt.Axis:
    return alt.Axis(labelAngle=-40, labelLimit=140, labelOverlap=False)


def _width(count: int) -> int:
    return max(150, min(900, (34 if count <= 12 else 24) * count))


def _height(count: int) -> int:
    return max(140, min(560, 34 * count))


def _styled(chart: Any) -> Any:
    configured = chart.configure_view(stroke=None).configure_axis(
        labelFontSize=11, titleFontSize=12, titleFontWeight="normal", gridColor="#E5E5E5"
    )
    return configured.configure_legend(labelFontSize=11, titleFontSize=11)
