"""The report: index.html and the data that it loads when it is looked at.

The page opens from disk, where a browser lets it fetch nothing; what is too large for the page
itself therefore is in small scripts that it adds when they are needed. Whatever a submission has
a say in (names, messages) is text: Jinja escapes it in the page, `script_json` in scripts, and the
page's own script only ever sets textContent. A content security policy backs that: no
script without the page's nonce or from its folder, nothing from elsewhere.
"""

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segarena.files import atomic_write
from segarena.rank.aggregate import SCHEMES
from segarena.rank.calls import FINE
from segarena.rank.columns import base_of, is_time
from segarena.rank.figures import SCHEME_LABELS
from segarena.rank.leaderboard import NOT_COUNTED
from segarena.rank.outputs import EVERYTHING, FAILED
from segarena.rank.stability import FINAL
from segarena.report.calls import (
    failed_cases,
    first_calls,
    provenance,
    resources,
    trust,
    where_it_fails,
    worded,
)
from segarena.report.certainty import sentence
from segarena.report.charts import FIGURES, QUALITY, STABILITY, caption
from segarena.report.headings import explained, heading
from segarena.report.measures import measures
from segarena.report.pictures import ERRORS, hex_of
from segarena.report.results import Results
from segarena.report.script import script_json, write_script
from segarena.report.templating import TEMPLATES, environment

# Reasons are shown as far as a reader would go; the records have the rest.
LONGEST_MESSAGE = 300
NONE = "\N{EN DASH}"
# Above this many bytes a browser is faster with pixels than with marks.
LARGEST_SVG = 1_000_000


def write(
    folder: str | Path,
    results: Results,
    *,
    failed: pd.DataFrame,
    specs: Mapping[str, Any],
    vega: str,
    software: str,
    viewer: bool = False,
) -> None:
    """Write index.html, data/ and the tables behind the page under `folder`.

    failed: what `results.failures` returns. specs: what `charts.draw` returned for figures/. vega:
    the script that draws them. viewer: whether viewer/ is beside the page.
    """
    folder = Path(folder)
    for submission in results.names:
        write_script(
            folder / "data" / f"team.{submission}.js",
            "segarena.team",
            [submission, _series(results, failed, submission)],
        )
    for name, spec in specs.items():
        write_script(folder / "data" / f"figure.{name}.js", "segarena.figure", [name, packed(spec)])
    with atomic_write(folder / "data" / "vega.js") as tmp:
        tmp.write_text(f"(() => {{\n{vega}\n}})();\n", encoding="utf-8")
    board = leaderboard_data(results)
    facts = Facts(results, board, failed, failed_cases(results, failed), folder, tuple(specs))
    write_script(folder / "data" / "failures.js", "segarena.failures", [_failure_rows(facts)])
    _write_tables(folder / "tables", facts)
    templates = environment()
    templates.globals.update(shown=_shown, percent=_percent, fixed=_fixed)
    found = ((name, title, values(facts)) for name, title, values in SECTIONS)
    sections = [(name, title, values) for name, title, values in found if values is not None]
    text = templates.get_template("index.html").render(
        protocol=results.protocol,
        board=board,
        answers=_answers(facts),
        provenance=provenance(results),
        sections=sections,
        data=script_json(board),
        nonce=hashlib.sha256(script_json(board).encode()).hexdigest()[:32],
        style=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "page.js").read_text(encoding="utf-8"),
        software=software,
        viewer=viewer,
    )
    with atomic_write(folder / "index.html") as tmp:
        tmp.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Facts:
    """What the sections are made from.

    board: `leaderboard_data`. failed: `results.failures`. failing: `calls.failed_cases`. folder:
    of the page. figures: the names of those that were drawn.
    """

    results: Results
    board: dict[str, Any]
    failed: pd.DataFrame
    failing: pd.DataFrame
    folder: Path
    figures: tuple[str, ...]


def _leaderboard(facts: Facts) -> dict[str, Any]:
    results = facts.results
    return {
        "rows": _first_rows(facts),
        "explained": explained(results.metrics, results.protocol),
        "counted_missing": int((~results.missing["policy"].isin({FAILED, NOT_COUNTED})).sum()),
        "uncounted": _uncounted(results),
        "failed_times": int((results.missing["policy"] == FAILED).sum()),
        "times_count": any(is_time(name) for name in results.metrics),
        "spread": _spread(results),
        "left_out": results.left_out,
    }


def _heat_map(facts: Facts) -> dict[str, Any] | None:
    return {} if facts.results.measured else None


def _quality(facts: Facts) -> dict[str, Any] | None:
    return _figures(facts, QUALITY)


def _stability(facts: Facts) -> dict[str, Any] | None:
    return _figures(facts, STABILITY)


def _figures(facts: Facts, names: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the figures of a section, or None where there are none."""
    figures = [_figure(facts.folder / "figures", name) for name in names if name in facts.figures]
    return {"figures": figures} if figures else None


def _figure(folder: Path, name: str) -> dict[str, Any]:
    """Return what the page says of a figure, and the picture that stands in until it is drawn."""
    drawn = folder / f"{name}.svg"
    with drawn.open(encoding="utf-8") as file:
        size = re.search(r'viewBox="0 0 (\d+)[.\d]* (\d+)[.\d]*"', file.read(2000))
    small = drawn.stat().st_size < LARGEST_SVG
    return {
        "name": name,
        "title": FIGURES[name][0],
        "caption": caption(name),
        "picture": f"{name}.{'svg' if small else 'png'}",
        "renderer": "svg" if small else "canvas",
        "width": size[1] if size else "",
        "height": size[2] if size else "",
    }


def _labels(facts: Facts) -> dict[str, Any] | None:
    return {} if facts.board["label_rows"] else None


def _failures(facts: Facts) -> dict[str, Any]:
    return {
        "failed": len(facts.failed),
        "cases": len(facts.failing),
        "answers": len(first_calls(facts.results)),
        "sentence": where_it_fails(facts.results, facts.failing),
    }


def _resources(facts: Facts) -> dict[str, Any] | None:
    return {} if facts.board["resources"] else None


def _cases(facts: Facts) -> dict[str, Any]:
    return {"errors": {name: hex_of(colour) for name, colour in ERRORS.items()}}


SECTIONS: tuple[tuple[str, str, Callable[[Facts], dict[str, Any] | None]], ...] = (
    ("leaderboard", "Leaderboard", _leaderboard),
    ("heat-map", "Every case", _heat_map),
    ("cases", "Look at a case", _cases),
    ("failures", "Failures", _failures),
    ("quality", "Quality", _quality),
    ("labels", "Labels and regions", _labels),
    ("resources", "Time and memory", _resources),
    ("stability", "Stability and significance", _stability),
    ("measures", "Beside the ranking", lambda facts: measures(facts.results, facts.folder)),
)
"""The sections of the page in their order: id, title, and the function that returns the values of
templates/sections/ID.html, or None where the run has nothing for it."""


def packed(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Vega-Lite spec with its rows as tables: columns, texts of each, rows of numbers."""
    datasets = {}
    for key, rows in spec["datasets"].items():
        columns = list(dict.fromkeys(name for row in rows for name in row))
        texts: dict[str, dict[str, int]] = {
            name: {} for name in columns if any(isinstance(row.get(name), str) for row in rows)
        }
        table = [
            [
                texts[name].setdefault(row[name], len(texts[name]))
                if name in texts and name in row and row[name] is not None
                else row.get(name)
                for name in columns
            ]
            for row in rows
        ]
        datasets[key] = {
            "columns": columns,
            "texts": {name: list(numbers) for name, numbers in texts.items()},
            "rows": table,
        }
    return {**spec, "datasets": datasets}


def _answers(facts: Facts) -> dict[str, Any]:
    """Return the short answers of the first screen."""
    results, board = facts.results, facts.board
    leader = board["teams"][0]
    shown_cases = board["extremes"].get(leader["id"], ())
    metric = results.measured[0] if results.measured else None
    hardest = None
    if metric:
        column = f"{metric}_{results.interactions[-1]}"
        means = results.first.groupby("case")[column].mean().dropna()
        if len(means):
            is_larger = board["measures"][0]["larger"]
            case = str(means.idxmin() if is_larger else means.idxmax())
            best = results.first[results.first["case"] == case].set_index("submission")[column]
            team = str(best.idxmax() if is_larger else best.idxmin())
            hardest = {
                "case": case,
                "team": team,
                "name": results.names[team],
                "value": _shown(_short(best[team])),
                "metric": metric,
            }
    return {
        "certain": board["certain"][board["start"]],
        "trust": trust(results),
        "fails": where_it_fails(results, facts.failing),
        "hardest": hardest,
        "leader": leader,
        "looks": list(zip(("best", "median", "worst"), shown_cases, strict=False)),
    }


def _failure_rows(facts: Facts) -> dict[str, Any]:
    """Return the failures by submission and case, with places in place of names."""
    teams = {name: i for i, name in enumerate(facts.results.names)}
    cases = {name: i for i, name in enumerate(facts.results.cases)}
    messages: dict[str, int] = {}
    rows = []
    for row in facts.failing.to_dict("records"):
        message = messages.setdefault(_cut(row["message"]), len(messages))
        rows.append(
            [
                teams[row["submission"]],
                cases[row["case"]],
                row["first"],
                row["last"],
                row["calls"],
                worded(row["status"]),
                message,
            ]
        )
    return {"rows": rows, "messages": list(messages)}


def _write_tables(folder: Path, facts: Facts) -> None:
    """Write the tables that the page shows as CSV, for spreadsheets."""
    results = facts.results
    columns = [f"{name}_{results.interactions[-1]}" for name in results.measured]
    tables = {
        "cases": results.first[["submission", "case", *columns]],
        "failures": facts.failing,
        "resources": pd.DataFrame(resources(results, results.members)),
        "labels": results.labels,
    }
    for name, table in tables.items():
        with atomic_write(folder / f"{name}.csv") as tmp:
            table.to_csv(tmp, index=False, lineterminator="\n")


def leaderboard_data(results: Results) -> dict[str, Any]:
    """Return everything that the leaderboard can show, ready for JSON.

    `table` maps "subgroup|metric|scheme" to a row per team, in the order of `teams`: score, rank,
    low, high, share_first, group (see `significance_groups`). `certain` maps the same keys to a
    sentence.
    """
    teams = list(results.names)
    place = {name: i for i, name in enumerate(teams)}
    both = results.schemes.merge(
        results.intervals.rename(columns={"task": "metric", "algorithm": "submission"}).drop(
            columns="rank"
        ),
        on=["subgroup", "metric", "scheme", "submission"],
    )
    samples = _samples(results)
    sizes = _subgroup_sizes(results)
    beaten = _beaten(results)
    table: dict[str, list[list[float | None]]] = {}
    certain: dict[str, str] = {}
    for (subgroup, metric, scheme), part in both.groupby(
        ["subgroup", "metric", "scheme"], sort=False, observed=True
    ):
        key = f"{subgroup}|{metric}|{scheme}"
        rows: list[list[float | None]] = [[None] * 6 for _ in teams]
        by = beaten.get((str(subgroup), str(metric)), {})
        ordered = part.sort_values(["rank", "submission"])
        group = significance_groups(list(ordered["submission"]), by)
        columns = part[["submission", "score", "rank", "low", "high", "share_first"]]
        for name, *values in columns.itertuples(index=False):
            rows[place[name]] = [*map(_short, values), group[name]]
        table[key] = rows
        first = part.loc[part["rank"] == 1, "submission"]
        certain[key] = sentence(
            part.rename(columns={"submission": "algorithm"}),
            results.names,
            cases=sizes[str(subgroup)],
            samples=samples,
            beaten=set().union(*(by.get(name, set()) for name in first)),
        )
    last = results.interactions[-1]
    final = results.first.set_index(["submission", "case"])
    final = final[~final.index.duplicated()]
    every = pd.MultiIndex.from_product([teams, results.cases], names=["submission", "case"])
    return {
        "protocol": results.protocol["name"],
        "teams": [{"id": name, "name": shown} for name, shown in results.names.items()],
        "metrics": [_metric(results, name) for name in results.metrics],
        "final": FINAL,
        "schemes": [{"name": name, "label": SCHEME_LABELS[name]} for name in SCHEMES],
        "scheme": results.scheme,
        "subgroups": _subgroup_choices(results, sizes),
        "groups": _groups_of_cases(results),
        "start": f"{EVERYTHING}|{FINAL}|{results.scheme}",
        "samples": samples,
        "table": table,
        "certain": certain,
        "cases": results.cases,
        "measured": results.measured,
        "measures": [_metric(results, f"{name}_{last}", name) for name in results.measured],
        "values": [
            _rows(final[f"{name}_{last}"].reindex(every).to_numpy(), len(teams))
            for name in results.measured
        ],
        "asked": _asked(results),
        "interactions": len(results.interactions),
        "extremes": _extremes(results),
        "deciding": heading(results.metrics[0], results.protocol).text,
        "label_rows": _label_rows(results),
        "invented": _invented_cases(results),
        "resources": _resource_rows(results),
        "labels": _names_and_colours(results),
    }


def significance_groups(order: list[str], beaten: Mapping[str, set[str]]) -> dict[str, int]:
    """Return each submission's group, from 1: a new one begins with whom the first of it beats.

    order: the submissions, best first. beaten: whom each is significantly better than.
    """
    found: dict[str, int] = {}
    number, first = 1, ""
    for name in order:
        first = first or name
        if name in beaten.get(first, ()):
            number, first = number + 1, name
        found[name] = number
    return found


def _metric(results: Results, name: str, shown: str = "") -> dict[str, Any]:
    """Return what the page's script needs to know of a column of the teams' tables."""
    about = heading(name, results.protocol)
    digits = about.digits
    values = results.scores[name] if name in results.scores else pd.Series(dtype=float)
    if about.high is None and is_time(name) is False and values.abs().max() >= 100:
        digits = 1
    return {
        "name": shown or name,
        "text": shown or about.text,
        "unit": about.unit,
        "digits": digits,
        "low": about.low,
        "high": about.high,
        "base": base_of(name),
        "larger": results.larger_is_better(name),
    }


def _rows(values: np.ndarray, teams: int) -> list[list[float | None]]:
    rounded = [round(float(v), 3) if math.isfinite(v) else None for v in values]
    width = len(rounded) // max(1, teams)
    return [rounded[i * width : (i + 1) * width] for i in range(teams)]


def _groups_of_cases(results: Results) -> dict[str, dict[str, Any]]:
    """Return the values of each column of the sheet, and which of them each case has, by place."""
    columns = dict.fromkeys(column for case in results.groups.values() for column in case)
    found = {}
    for column in columns:
        values = sorted({case[column] for case in results.groups.values() if column in case})
        of = [results.groups.get(case, {}).get(column) for case in results.cases]
        found[column] = {
            "values": values,
            "of": [None if value is None else values.index(value) for value in of],
        }
    return found


def _asked(results: Results) -> list[list[int]]:
    """Return how many calls each submission was asked on each case, and how many were usable."""
    calls = first_calls(results)
    calls = calls[calls["status"] != "not_asked"]
    counts = calls.groupby(["submission", "case"]).size()
    usable = calls[calls["status"].isin(FINE)].groupby(["submission", "case"]).size()
    every = pd.MultiIndex.from_product([results.names, results.cases])
    both = [s.reindex(every).fillna(0).astype(int).to_numpy() for s in (counts, usable)]
    width = len(results.cases)
    return [
        [int(n) for pair in zip(*(one[i : i + width] for one in both), strict=True) for n in pair]
        for i in range(0, width * len(results.names), width)
    ]


def _resource_rows(results: Results) -> dict[str, list[list[Any]]]:
    """Return time and memory by group of cases: a row per submission, in the order of the page."""
    place = {name: i for i, name in enumerate(results.names)}
    found: dict[str, list[list[Any]]] = {}
    for row in resources(results, results.members):
        group, submission = row.pop("group"), row.pop("submission")
        if submission in place:
            values = [_short(v) if isinstance(v, float) else v for v in row.values()]
            found.setdefault(group, []).append([place[submission], *values])
    return {group: sorted(rows, key=lambda row: int(row[0])) for group, rows in found.items()}


def _beaten(results: Results) -> dict[tuple[str, str], dict[str, set[str]]]:
    """Return whom each is significantly better than, by subgroup and metric; "final": by any."""
    tests = results.significance
    tests = tests[tests["significant"].astype(bool)]
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for subgroup, task, name, other in tests[["subgroup", "task", "algorithm", "other"]].itertuples(
        index=False
    ):
        for metric in (task, FINAL):
            found.setdefault((subgroup, metric), {}).setdefault(name, set()).add(other)
    return found


def _samples(results: Results) -> int:
    first = results.frequencies.groupby(["subgroup", "scheme", "task", "algorithm"], observed=True)[
        "count"
    ]
    return int(first.sum().max()) if len(results.frequencies) else 0


def _uncounted(results: Results) -> list[dict[str, Any]]:
    """Return the columns of the ranking that fewer cases count for than there are."""
    out = results.missing[results.missing["policy"] == NOT_COUNTED]
    by_case = out.groupby(["metric", "case"])["submission"].nunique()
    everybody = by_case[by_case == len(results.names)].reset_index()
    return [
        {"metric": name, "cases": len(results.cases) - int((everybody["metric"] == name).sum())}
        for name in results.metrics
        if (everybody["metric"] == name).any()
    ]


def _names_and_colours(results: Results) -> dict[str, dict[str, str]]:
    """Return the names of labels by their ids, and the colours of those that have their own."""
    return {
        label: {key: about[key] for key in ("name", "colour") if key in about}
        for label, about in results.protocol.get("labels", {}).items()
        if "members" not in about
    }


def _label_rows(results: Results) -> dict[str, list[dict[str, Any]]]:
    """Return each label's and region's mean by submission, by metric."""
    named = results.protocol.get("labels", {})
    rows: dict[str, list[dict[str, Any]]] = {}
    for metric in results.measured:
        found = results.labels[results.labels["metric"] == metric]
        means = found.set_index(["label", "submission"])["mean"]
        for label in dict.fromkeys(found["label"]):
            rows.setdefault(metric, []).append(
                {
                    "label": label,
                    "name": named.get(label, {}).get("name", ""),
                    "is_region": "members" in named.get(label, {}),
                    "cases": int(found.loc[found["label"] == label, "cases"].max()),
                    "means": [_short(means.get((label, name), math.nan)) for name in results.names],
                }
            )
    return rows


def _invented_cases(results: Results) -> list[int]:
    """Return in how many cases a last answer has a label that was not asked for."""
    last = results.invented[results.invented["interaction"] == results.interactions[-1]]
    return [int((last["submission"] == name).sum()) for name in results.names]


def _subgroup_sizes(results: Results) -> dict[str, int]:
    sizes = {EVERYTHING: len(results.cases)}
    counted = [f"{metric}_cases" for metric in results.metrics]
    for row in results.by_label.drop_duplicates("subgroup").to_dict("records"):
        sizes[row["subgroup"]] = int(max(row[column] for column in counted))
    for case in results.cases:
        for column, value in results.groups.get(case, {}).items():
            sizes[f"{column}: {value}"] = sizes.get(f"{column}: {value}", 0) + 1
    return sizes


def _subgroup_choices(results: Results, sizes: dict[str, int]) -> list[dict[str, Any]]:
    ranked = set(results.schemes["subgroup"])
    chosen = [name for name in sizes if name in ranked]
    return [
        {
            "name": name,
            "column": "" if name == EVERYTHING else name.split(": ", 1)[0],
            "value": "all cases" if name == EVERYTHING else name.split(": ", 1)[1],
            "cases": sizes[name],
        }
        for name in sorted(chosen, key=lambda name: (name != EVERYTHING, name))
    ]


def _first_rows(facts: Facts) -> list[dict[str, Any]]:
    """Return the leaderboard as it is before any script has run."""
    board = facts.board
    rows = []
    for i, team in enumerate(board["teams"]):
        score, rank, low, high, share, group = board["table"][board["start"]][i]
        means = [
            board["table"][f"{EVERYTHING}|{metric['name']}|mean_then_rank"][i][0]
            for metric in board["metrics"]
        ]
        asked, usable = sum(board["asked"][i][::2]), sum(board["asked"][i][1::2])
        rows.append(
            {
                **team,
                "score": score,
                "rank": int(rank),
                "low": int(low),
                "high": int(high),
                "share": share,
                "group": group,
                "means": means,
                "usable": usable / asked if asked else None,
                "failed": int((facts.failing["submission"] == team["id"]).sum()),
            }
        )
    return rows


def _spread(results: Results) -> list[dict[str, Any]]:
    """Return one row per submission, best first, where the protocol is repeated."""
    if results.protocol.get("repeat", 1) == 1:
        return []
    columns = ["submission", "metric", "mean", "standard_deviation"]
    found = {
        (submission, metric): (_short(mean), _short(deviation))
        for submission, metric, mean, deviation in results.spread[columns].to_numpy(dtype=object)
    }
    return [
        {"name": name, "values": [found[submission, metric] for metric in results.metrics]}
        for submission, name in results.names.items()
    ]


def _extremes(results: Results) -> dict[str, list[str]]:
    """Return each team's best, median and worst case by the first metric of the ranking."""
    metric = results.metrics[0]
    found = {}
    for submission, part in results.first.groupby("submission"):
        ordered = part.dropna(subset=[metric]).sort_values(
            [metric, "case"], ascending=[not results.larger_is_better(metric), True]
        )["case"]
        if len(ordered):
            found[str(submission)] = [
                ordered.iloc[0],
                ordered.iloc[(len(ordered) - 1) // 2],
                ordered.iloc[-1],
            ]
    return found


def _series(results: Results, failed: pd.DataFrame, submission: str) -> dict[str, Any]:
    part = results.first[results.first["submission"] == submission].set_index("case")
    part = part.reindex(results.cases)
    numbered = results.interactions
    own = failed[failed["submission"] == submission]
    invented = results.invented[results.invented["submission"] == submission]
    return {
        "values": {
            name: [
                [_short(value) for value in row]
                for row in part[[f"{name}_{k}" for k in numbered]].to_numpy()
            ]
            for name in results.measured
        },
        "seconds": [
            [_short(value) for value in row]
            for row in part[[f"RunningTime_{k}" for k in numbered]].to_numpy()
        ],
        "deciding": [_short(value) for value in part[results.metrics[0]]],
        "invented": [
            [case, int(k), int(labels)]
            for case, k, labels in invented[["case", "interaction", "labels"]].to_numpy(
                dtype=object
            )
        ],
        "failed": [
            [case, int(k), f"{status}: {message}"[:LONGEST_MESSAGE]]
            for case, k, status, message in own[
                ["case", "interaction", "status", "message"]
            ].to_numpy(dtype=object)
        ],
    }


def _cut(message: str) -> str:
    return message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]}…"


def _fixed(value: float | None, digits: int) -> str:
    """Return a number with as many digits as its column has."""
    return NONE if value is None else f"{value:.{digits}f}"


def _shown(value: float | None) -> str:
    """Return a number as the page's own script writes it."""
    if value is None:
        return NONE
    return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 5 else 3}f}"


def _percent(share: float | None) -> str:
    if share is None:
        return NONE
    if 0 < share < 0.01:
        return "< 1 %"
    return "> 99 %" if 0.99 < share < 1 else f"{share * 100:.0f} %"


def _short(value: float) -> float | None:
    """Return four significant digits, which is what a page shows; None for no value."""
    value = float(value)
    return float(f"{value:.4g}") if math.isfinite(value) else None
