"""How far a run is: what its config names against the files that are there.

No process is asked, so it works for a cluster as well. What is counted is what the config names
(`segarena.plan`), never what happens to be in results/. An interaction is done when its record is
there. The time left is estimated from the pace of the last records, because the first hours of a
run (loading images, warm caches) say little about the rest.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from segarena.files import read_json
from segarena.plan import Plan, read_plan, same_images

FINE = frozenset({"ok", "not_asked"})
# The pace is that of so many of the latest records.
LATEST = 500
SHOWN = 3


@dataclass(frozen=True)
class Failure:
    """A call that failed: where, how, the last line that its program printed, and its log.

    limit_seconds: the time that the call had, where time was what it lacked.
    """

    case: str
    interaction: int
    status: str
    message: str
    limit_seconds: float | None
    last_line: str
    log: str
    written: float


@dataclass
class Progress:
    """One submission in one repetition of a protocol.

    answers: how many there are, of `wanted`. cases: how many are scored. failures: latest first.
    times: when the answers were written, in seconds since the epoch.
    """

    submission: str
    wanted: int
    answers: int = 0
    cases: int = 0
    failures: list[Failure] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Status:
    """A run's status; the progress of each submission and the seconds left, by repetition."""

    cases: tuple[int, int]
    submissions: tuple[int, int]
    repetitions: dict[str, list[Progress]]
    seconds_left: dict[str, float | None]
    left_out: dict[str, dict[str, str]]
    warnings: list[str]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `segarena status` to a command line; the parsed arguments carry the function to run."""
    parser = subparsers.add_parser(
        "status",
        description="Say how far a run is, from its config and its files alone; also while it runs "
        "elsewhere.",
    )
    add_run_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")
    parser.set_defaults(run=main)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a run: its folder and its config."""
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path(),
        help="the folder the run was started in, which holds results/ (here)",
    )
    parser.add_argument(
        "--configfile",
        type=Path,
        metavar="FILE",
        help="the run's config (by default that of the last run in the folder, else "
        "config/config.yaml)",
    )


def main(arguments: argparse.Namespace) -> int:
    """Print the status; returns the exit code."""
    now = time.time()
    found = status(arguments.folder, arguments.configfile, now=now)
    text = as_json(found) if arguments.json else as_text(found, now=now)
    sys.stdout.write(text)
    return 0


def report(folder: str | Path, configfile: Path | None = None, *, now: float) -> str:
    """Return the status of the run in `folder` as lines for a terminal or a log file.

    Raises ConfigError where there is no run.
    """
    return as_text(status(folder, configfile, now=now), now=now)


def status(folder: str | Path, configfile: Path | None = None, *, now: float) -> Status:
    """Return the status of the run in `folder`; raises ConfigError where there is none."""
    folder = Path(folder)
    plan = read_plan(folder, configfile)
    results = folder / "results"
    repetitions = {
        repetition: [
            _progress(results, plan, repetition, name)
            for name in plan.eligible_submissions(repetition)
        ]
        for repetition in plan.repetitions
    }
    return Status(
        cases=(
            sum((results / "prepare" / f"{case}.truth.npz").is_file() for case in plan.cases),
            len(plan.cases),
        ),
        submissions=(
            sum((results / "predict" / s / "image.json").is_file() for s in plan.submissions),
            len(plan.submissions),
        ),
        repetitions=repetitions,
        seconds_left={
            repetition: _seconds_left(found, now) for repetition, found in repetitions.items()
        },
        left_out={name: why for name, why in plan.left_out.items() if why},
        warnings=[*plan.notes, *same_images(results, plan.submissions)],
    )


def as_json(found: Status) -> str:
    """Return a status as JSON."""
    repetitions = {
        repetition: {
            "seconds_left": found.seconds_left[repetition],
            "submissions": {
                one.submission: {
                    key: value
                    for key, value in asdict(one).items()
                    if key not in {"submission", "times"}
                }
                for one in progress
            },
        }
        for repetition, progress in found.repetitions.items()
    }
    value: dict[str, Any] = {
        "cases": dict(zip(("prepared", "planned"), found.cases, strict=True)),
        "submissions": dict(zip(("loaded", "planned"), found.submissions, strict=True)),
        "repetitions": repetitions,
        "left_out": found.left_out,
        "warnings": found.warnings,
    }
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def as_text(found: Status, *, now: float) -> str:
    """Return a status as lines for a terminal or a log file."""
    prepared, cases = found.cases
    loaded, submissions = found.submissions
    lines = [
        f"{datetime.fromtimestamp(now):%Y-%m-%d %H:%M:%S}  {prepared} of {cases} cases prepared, "
        f"{loaded} of {submissions} submissions loaded"
    ]
    for repetition, progress in found.repetitions.items():
        lines += _repetition_lines(repetition, progress, cases, found.seconds_left[repetition], now)
        lines += [
            f"  {name} is left out: {why}"
            for name, why in found.left_out.get(repetition, {}).items()
        ]
    lines += [f"warning: {warning}" for warning in found.warnings]
    return "\n".join(lines) + "\n"


def _repetition_lines(
    repetition: str, found: list[Progress], cases: int, seconds_left: float | None, now: float
) -> Iterator[str]:
    done, wanted = sum(one.answers for one in found), sum(one.wanted for one in found)
    yield (
        f"{repetition}: {done:,} of {wanted:,} answers ({_share(done, wanted)}), "
        f"{sum(one.cases for one in found):,} of {cases * len(found):,} cases scored; "
        f"{_end(seconds_left, now)}"
    )
    width = max((len(one.submission) for one in found), default=0)
    for one in found:
        line = (
            f"  {one.submission:<{width}}  {one.cases:>5} of {cases} cases  "
            f"{_share(one.answers, one.wanted):>5} of answers"
        )
        if one.failures:
            kinds = sorted(Counter(failure.status for failure in one.failures).items())
            line += f"  FAILING: {', '.join(f'{count} {kind}' for kind, count in kinds)}"
        yield line
        for failure in one.failures[:SHOWN]:
            yield from _failure_lines(failure)
        if len(one.failures) > SHOWN:
            yield f"      and {len(one.failures) - SHOWN} more; --json lists them all"


def _failure_lines(one: Failure) -> Iterator[str]:
    limit = "" if one.limit_seconds is None else f" (limit {one.limit_seconds:.1f} s)"
    yield (
        f"      {one.case}, interaction {one.interaction}: {one.status}{limit}: "
        f"{_one_line(one.message)}"
    )
    yield f"          {one.log}"
    if one.last_line:
        yield f"          its last line: {_one_line(one.last_line)}"


def _seconds_left(found: list[Progress], now: float) -> float | None:
    """Return the seconds until all is answered, or None where it is too early to say."""
    left = sum(one.wanted - one.answers for one in found)
    if left <= 0:
        return 0.0
    times = sorted(moment for one in found for moment in one.times)[-LATEST:]
    if len(times) < 2:
        return None
    # Up to now, not to the last answer: a run without progress gets no nearer to its end.
    return (now - times[0]) / (len(times) - 1) * left


def _end(seconds: float | None, now: float) -> str:
    if seconds is None:
        return "too early to estimate the end"
    if seconds == 0:
        return "all answered"
    end = datetime.fromtimestamp(now) + timedelta(seconds=seconds)
    return f"about {_duration(seconds)} left, until {end:%Y-%m-%d %H:%M}"


def _progress(results: Path, plan: Plan, repetition: str, submission: str) -> Progress:
    numbers = range(1, plan.repetitions[repetition] + 1)
    progress = Progress(submission, wanted=len(plan.cases) * len(numbers))
    scores = _names(results / "score" / repetition / submission)
    for case in plan.cases:
        folder = results / "predict" / repetition / submission / case
        there = _names(folder)
        for k in numbers:
            if f"{k}.json" in there:
                _count(progress, results, folder / f"{k}.json", k)
        progress.cases += f"{case}.csv" in scores
    progress.failures.sort(key=lambda failure: failure.written, reverse=True)
    return progress


def _count(progress: Progress, results: Path, path: Path, k: int) -> None:
    record = read_json(path)
    written = path.stat().st_mtime
    progress.answers += 1
    progress.times.append(written)
    if record["status"] in FINE:
        return
    log, limits = path.with_suffix(".log"), record.get("limits", {})
    progress.failures.append(
        Failure(
            case=path.parent.name,
            interaction=k,
            status=record["status"],
            message=record["message"],
            limit_seconds=limits.get("seconds") if record["status"] == "timed_out" else None,
            last_line=_last_line(log),
            log=f"results/{log.relative_to(results).as_posix()}",
            written=written,
        )
    )


def _last_line(log: Path) -> str:
    """Return the last line that a program printed; the log's first line is ours."""
    if not log.is_file():
        return ""
    _, *printed = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip() for line in reversed(printed) if line.strip()), "")


def _names(folder: Path) -> set[str]:
    return set(os.listdir(folder)) if folder.is_dir() else set()  # noqa: PTH208


def _one_line(text: str) -> str:
    # A submission has a say in this text; nothing in it may steer a terminal.
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    plain = " ".join(plain.split())
    return plain if len(plain) <= 120 else f"{plain[:119]}…"


def _share(part: int, total: int) -> str:
    if not total:
        return "0 %"
    return f"{100 * part // total} %"


def _duration(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    days, hours, minutes = minutes // 1440, minutes % 1440 // 60, minutes % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
