"""Sections of the report beside the leaderboard: effort, regret, human level, reliability, data.

Each is a table with a note, and perhaps a figure of its own under figures/; a section that a run
has no numbers for is left out. Nothing here is ranked.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from segarena.files import atomic_write
from segarena.protocol import read_yaml
from segarena.report.results import Results
from segarena.score.raters_table_step import ALL, HUMANS

NONE = "\N{EN DASH}"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999933")
_GREY = "#767676"


@dataclass(frozen=True)
class Section:
    """One section: a title, a table as text, a note, and the stem of a figure under figures/.

    head: the columns, of which the first names the row; the others hold numbers.
    """

    key: str
    title: str
    head: list[str]
    rows: list[list[str]]
    note: str
    figure: str = ""


def measures(results: Results, folder: Path) -> dict[str, Any] | None:
    """Return what the page shows of `sections`, or None where there are none."""
    found = sections(results, folder)
    return {"measures": found} if found else None


def sections(results: Results, folder: Path) -> list[Section]:
    """Return the sections that there are numbers for, and draw their figures under figures/.

    folder: results/report/PROTOCOL. The tables of the score stage (raters, reliability) and what
    `segarena fingerprint` wrote are found by their places.
    """
    figures, base = folder / "figures", folder.parents[1]
    scores = base / "score" / folder.name
    found = [
        _effort(results, figures),
        _regret(results),
        _human_level(results, figures, scores / "_raters.csv"),
        _reliability(results, figures, scores / "_probs"),
        _fingerprint(base / "fingerprint.yaml"),
    ]
    return [section for section in found if section is not None]


def _effort(results: Results, figures: Path) -> Section | None:
    if "EffortSeconds" not in results.scores:
        return None
    timed = [name for name in map(str, results.scores) if name.endswith("s") and "@" in name]
    columns = {"Boxes": "boxes", "Clicks": "clicks", "ScribbledVoxels": "scribbled voxels"}
    columns |= {"EffortSeconds": "seconds"} | {name: name for name in timed}
    model = results.protocol["series"]["effort"]
    _draw(figures / "effort.svg", _effort_chart(results))
    return Section(
        "effort",
        "Effort and quality",
        ["Submission", *columns.values()],
        _means(results, list(columns)),
        "Means over the cases. Seconds of a person by the protocol's model:"
        f" {model['box_seconds']:g} s per box, {model['click_seconds']:g} s per click,"
        f" {model['scribbled_voxel_seconds']:g} s per scribbled voxel. NAME@Ns"
        " is the metric after what a person has finished in N seconds: it can be compared with"
        " that of other protocols with the same model.",
        "effort",
    )


def _effort_chart(results: Results) -> Any:
    name = results.measured[0]
    rows = [
        {
            "name": results.names[str(submission)],
            "seconds": part[f"EffortSeconds_{k}"].mean(),
            "mean": part[f"{name}_{k}"].replace([math.inf], math.nan).mean(),
        }
        for submission, part in results.scores.groupby("submission")
        for k in results.interactions
    ]
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("seconds:Q", title="Seconds of a person per case, by the protocol's model"),
        y=alt.Y("mean:Q", title=f"{name}, mean over the cases", scale=alt.Scale(zero=False)),
        color=_colour(results),
    )
    layers = base.mark_line(strokeWidth=1.5) + base.mark_point(filled=True, size=40)
    return layers.properties(width=420, height=260)


def _regret(results: Results) -> Section | None:
    names = [str(name) for name in results.protocol["series"].get("regret", ())]
    columns = [f"{name}_{what}" for name in names for what in ("Regret", "Harmful")]
    if not names or not set(columns) <= set(results.scores):
        return None
    return Section(
        "regret",
        "Regret",
        ["Submission", *(column.replace("_", " ").lower() for column in columns)],
        _means(results, columns),
        "Means over the cases. Regret: how far the answers fell below the best that the user had"
        " already seen. Harmful: the share of interactions that made the mean worse.",
    )


def _human_level(results: Results, figures: Path, path: Path) -> Section | None:
    table = _read(path)
    if table.empty:
        return None
    metrics = list(dict.fromkeys(table["metric"]))
    mean = table.set_index(["who", "rater", "metric"])["mean"]
    raters = [str(one) for one in dict.fromkeys(table["rater"]) if one != ALL]

    def row(name: str, who: str) -> list[str]:
        return [name, *(_shown(mean.get((who, ALL, metric))) for metric in metrics)]

    rows = [row("raters (each against the others; not ranked)", HUMANS)]
    rows += [row(name, submission) for submission, name in results.names.items()]
    first = metrics[0]
    spread = [
        f"{rater} {_shown(mean.get((HUMANS, rater, first)))}"
        for rater in raters
        if (HUMANS, rater, first) in mean.index
    ]
    note = (
        "Means over labels, cases and raters, after the last interaction; submissions are scored"
        " against each rater here, and against the consensus on the leaderboard."
    )
    if spread:
        note += f" {first} of each rater against the consensus of the others: {', '.join(spread)}."
    level = {metric: mean.get((HUMANS, ALL, metric)) for metric in metrics}
    shown = [name for name in results.measured if pd.notna(level.get(name))]
    if not shown:
        return Section("human-level", "Human level", ["Who", *metrics], rows, note)
    _draw(figures / "human_level.svg", _human_chart(results, shown, level))
    note += " Dashed: the raters."
    return Section("human-level", "Human level", ["Who", *metrics], rows, note, "human_level")


def _human_chart(results: Results, names: Sequence[str], level: Mapping[str, Any]) -> Any:
    """Draw the mean of each metric over the interactions, and the raters' as a dashed line."""
    panels = []
    for name in names:
        rows = [
            {
                "name": results.names[str(submission)],
                "interaction": k,
                "mean": part[f"{name}_{k}"].replace([math.inf], math.nan).mean(),
            }
            for submission, part in results.scores.groupby("submission")
            for k in results.interactions
        ]
        axis = alt.Axis(values=list(results.interactions), format="d", grid=False)
        base = alt.Chart(pd.DataFrame(rows)).encode(
            x=alt.X("interaction:Q", title="Interaction", axis=axis),
            y=alt.Y("mean:Q", title=f"{name}, mean over the cases", scale=alt.Scale(zero=False)),
            color=_colour(results),
        )
        human = alt.Chart(pd.DataFrame({"mean": [level[name]]}))
        rule = human.mark_rule(color=_GREY, strokeDash=[5, 4], strokeWidth=1.5).encode(y="mean:Q")
        layers = rule + base.mark_line(strokeWidth=1.5) + base.mark_point(filled=True, size=40)
        panels.append(layers.properties(width=300, height=220))
    return alt.concat(*panels, columns=3)


def _reliability(results: Results, figures: Path, folder: Path) -> Section | None:
    frames = [
        _read(folder / f"{submission}.csv").assign(name=name)
        for submission, name in results.names.items()
    ]
    data = pd.concat(frames, ignore_index=True)
    if data.empty:
        return None
    data = data.dropna(subset=["share"])
    _draw(figures / "reliability.svg", _reliability_chart(results, data))
    rows = []
    for (name, label), part in data.groupby(["name", "label"], sort=False):
        gap = (part["mean_probability"] - part["share"]).abs() * part["voxels"]
        over = (part["mean_probability"] - part["share"]) * part["voxels"]
        voxels = part["voxels"].sum()
        about = results.protocol.get("labels", {}).get(str(label), {})
        rows.append(
            [
                str(name),
                about.get("name") or str(label),
                _shown(gap.sum() / voxels),
                _shown(over.sum() / voxels),
            ]
        )
    lacking = [name for name in results.names.values() if name not in set(data["name"])]
    note = (
        "Last answers, all cases together, within each label's box and 20 voxels around it. A point"
        " is a bin of probabilities; on the diagonal a label is there as often as it is said to be,"
        " below it the submission is too sure. Too sure: mean probability minus share."
    )
    if lacking:
        note += f" Without probabilities: {', '.join(lacking)}."
    head = ["Submission", "label", "calibration error", "too sure"]
    return Section("reliability", "Reliability of probabilities", head, rows, note, "reliability")


def _reliability_chart(results: Results, data: pd.DataFrame) -> Any:
    base = alt.Chart(data).encode(
        x=alt.X("mean_probability:Q", title="Probability", scale=alt.Scale(domain=[0, 1])),
        y=alt.Y("share:Q", title="Share in the label", scale=alt.Scale(domain=[0, 1])),
        color=_colour(results),
    )
    line = alt.Chart(pd.DataFrame({"x": [0, 1], "y": [0, 1], "label": [None, None]}))
    exact = line.mark_line(color=_GREY, strokeDash=[4, 3]).encode(x="x:Q", y="y:Q")
    panels = []
    for label, part in data.groupby("label", sort=False):
        about = results.protocol.get("labels", {}).get(str(label), {})
        own = base.properties(data=part)
        panel = exact + own.mark_line() + own.mark_point(filled=True, size=40)
        title = about.get("name") or f"label {label}"
        panels.append(panel.properties(width=220, height=220, title=title))
    return alt.concat(*panels, columns=4)


def _fingerprint(path: Path) -> Section | None:
    """Return what the labels are like, from the file of `segarena fingerprint`."""
    if not path.is_file():
        return None
    measured = read_yaml(path).get("measured", {})
    rows = [
        [
            label["name"] or f"label {label['label']}",
            str(label["cases"]),
            *(
                f"{_shown(low)} / {_shown(middle)} / {_shown(high)}"
                for low, middle, high in (
                    label[key] for key in ("voxels", "thickness_voxels", "components")
                )
            ),
            _shown(label["dsc_of_one_voxel"]),
        ]
        for label in measured.get("labels", ())
    ]
    if not rows:
        return None
    return Section(
        "fingerprint",
        "The data",
        ["Label", "cases", "voxels", "thickness (voxels)", "components", "DSC of one voxel"],
        rows,
        "Percentiles 10 / 50 / 90 over the cases, by `segarena fingerprint`. DSC of one voxel: of"
        " the label and itself without its outermost voxels.",
    )


def _means(results: Results, columns: Sequence[str]) -> list[list[str]]:
    """Return the mean of some columns for each submission, best submission first."""
    means = results.scores.replace([math.inf], math.nan).groupby("submission")[list(columns)].mean()
    return [
        [name, *(_shown(means.loc[submission, column]) for column in columns)]
        for submission, name in results.names.items()
    ]


def _shown(value: Any) -> str:
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def _colour(results: Results) -> alt.Color:
    names = list(results.names.values())
    colours = [_COLOURS[i] if i < len(_COLOURS) else _GREY for i in range(len(names))]
    return alt.Color(
        "name:N", legend=alt.Legend(title=None), scale=alt.Scale(domain=names, range=colours)
    )


def _draw(path: Path, chart: Any) -> None:
    with alt.data_transformers.enable("default", max_rows=None):
        svg = vl_convert.vegalite_to_svg(chart.to_dict())
    with atomic_write(path) as tmp:
        tmp.write_text(svg, encoding="utf-8")


def _read(path: Path) -> pd.DataFrame:
    """Return a table with labels as text; an empty one where there is none."""
    if not path.is_file():
        return pd.DataFrame()
    return pd.read_csv(path, dtype={"label": str, "who": str, "rater": str})
