"""`segarena feedback`: what an organiser hands to a team about its failed and its slow calls.

A page and a zip that may leave the organiser's house although the test set may not. So nothing goes
in that was not asked for: no image, prompt, ground truth, answer, case name, host or path of the
host, and nothing of other teams. Cases have names that follow from a secret of the run
(`anonymous_names`), and are in the order of these.

What a submission printed is the one thing in it that a stranger wrote, and it may hold all that the
program saw. `shown_lines` lets through what reads like a message and takes out every number, so
that neither clicks nor intensities nor arrays get through; MOST_GROUPS, LINES and LONGEST_LINE
bound what somebody could hide in words.
"""

import argparse
import csv
import hashlib
import hmac
import io
import os
import re
import secrets
import socket
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segarena.errors import ConfigError
from segarena.extras import INSTALL, without
from segarena.files import atomic_write, read_json, read_lines
from segarena.plan import Plan, read_plan
from segarena.predict.runners.watch import readable
from segarena.predict.session import STATUSES
from segarena.status import FINE, add_run_arguments
from segarena.untrusted import printable

KEY = Path(".snakemake/segarena/feedback.key")
LEVELS = {
    "none": "no scores",
    "mean": "the mean over all cases",
    "case": "the mean, and the scores of every case",
}

MOST_GROUPS = 10
"""Failures that are alike are one group; so many of them are shown with what was printed."""
LINES = 10
LONGEST_LINE = 120
LONGEST_WORD = 40
LEAST_LETTERS = 0.5
"""The share of a line's characters, spaces aside, that must be letters."""

_NAME_LETTERS, _NAME_LENGTH = "bcdfghjklmnpqrstvwxz", 10
_TRACEBACK_LINE = re.compile(r'(File "[^"]*", line )(\d{1,4})(?=,|$)')
_PATH = re.compile(r"(?<![\w.…])(?:file:/)?(?:/[^\s/'\"`:,;()\[\]{}<>|=]+)+/?")
_NUMBER = re.compile(r"\d+")
_QUOTED = re.compile(r"('[^']*')")
_LARGE_NUMBER = re.compile(r"\d{7,}")
_LIST = re.compile(r"[\[{](?:[^\[\]{}]*[,'\"#…][^\[\]{}]*)?[\]}]")
_NO_SCORE = re.compile(r"CaseName|TotalRunningTime|SecondsPerClick|num_class|runtime_.*|.*_\d+")
_LONGEST_MESSAGE = 300


@dataclass(frozen=True)
class Call:
    """One interaction that was asked for; times in seconds, memory in bytes or None (not known)."""

    protocol: str
    case: str
    interaction: int
    status: str
    message: str
    lines: tuple[str, ...]
    seconds: float
    seconds_allowed: float
    memory: int | None
    memory_allowed: int

    @property
    def failed(self) -> bool:
        return self.status not in FINE


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `segarena feedback` to a command line; the arguments carry the function to run."""
    parser = subparsers.add_parser(
        "feedback",
        description="Write a page and a zip for a team: its failed calls with the last lines that "
        "they printed, time and memory against the limits, and scores as far as you allow. No "
        "image, prompt, ground truth or case name is in it (docs/feedback.md). Read it before you "
        "hand it over.",
    )
    parser.add_argument("team", metavar="TEAM", help="the submission's name")
    add_run_arguments(parser)
    parser.add_argument(
        "--scores",
        choices=LEVELS,
        default="none",
        help="; ".join(f"{level}: {what}" for level, what in LEVELS.items()) + " (none)",
    )
    parser.add_argument(
        "--no-lines", action="store_true", help="leave out everything that the program printed"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where TEAM/index.html and TEAM.zip go (feedback in the run's folder)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the feedback and print where it is; returns the exit code."""
    out = arguments.out or arguments.folder / "feedback"
    page, packed = write_feedback(
        arguments.folder,
        arguments.team,
        out,
        configfile=arguments.configfile,
        scores=arguments.scores,
        lines=0 if arguments.no_lines else LINES,
    )
    print(f"{packed}: read it before you hand it over ({page})")
    return 0


def write_feedback(
    folder: Path,
    team: str,
    out: Path,
    *,
    configfile: Path | None = None,
    scores: str = "none",
    lines: int = LINES,
) -> tuple[Path, Path]:
    """Write OUT/TEAM/index.html and OUT/TEAM.zip; return both paths.

    scores: a key of LEVELS. Raises ConfigError where the run has no calls of this team.
    """
    if without("jinja2"):
        raise ConfigError(f"feedback needs what draws reports; install it: {INSTALL}")
    plan = read_plan(folder, configfile)
    if team not in plan.submissions:
        known = ", ".join(plan.submissions)
        raise ConfigError(f"no submission {printable(team)!r} in this run; there are: {known}")
    names = anonymous_names(folder, plan.cases)
    hide = _hider(folder, plan, names)
    calls = list(_calls(folder / "results" / "predict", plan, team, names, hide, lines))
    if not calls:
        raise ConfigError(f"{team}: no calls in {folder}/results/predict; run the benchmark first")
    tables = {
        protocol: _scores(folder / "results" / "score" / protocol / f"{team}_metrics.csv", names)
        for protocol in plan.repetitions
        if scores != "none"
    }
    planned = len(plan.cases) * sum(
        plan.repetitions[name]
        for name in plan.repetitions
        if team in plan.eligible_submissions(name)
    )
    html = _page(team, calls, names, {k: v for k, v in tables.items() if v}, scores, planned)
    page, packed = out / team / "index.html", out / f"{team}.zip"
    with atomic_write(page) as tmp:
        tmp.write_text(html, encoding="utf-8")
    with atomic_write(packed) as tmp, zipfile.ZipFile(tmp, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "index.html", html)
        _add(archive, "calls.csv", _table(calls, names))
    return page, packed


def anonymous_names(folder: Path, cases: Sequence[str]) -> dict[str, str]:
    """Return a name for every case that nobody without the run's folder can trace back.

    It follows from the case's name and a secret, which is made once and kept in the folder (KEY):
    the same case has the same name in all feedback of a run, and neither order nor number of cases
    changes it. Raises ConfigError where the secret cannot be kept.
    """
    key = _key(folder / KEY)
    found: dict[str, str] = {}
    for case in cases:
        number = int.from_bytes(hmac.digest(key, case.encode(), hashlib.sha256), "big")
        letters = []
        for _ in range(_NAME_LENGTH):
            number, letter = divmod(number, len(_NAME_LETTERS))
            letters.append(_NAME_LETTERS[letter])
        found[case] = "".join(letters)
    return found


def shown_lines(printed: str, hide: Callable[[str], str], most: int = LINES) -> list[str]:
    """Return the last lines of a log that read like messages, without numbers and names.

    A line is left out where less than half of its characters are ASCII letters. What is longer
    than LONGEST_WORD without a space is left out of its line, and so is what is in a list or dict;
    lines end at LONGEST_LINE. Numbers become #, but for the line numbers of a traceback.
    """
    shown = [_shown(line, hide) for line in printed.splitlines()]
    return [line for line in shown if line][-most:] if most else []


def _shown(line: str, hide: Callable[[str], str]) -> str:
    """Return a printed line as a team may see it, "" where it is left out."""
    text = _plain(line, hide)
    if not _is_message(text):
        return ""
    text = _without_numbers(text)
    while (shorter := _LIST.sub("…", text)) != text:  # the inner ones first
        text = shorter
    return _cut(text, LONGEST_LINE)


def _shown_message(record: dict[str, Any], hide: Callable[[str], str]) -> str:
    """Return the message of a failed call.

    We wrote it, but it can quote names that the program chose: numbers in quotes are taken out.
    """
    text = _LARGE_NUMBER.sub("#", _plain(record["message"], hide))
    parts = [
        _NUMBER.sub("#", part) if i % 2 else part for i, part in enumerate(_QUOTED.split(text))
    ]
    is_message = _is_message(text)
    return _cut("".join(parts), _LONGEST_MESSAGE) if is_message else STATUSES[record["status"]]


def _plain(line: str, hide: Callable[[str], str]) -> str:
    """Return a line of printable ASCII, without names, paths and very long words."""
    text = hide("".join(c if " " <= c <= "~" else "?" if c.isprintable() else " " for c in line))
    return " ".join(word if len(word) <= LONGEST_WORD else "…" for word in text.split())


def _is_message(text: str) -> bool:
    plain = [c for c in _TRACEBACK_LINE.sub(r"\1", text) if c not in " …"]
    letters = sum(c.isalpha() for c in plain)
    return letters > 0 and letters >= LEAST_LETTERS * len(plain)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _without_numbers(text: str) -> str:
    parts = _TRACEBACK_LINE.split(text)  # what is between, its start, its line number, ...
    parts = [part if i % 3 == 2 else _NUMBER.sub("#", part) for i, part in enumerate(parts)]
    return "".join(parts)


def _hider(folder: Path, plan: Plan, names: dict[str, str]) -> Callable[[str], str]:
    """Return what takes case names, other teams' names and the host's paths out of a text."""
    volumes = {case.partition("__")[0] for case in plan.cases}  # what slices were cut from
    secret = {*plan.cases, *volumes, *plan.submissions, socket.gethostname()}
    longest_first = sorted(secret, key=len, reverse=True)
    known = {name.lower(): names.get(name, "…") for name in secret}
    # A name is one where no further letter or digit is beside it; '_' may be, as in CASE_seg.
    pattern = "|".join(re.escape(name) for name in longest_first)
    name_of = re.compile(rf"(?<![A-Za-z0-9])(?:{pattern})(?![A-Za-z0-9])", re.IGNORECASE)
    places = [str(Path(p).absolute()) for p in (folder, tempfile.gettempdir())]
    places = sorted({p for p in places if p != "/"} | {os.path.realpath(p) for p in places})

    def hide(text: str) -> str:
        for place in reversed(places):  # the deeper ones first; a space in one ends a path below
            text = text.replace(place, "/…") if place != "/" else text
        text = _PATH.sub(lambda found: f"…/{found[0].rstrip('/').rpartition('/')[2]}", text)
        return name_of.sub(lambda found: known[found[0].lower()], text)

    return hide


def _calls(
    results: Path,
    plan: Plan,
    team: str,
    names: dict[str, str],
    hide: Callable[[str], str],
    lines: int,
) -> Iterator[Call]:
    """Yield the calls of a team that have a record.

    A case is CASE in its own message and lines, so that the same failure of many is one.
    """
    for repetition, interactions in plan.repetitions.items():
        for case in plan.cases:

            def hide_all(text: str, own: str = names[case]) -> str:
                return hide(text).replace(own, "CASE")

            for k in range(1, interactions + 1):
                path = results / repetition / team / case / f"{k}.json"
                if path.is_file():
                    yield _call(path, repetition, case, k, hide_all, lines)


def _call(
    path: Path, protocol: str, case: str, k: int, hide: Callable[[str], str], lines: int
) -> Call:
    record = read_json(path)
    log, failed = path.with_suffix(".log"), record["status"] not in FINE
    printed = ""
    if failed and log.is_file():  # its first line is ours: status and message
        printed = log.read_text(encoding="utf-8", errors="replace").partition("\n")[2]
    message = _shown_message(record, hide) if failed else ""
    limits = record.get("limits", {})
    return Call(
        protocol,
        case,
        k,
        record["status"],
        message,
        tuple(shown_lines(printed, hide, lines)),
        record["seconds"],
        limits.get("seconds", 0.0),
        record["peak_memory_bytes"],
        limits.get("memory_bytes", 0),
    )


def _scores(path: Path, names: dict[str, str]) -> dict[str, Any]:
    """Return a team's table without times: columns, the mean of each, and a row per case."""
    if not path.is_file():
        return {}
    rows = list(csv.DictReader(read_lines(path)))
    columns = [name for name in rows[0] if not _NO_SCORE.fullmatch(name)] if rows else []
    by_case = {
        names[row["CaseName"].removesuffix(".npz")]: [_short(row[name]) for name in columns]
        for row in rows
        if row["CaseName"].removesuffix(".npz") in names
    }
    means = [_mean([row[name] for row in rows]) for name in columns]
    return {"columns": columns, "means": means, "cases": sorted(by_case.items())}


def _page(
    team: str,
    calls: list[Call],
    names: dict[str, str],
    tables: dict[str, dict[str, Any]],
    level: str,
    planned: int,
) -> str:
    from segarena.report.templating import TEMPLATES, environment

    groups = _groups(calls, names)
    return (
        environment()
        .get_template("feedback.html")
        .render(
            team=team,
            answers=len(calls),
            planned=planned,
            failed=sum(call.failed for call in calls),
            statuses=STATUSES,
            groups=groups[:MOST_GROUPS],
            further=sum(len(group["calls"]) for group in groups[MOST_GROUPS:]),
            cases=_case_rows(calls, names),
            memory=any(call.memory is not None for call in calls),
            tables=tables,
            level=level,
            several=len({call.protocol for call in calls}) > 1,
            style=(TEMPLATES / "feedback.css").read_text(encoding="utf-8"),
        )
    )


def _groups(calls: list[Call], names: dict[str, str]) -> list[dict[str, Any]]:
    """Return the failed calls, those of the same message and lines together, the largest first."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for call in calls:
        if call.failed:
            key = (call.status, call.message, call.lines)
            found.setdefault(key, []).append(f"{names[call.case]} ({call.interaction})")
    groups = [
        {"status": status, "message": message, "lines": lines, "calls": sorted(places)}
        for (status, message, lines), places in found.items()
    ]
    return sorted(groups, key=lambda group: (-len(group["calls"]), group["calls"]))


def _case_rows(calls: list[Call], names: dict[str, str]) -> list[dict[str, Any]]:
    """Return a row per protocol and case: calls, failures, the slowest call, the largest memory."""
    by_case: dict[tuple[str, str], list[Call]] = {}
    for call in calls:
        by_case.setdefault((call.protocol, names[call.case]), []).append(call)
    rows = []
    for (protocol, name), found in sorted(by_case.items()):
        slowest = max(found, key=lambda call: call.seconds)
        largest = max(found, key=lambda call: call.memory or 0)
        rows.append(
            {
                "protocol": protocol,
                "name": name,
                "calls": len(found),
                "failed": sum(call.failed for call in found),
                "seconds": f"{slowest.seconds:.1f} s",
                "seconds_allowed": f"{slowest.seconds_allowed:.1f} s",
                "total": f"{sum(call.seconds for call in found):.1f} s",
                "memory": ""
                if largest.memory is None
                else readable(int(_two_digits(largest.memory))),
                "memory_allowed": readable(largest.memory_allowed),
            }
        )
    return rows


def _table(calls: list[Call], names: dict[str, str]) -> str:
    """Return all calls as CSV, in the order of the cases' anonymous names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ("protocol", "case", "interaction", "status", "seconds", "seconds_allowed")
    writer.writerow((*head, "memory_mib", "memory_allowed_mib"))
    for call in sorted(calls, key=lambda c: (c.protocol, names[c.case], c.interaction)):
        what = (call.protocol, names[call.case], call.interaction, call.status)
        times = (f"{call.seconds:.1f}", f"{call.seconds_allowed:.1f}")
        used = "" if call.memory is None else f"{_two_digits(call.memory / 2**20):.0f}"
        writer.writerow((*what, *times, used, f"{call.memory_allowed / 2**20:.0f}"))
    return text.getvalue()


def _two_digits(size: float) -> float:
    """Return a size that tells no more than it must: a program could write a text in bytes used."""
    return float(f"{size:.2g}")


def _short(text: str) -> str:
    try:
        return f"{float(text):.4f}"
    except ValueError:
        return text


def _mean(values: list[str]) -> str:
    numbers = []
    for value in values:
        with suppress(ValueError):
            numbers.append(float(value))
    return f"{sum(numbers) / len(numbers):.4f}" if numbers else ""


def _key(path: Path) -> bytes:
    """Return the secret of a run, made where there is none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(32))
        key = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: the secret of case names cannot be kept: {error}") from error
    if len(key) != 32:
        raise ConfigError(f"{path}: not a whole secret; delete it, then case names are new ones")
    return key


def _add(archive: zipfile.ZipFile, name: str, text: str) -> None:
    """Add a file with a fixed date: when a page was made is nobody's business."""
    member = zipfile.ZipInfo(name)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = 0o644 << 16
    archive.writestr(member, text)
