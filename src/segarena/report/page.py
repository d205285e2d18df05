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
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from segarena.files import atomic_write
from segarena.rank.aggregate import SCHEMES
from segarena.rank.columns import is_time
from segarena.rank.figures import SCHEME_LABELS
from segarena.rank.leaderboard import NOT_COUNTED
from segarena.rank.outputs import EVERYTHING, FAILED
from segarena.rank.stability import FINAL
from segarena.report.certainty import sentence
from segarena.report.charts import FIGURES, caption
from segarena.report.pictures import ERRORS, hex_of
from segarena.report.results import Results
from segarena.report.script import script_json, write_script

TEMPLATES = Path(__file__).with_name("templates")
# Reasons are shown as far as a reader would go; the records have the rest.
LONGEST_MESSAGE = 300
CASES_NAMED = 5
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
) -> None:
    """Write index.html and data/ under `folder`.

    failed: what `results.failures` returns. specs: what `charts.draw` returned for figures/. vega:
    the script that draws them.
    """
    folder = Path(folder)
    for submission in results.names:
        write_script(
            folder / "data" / f"team.{submission}.js",
            "segarena.team",
            [submission, _series(results, failed, submission)],
        )
    for name, spec in specs.items():
        write_script(folder / "data" / f"figure.{name}.js", "segarena.figure", [name, spec])
    board = leaderboard_data(results)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(breakable=_breakable, shown=_shown, percent=_percent)
    text = environment.get_template("index.html").render(
        protocol=results.protocol,
        board=board,
        rows=_first_rows(board),
        data=script_json(board),
        nonce=hashlib.sha256(script_json(board).encode()).hexdigest()[:32],
        certain=board["certain"][board["start"]],
        figures=[_figure(folder / "figures", name) for name in specs],
        failures=_failure_groups(failed, results),
        answers=len(results.names) * len(results.cases) * len(results.interactions),
        failed=len(failed),
        counted_missing=int((~results.missing["policy"].isin({FAILED, NOT_COUNTED})).sum()),
        uncounted=_uncounted(results),
        labels=_label_table(results),
        errors={name: hex_of(colour) for name, colour in ERRORS.items()},
        failed_times=int((results.missing["policy"] == FAILED).sum()),
        times_count=any(is_time(name) for name in results.metrics),
        spread=_spread(results),
        left_out=results.left_out,
        style=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "page.js").read_text(encoding="utf-8"),
        vega=vega,
        software=software,
    )
    with atomic_write(folder / "index.html") as tmp:
        tmp.write_text(text, encoding="utf-8")


def leaderboard_data(results: Results) -> dict[str, Any]:
    """Return everything that the leaderboard can show, ready for JSON.

    `table` maps "subgroup|metric|scheme" to a row per team, in the order of `teams`: score, rank,
    low, high, share_first. `certain` maps the same keys to a sentence.
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
    table: dict[str, list[list[float | None]]] = {}
    certain: dict[str, str] = {}
    for (subgroup, metric, scheme), part in both.groupby(
        ["subgroup", "metric", "scheme"], sort=False, observed=True
    ):
        key = f"{subgroup}|{metric}|{scheme}"
        rows: list[list[float | None]] = [[None] * 5 for _ in teams]
        columns = part[["submission", "score", "rank", "low", "high", "share_first"]]
        for name, *values in columns.itertuples(index=False):
            rows[place[name]] = [_short(value) for value in values]
        table[key] = rows
        certain[key] = sentence(
            part.rename(columns={"submission": "algorithm"}),
            results.names,
            cases=sizes[str(subgroup)],
            samples=samples,
            beaten=_beaten(results, str(subgroup), str(metric), part),
        )
    return {
        "protocol": results.protocol["name"],
        "teams": [{"id": name, "name": shown} for name, shown in results.names.items()],
        "metrics": [
            {"name": name, "larger": results.larger_is_better(name)} for name in results.metrics
        ],
        "final": FINAL,
        "schemes": [{"name": name, "label": SCHEME_LABELS[name]} for name in SCHEMES],
        "scheme": results.scheme,
        "subgroups": _subgroup_choices(results, sizes),
        "start": f"{EVERYTHING}|{FINAL}|{results.scheme}",
        "samples": samples,
        "table": table,
        "certain": certain,
        "cases": results.cases,
        "measured": results.measured,
        "interactions": len(results.interactions),
        "extremes": _extremes(results),
        "deciding": results.metrics[0],
        "labels": _names_and_colours(results),
    }


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


def _beaten(results: Results, subgroup: str, metric: str, part: pd.DataFrame) -> set[str]:
    """Return whom the first of one ranking is significantly better than, by any of its metrics."""
    first = part.loc[part["rank"] == 1, "submission"]
    tests = results.significance
    tests = tests[tests["significant"] & (tests["subgroup"] == subgroup)]
    if metric != FINAL:
        tests = tests[tests["task"] == metric]
    return set(tests.loc[tests["algorithm"].isin(first), "other"])


def _samples(results: Results) -> int:
    first = results.frequencies.groupby(["scheme", "task", "algorithm"], observed=True)["count"]
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


def _label_table(results: Results) -> dict[str, Any]:
    """Return each label's mean of the first metric by submission, and who invents labels where."""
    metric = results.measured[0] if results.measured else ""
    found = results.labels[results.labels["metric"] == metric]
    means = found.set_index(["label", "submission"])["mean"]
    last = results.invented[results.invented["interaction"] == results.interactions[-1]]
    named = results.protocol.get("labels", {})
    return {
        "metric": metric,
        "rows": [
            {
                "label": label,
                "name": named.get(label, {}).get("name", ""),
                "is_region": "members" in named.get(label, {}),
                "cases": int(found.loc[found["label"] == label, "cases"].max()),
                "means": [_short(means.get((label, name), math.nan)) for name in results.names],
            }
            for label in dict.fromkeys(found["label"])
        ],
        "invented": [int((last["submission"] == name).sum()) for name in results.names],
    }


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


def _first_rows(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the leaderboard as it is before any script has run."""
    rows = []
    for i, team in enumerate(board["teams"]):
        score, rank, low, high, share = board["table"][board["start"]][i]
        means = [
            board["table"][f"{EVERYTHING}|{metric['name']}|mean_then_rank"][i][0]
            for metric in board["metrics"]
        ]
        rows.append(
            {
                **team,
                "score": score,
                "rank": int(rank),
                "low": int(low),
                "high": int(high),
                "share": share,
                "means": means,
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


def _failure_groups(failed: pd.DataFrame, results: Results) -> list[dict[str, Any]]:
    """Return the failures, alike ones together, the most frequent first."""
    alike: dict[tuple[str, str, str], dict[str, int]] = {}
    counts: Counter[tuple[str, str, str]] = Counter()
    columns = ["submission", "status", "message", "case", "interaction"]
    for submission, status, message, case, k in failed[columns].to_numpy(dtype=object):
        key = (submission, status, message)
        counts[key] += 1
        alike.setdefault(key, {}).setdefault(case, int(k))
    return [
        {
            "id": key[0],
            "name": results.names[key[0]],
            "status": key[1],
            "message": _cut(key[2]),
            "answers": count,
            "cases": len(alike[key]),
            "named": list(alike[key].items())[:CASES_NAMED],
        }
        for key, count in counts.most_common()
    ]


def _cut(message: str) -> str:
    return message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]}…"


def _breakable(name: str) -> Markup:
    """Return a name that may be broken after an underscore and before a capital."""
    parts = re.split(r"(?<=_)|(?<=[a-z])(?=[A-Z])", name)
    return Markup("<wbr>").join(parts)


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
