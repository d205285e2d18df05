"""The public report: what a web site may show while the test set is in use.

It is made from the leaderboard's numbers alone, never from the full page with parts taken out, so
nothing else can slip in: no case names, images, prompts or ground truth, no groups of cases, no
messages of submissions, no hosts and no folder names.
"""

import json
from pathlib import Path
from typing import Any

from segarena.files import atomic_write
from segarena.rank.outputs import EVERYTHING
from segarena.rank.stability import FINAL
from segarena.report.calls import segarena_version
from segarena.report.headings import explained, heading
from segarena.report.page import leaderboard_data
from segarena.report.results import Results
from segarena.report.templating import TEMPLATES, environment


def write_public(folder: str | Path, results: Results) -> None:
    """Write index.html, leaderboard.json and table.html, a table to embed, under `folder`."""
    folder = Path(folder)
    board = public_leaderboard(results)
    templates = environment()
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    texts = {
        "index.html": templates.get_template("public.html").render(
            board=board,
            style=style,
            explained=explained(results.metrics, results.protocol),
        ),
        "table.html": templates.get_template("public_table.html").render(board=board),
        "leaderboard.json": json.dumps(board, ensure_ascii=False, indent=1, allow_nan=False),
    }
    for name, text in texts.items():
        with atomic_write(folder / name) as tmp:
            tmp.write_text(f"{text}\n", encoding="utf-8")


def public_leaderboard(results: Results) -> dict[str, Any]:
    """Return the leaderboard on all cases by the deciding scheme, ready for JSON."""
    data = leaderboard_data(results)
    means = [data["table"][f"{EVERYTHING}|{name}|mean_then_rank"] for name in results.metrics]
    rows = []
    for i, team in enumerate(data["teams"]):
        score, rank, low, high, share_first, group = data["table"][data["start"]][i]
        rows.append(
            {
                "rank": int(rank),
                "name": team["name"],
                "group": group,
                "rank_low": int(low),
                "rank_high": int(high),
                "share_first": share_first,
                "mean_rank": score,
                "metrics": dict(zip(results.metrics, (row[i][0] for row in means), strict=True)),
            }
        )
    days = sorted(str(moment)[:10] for moment in results.calls["ended"].dropna())
    about = {name: heading(name, results.protocol) for name in results.metrics}
    return {
        "title": results.protocol["title"],
        "protocol": results.protocol["name"],
        "version": results.protocol["version"],
        "date": days[-1] if days else None,
        "segarena": segarena_version(),
        "cases": len(results.cases),
        "interactions": len(results.interactions),
        "certain": data["certain"][f"{EVERYTHING}|{FINAL}|{results.scheme}"],
        "metrics": [
            {
                "name": name,
                "text": one.text,
                "unit": one.unit,
                "digits": one.digits,
                "larger_is_better": results.larger_is_better(name),
            }
            for name, one in about.items()
        ],
        "submissions": rows,
    }
