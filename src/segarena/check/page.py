"""The check as one HTML file: verdict, pictures of the answers over the interactions, all findings.

Nothing is loaded from elsewhere and no script runs. What a stranger wrote (messages, logs, names)
is escaped. Pictures are those of the organisers' report (segarena.report.pictures).
"""

import base64
import html
import tempfile
from itertools import groupby
from pathlib import Path

from segarena.case import read_answer, read_image, read_truth
from segarena.check.judge import FAILED, PASSED, Finding
from segarena.check.report import Report
from segarena.check.sessions import Call
from segarena.files import atomic_write, read_json
from segarena.protocol import label_colours
from segarena.report.pictures import View, describe, write_answers, write_case, write_truth
from segarena.report.prepared import case_view

_MOST_IN_LEGEND = 12
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1200px;padding:0 1rem;
color:#1c2330}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}
.verdict{padding:.6rem 1rem;border-radius:6px;color:#fff;background:#1f6f43}
.verdict.warn{background:#8a5a00}.verdict.fail{background:#a3262a}
table{border-collapse:collapse;font-size:13px}td,th{padding:.2rem .7rem;
border-bottom:1px solid #dde2ea;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}
.finding{margin:.5rem 0;padding:.4rem .8rem;border-left:4px solid #1f6f43;background:#f6f8fa}
.finding.warn{border-color:#c98500}.finding.fail{border-color:#a3262a}
.cure{color:#445}pre{background:#1c2330;color:#e8ecf3;padding:.6rem;overflow-x:auto;font-size:12px}
.wide{display:flex;gap:1rem;overflow-x:auto;padding-bottom:.5rem}.call{margin:0;flex:none}
.call figcaption{font-size:13px}.call .layers{position:relative;background-repeat:no-repeat}
.layers span{position:absolute;inset:0;background-repeat:no-repeat}
.swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .25em 0 .9em}
"""


def write_page(report: Report) -> Path:
    """Write index.html into the check's folder and return its path."""
    kind = "fail" if not report.passed else "" if report.verdict == "PASS" else "warn"
    parts = [
        "<!doctype html>",
        '<html lang="en"><meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">",
        f"<title>{_text(report.verdict)}: {_text(report.submission)}</title>",
        f"<style>{_STYLE}</style>",
        f'<h1 class="verdict {kind}">{_text(report.headline)}</h1>',
        *(_finding(f) for f in report.findings if f.level != PASSED),
    ]
    if report.calls:
        parts.append("<h2>The answers</h2>")
        parts.append(
            "<p>Each picture has the middle slices of the largest label. Tinted: the ground "
            "truth. Outlines: the answer. Dashed: the box. + and x: clicks on the label and on "
            "the background. Scroll a row for the next interactions.</p>"
        )
        made = (call for call in report.calls if call["status"] != "not_asked")
        by_case = groupby(made, key=lambda call: call["case"])
        for number, (case, calls) in enumerate(by_case):
            parts.append(_case(number, case, list(calls), report))
        parts += ["<h2>All calls</h2>", _table(report.rows())]
    passed = [_finding(f) for f in report.findings if f.level == PASSED]
    parts += ["<h2>What passed</h2>", *passed] if passed else []
    page = report.folder / "index.html"
    with atomic_write(page) as tmp:
        tmp.write_text("\n".join(parts), encoding="utf-8")
    return page


def _case(number: int, case: str, calls: list[Call], report: Report) -> str:
    """Return the pictures of a case: its slices once, and a window on its answers per call."""
    folder = Path(calls[0]["folder"]).parent
    truth = read_truth(folder / "truth.npz")
    colours = label_colours(report.protocol.get("labels", {}))
    view = case_view(folder / "truth.npz", truth, colours)
    answers = [read_answer(Path(call["folder"], "answer.npz")) for call in calls]
    prompts = [read_json(folder / "session" / f"prompts{c['interaction']}.json") for c in calls]
    with tempfile.TemporaryDirectory(dir=report.folder) as name:
        image, outline, layer = (Path(name, part) for part in ("image", "truth", "answers"))
        write_case(image, view, read_image(folder / "image.npz"))
        write_truth(outline, view, truth.gts)
        write_answers(layer, view, answers, prompts)
        ground = f"{_url(outline, 'png')},{_url(image, 'webp')}"
        drawn = _url(layer, "png")
    figures = []
    for row, call in enumerate(calls):
        scores = [
            f"{metric} {call['scores'][metric]:.3f}"
            for metric in report.metrics
            if call["scores"].get(metric) is not None
        ]
        words = [f"{call['interaction']} {call['prompt']}: {call['status']}", *scores]
        figures.append(
            f'<figure class="call"><figcaption>{_text(", ".join(words))}</figcaption>'
            f'<div class="layers g{number}"><span class="a{number}" '
            f'style="background-position:0 -{row * view.height}px"></span></div></figure>'
        )
    size = f"width:{view.width}px;height:{view.height}px"
    style = (
        f"<style>.g{number}{{{size};background-image:{ground}}}"
        f".a{number}{{background-image:{drawn}}}</style>"
    )
    title = f"<h3>{_text(case)}{_legend(view, truth.ids, report)}</h3>"
    return f'{style}{title}<div class="wide">{"".join(figures)}</div>'


def _legend(view: View, ids: dict[int, int], report: Report) -> str:
    named = report.protocol.get("labels", {})
    found = []
    for label, colour in describe(view, ids)["labels"][:_MOST_IN_LEGEND]:
        name = named.get(str(label), {}).get("name", "")
        found.append(
            f'<span class="swatch" style="background:{colour or "#aaa"}"></span>'
            f"<small>{_text(f'{label} {name}'.strip())}</small>"
        )
    return "".join(found)


def _finding(finding: Finding) -> str:
    kind = "fail" if finding.level == FAILED else "" if finding.level == PASSED else "warn"
    cure = f'<div class="cure">Cure: {_text(finding.cure)}</div>' if finding.cure else ""
    log = f"<pre>{_text(chr(10).join(finding.log))}</pre>" if finding.log else ""
    words = f"<b>{_text(finding.level)}: {_text(finding.what)}</b> {_text(finding.detail)}"
    return f'<div class="finding {kind}">{words}{cure}{log}</div>'


def _table(rows: list[list[str]]) -> str:
    head = "".join(f"<th>{_text(cell)}</th>" for cell in rows[0])
    lines = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=n' if i > 2 else ''}>{_text(cell)}</td>" for i, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows[1:]
    )
    return f'<div class="wide"><table><tr>{head}</tr>{lines}</table></div>'


def _url(path: Path, kind: str) -> str:
    return f"url(data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()})"


def _text(text: str) -> str:
    return html.escape(text)
