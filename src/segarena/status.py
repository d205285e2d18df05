"""How far a run is, from its files alone: no process is asked, so it works for a cluster as well.

An interaction is done when its record lies in results/predict. The time left is estimated from the
pace of the last records, because the first hours of a run (loading images, warm caches) say little
about the rest.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from segarena.errors import ConfigError
from segarena.files import read_json

FINE = frozenset({"ok", "not_asked"})
# The pace is that of so many of the latest records.
LATEST = 500


@dataclass
class Progress:
    """One submission under one protocol.

    answers: how many there are. failed: how many of these failed, by status. cases: how many are
    scored. times: when the answers were written, in seconds since the epoch.
    """

    protocol: str
    submission: str
    answers: int = 0
    cases: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    reason: str = ""
    times: list[float] = field(default_factory=list)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `segarena status` to a command line; the parsed arguments carry the function to run."""
    parser = subparsers.add_parser(
        "status",
        description="Say how far a run is, from its files alone; also while it runs elsewhere.",
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path(),
        help="the folder the run was started in, which holds results/ (here)",
    )
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """Print the status; returns the exit code."""
    sys.stdout.write(report(arguments.folder, now=time.time()))
    return 0


def report(folder: str | Path, *, now: float) -> str:
    """Return the status of the run in `folder` as lines for a terminal or a log file.

    Raises ConfigError where there is no run.
    """
    results = Path(folder) / "results"
    if not results.is_dir():
        raise ConfigError(f"{folder}: no results/ here; name the folder the run was started in")
    cases = _cases(results)
    found = list(_all_progress(results))
    lines = [f"{datetime.fromtimestamp(now):%Y-%m-%d %H:%M:%S}  {len(cases)} cases prepared"]
    for protocol in sorted({one.protocol for one in found}):
        own = [one for one in found if one.protocol == protocol]
        interactions = max(_interactions(results, protocol), 1)
        lines += _protocol_lines(own, cases=len(cases), interactions=interactions, now=now)
    if not found:
        lines.append("no submission has answered yet")
    return "\n".join(lines) + "\n"


def _protocol_lines(
    found: list[Progress], *, cases: int, interactions: int, now: float
) -> Iterator[str]:
    each = cases * interactions
    done, wanted = sum(one.answers for one in found), each * len(found)
    yield (
        f"{found[0].protocol}: {done:,} of {wanted:,} answers ({_share(done, wanted)}), "
        f"{sum(one.cases for one in found):,} of {cases * len(found):,} cases scored; "
        f"{_end(found, wanted - done, now)}"
    )
    width = max(len(one.submission) for one in found)
    for one in sorted(found, key=lambda one: one.submission):
        line = (
            f"  {one.submission:<{width}}  {one.cases:>5} of {cases} cases  "
            f"{_share(one.answers, each):>5} of answers"
        )
        if one.failed:
            kinds = ", ".join(f"{count} {status}" for status, count in sorted(one.failed.items()))
            line += f"  FAILING: {kinds}; last: {one.reason}"
        yield line


def _end(found: list[Progress], left: int, now: float) -> str:
    if left <= 0:
        return "all answered"
    times = sorted(moment for one in found for moment in one.times)[-LATEST:]
    if len(times) < 2:
        return "too early to estimate the end"
    # Up to now, not to the last answer: a run that stands still gets no nearer to its end.
    seconds = (now - times[0]) / (len(times) - 1) * left
    end = datetime.fromtimestamp(now) + timedelta(seconds=seconds)
    return f"about {_duration(seconds)} left, until {end:%Y-%m-%d %H:%M}"


def _all_progress(results: Path) -> Iterator[Progress]:
    for protocol in _folders(results / "prompt"):
        names = {path.name for path in _folders(results / "predict" / protocol.name)}
        names |= {path.name for path in _folders(protocol)}
        names |= {path.parent.name for path in (results / "predict").glob("*/image.json")}
        for name in sorted(names):
            yield _progress(results, protocol.name, name)


def _progress(results: Path, protocol: str, submission: str) -> Progress:
    progress = Progress(protocol, submission)
    latest = 0.0
    for case in _folders(results / "predict" / protocol / submission):
        for entry in os.scandir(case):
            if not entry.name.endswith(".json") or entry.name.startswith("."):
                continue
            record = read_json(entry.path)
            written = entry.stat().st_mtime
            progress.answers += 1
            progress.times.append(written)
            if record["status"] not in FINE:
                progress.failed[record["status"]] = progress.failed.get(record["status"], 0) + 1
                if written >= latest:
                    latest, progress.reason = written, _one_line(record["message"])
    progress.cases = sum(1 for _ in (results / "score" / protocol / submission).glob("[!.]*.csv"))
    return progress


def _interactions(results: Path, protocol: str) -> int:
    """Return the number of interactions, by the highest that any case has reached so far."""
    from segarena.protocol import load, steps

    try:
        return len(steps(load(protocol)))
    except ConfigError:
        numbers = (results / "prompt" / protocol).glob("*/*/*.json")
        return max((int(path.stem) for path in numbers if path.stem.isdigit()), default=0)


def _cases(results: Path) -> list[str]:
    return sorted(
        path.name.removesuffix(".truth.npz") for path in results.glob("prepare/*.truth.npz")
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _one_line(text: str) -> str:
    # A submission has a say in this text; nothing in it may steer a terminal.
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    plain = " ".join(plain.split())
    return plain if len(plain) <= 120 else f"{plain[:119]}…"


def _share(part: int, whole: int) -> str:
    if not whole:
        return "0 %"
    return f"{100 * part // whole} %"


def _duration(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    days, hours, minutes = minutes // 1440, minutes % 1440 // 60, minutes % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
