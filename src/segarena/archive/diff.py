"""Two runs side by side: which numbers changed, and why.

A run is an archive or the folder of a run. The reason is looked for along the way that a number
takes: the first thing in a session that differs, a prompt or an answer, says which stage to blame,
and what is known of that stage in both runs (code, protocol, submission, case, seed) says why.
"""

import contextlib
import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segarena.archive import contents
from segarena.archive.unpack import unpack
from segarena.case import UNREADABLE
from segarena.errors import ConfigError, SegArenaError
from segarena.files import read_json
from segarena.plan import last_plan
from segarena.provenance import file_digest
from segarena.untrusted import printable

Session = tuple[str, str, str]

_BROKEN: tuple[type[Exception], ...] = (*UNREADABLE, csv.Error)


@dataclass(frozen=True)
class Run:
    """What is to be compared; what a run's folder does not say is empty.

    sessions: the score table of each. results: the folder that holds prompts and records too.
    """

    sessions: dict[Session, Path]
    results: Path
    submissions: dict[str, Any]
    cases: dict[str, Any]
    protocols: dict[str, Any] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=dict)
    software: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """A number that is not the same in both runs."""

    protocol: str
    submission: str
    case: str
    interaction: str
    label: str
    metric: str
    before: str
    after: str
    why: str


@dataclass(frozen=True)
class Difference:
    """What differs: facts of the runs, sessions that only one of them has, and numbers."""

    facts: list[str]
    alone: list[str]
    changes: list[Change]
    compared: int


@contextlib.contextmanager
def open_run(path: Path) -> Iterator[Run]:
    """Yield a run: an archive, or a run's folder (the one that holds results/, or results/ itself).

    Raises ConfigError where it is neither.
    """
    if path.is_file():
        with unpack(path) as folder:
            with _readable():
                run = _of_archive(folder)
            yield run
        return
    results = path / "results" if (path / "results").is_dir() else path
    if not (results / "score").is_dir():
        raise ConfigError(f"{path}: neither an archive nor the folder of a run (no results/score)")
    with _readable():
        run = _of_folder(results)
    yield run


def compare(one: Run, other: Run) -> Difference:
    """Return what differs between two runs; raises ConfigError where a file of theirs is broken."""
    with _readable():
        return _difference(one, other)


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Turn whatever a file of a run makes a reader raise into one line."""
    try:
        yield
    except SegArenaError:
        raise
    except _BROKEN as error:
        reason = printable(error) or type(error).__name__
        raise ConfigError(
            f"the runs cannot be compared: {type(error).__name__}: {reason}; "
            "`segarena verify` says which file of an archive is broken"
        ) from error


def _difference(one: Run, other: Run) -> Difference:
    changes = []
    compared = 0
    both = [session for session in one.sessions if session in other.sessions]
    for session in both:
        before, after = _scores(one.sessions[session]), _scores(other.sessions[session])
        why = ""
        for key in [*before, *(key for key in after if key not in before)]:
            compared += 1
            if before.get(key) != after.get(key):
                why = why or _reason(one, other, session)
                numbers = before.get(key, "absent"), after.get(key, "absent")
                changes.append(Change(*session, *key, *numbers, why))
    return Difference(_facts(one, other), _alone(one, other), changes, compared)


def first_differences(one: Run, other: Run) -> list[str]:
    """Return where two runs part: session, interaction and kind (prompt, answer), one per line.

    Only the first difference of a session is reported: the others follow from it.
    """
    lines = []
    with _readable():
        for session in one.sessions:
            if session in other.sessions and (parted := _first_difference(one, other, session)):
                what, k = parted
                lines.append(f"{'/'.join(session)}: the {what} at interaction {k} differs")
    return lines


def _of_archive(folder: Path) -> Run:
    facts = contents.read_facts(folder)
    protocols = contents.read_protocols(folder, facts)
    results = folder / "results"
    return Run(
        sessions=_sessions(results),
        results=results,
        submissions=facts["submissions"],
        cases=facts["cases"],
        protocols=protocols,
        code=facts["code"],
        software=facts["software"],
    )


def _of_folder(results: Path) -> Run:
    sessions = _sessions(results)
    submissions = {
        name: read_json(path)
        for name in sorted({submission for _, submission, _ in sessions})
        if (path := results / "predict" / name / "image.json").is_file()
    }
    cases = {
        case: {
            f"{kind}_sha256": file_digest(results / "prepare" / f"{case}.{kind}.npz")
            for kind in ("image", "truth")
        }
        for case in sorted({case for _, _, case in sessions})
    }
    protocols = {}
    for repetition, submission, case in sessions:
        protocol = repetition.partition(".")[0]
        if protocol not in protocols:
            prompts = read_json(results / "prompt" / repetition / submission / case / "1.json")
            protocols[protocol] = {"version": prompts["version"], "seed": prompts["seed"]}
    return Run(sessions, results, submissions, cases, protocols)


def _sessions(results: Path) -> dict[Session, Path]:
    """Return the scores of a run's sessions, without what is left of cases or teams that went."""
    found = {
        (path.parts[-3], path.parts[-2], path.stem): path
        for path in sorted(results.glob("score/*/*/*.csv"))
    }
    plan = last_plan(results.parent)
    return {
        (repetition, submission, case): path
        for (repetition, submission, case), path in found.items()
        if plan is None
        or (
            repetition in plan.repetitions
            and submission in plan.eligible_submissions(repetition)
            and case in plan.cases
        )
    }


def _scores(path: Path) -> dict[tuple[str, str, str], str]:
    with path.open(encoding="utf-8", newline="") as file:
        return {
            (row["interaction"], row["label"], row["metric"]): row["value"]
            for row in csv.DictReader(file)
        }


def _facts(one: Run, other: Run) -> list[str]:
    lines = []
    for kind in ("protocols", "submissions", "cases", "code", "software"):
        before, after = getattr(one, kind), getattr(other, kind)
        for name in before:
            if name in after:
                changed = _changed(before[name], after[name])
                if changed:
                    lines.append(f"{kind.removesuffix('s')} {name}: {changed}")
    before, after = _places(one), _places(other)
    return lines + [
        f"leaderboard {protocol}: {submission} is {before[protocol, submission]}, then {place}"
        for (protocol, submission), place in after.items()
        if before.get((protocol, submission), place) != place
    ]


def _places(run: Run) -> dict[tuple[str, str], str]:
    """Return the place of each submission on each protocol's leaderboard."""
    places = {}
    for path in sorted(run.results.glob("rank/*/leaderboard.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                places[path.parent.name, row["submission"]] = row["rank"]
    return places


def _changed(before: Any, after: Any) -> str:
    """Return which of two facts' keys differ; only keys that both know count."""
    if not isinstance(before, dict):
        return "" if before == after else f"{before} -> {after}"
    keys = [key for key in before if key in after and before[key] != after[key]]
    return ", ".join(
        key
        if isinstance(before[key], dict | list)
        else f"{key} {_short(before[key])} -> {_short(after[key])}"
        for key in keys
    )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 20 else f"{text[:12]}…"


def _alone(one: Run, other: Run) -> list[str]:
    first = [f"{'/'.join(s)}: only in the first" for s in one.sessions if s not in other.sessions]
    second = [f"{'/'.join(s)}: only in the second" for s in other.sessions if s not in one.sessions]
    return first + second


def _first_difference(one: Run, other: Run, session: Session) -> tuple[str, int] | None:
    """Return where a session parts first: its prompt or its answer, and the interaction."""
    place = Path(*session)
    prompts = (one.results / "prompt" / place).glob("*.json")
    numbers = sorted(int(path.stem) for path in prompts if path.stem.isdecimal())
    for k in numbers:
        for kind, stage, keys in (
            ("prompt", "prompt", None),
            ("answer", "predict", "answer_sha256"),
        ):
            pair = []
            for run in (one, other):
                path = run.results / stage / place / f"{k}.json"
                content = _json_object(path) if path.is_file() else {}
                pair.append(content.get(keys) if keys else _without_origin(content))
            if pair[0] != pair[1]:
                return kind, k
    return None


def _json_object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: no JSON object")
    return content


def _without_origin(prompt: dict[str, Any]) -> dict[str, Any]:
    """Return what the user says, without the version and the seed that it follows from."""
    return {key: value for key, value in prompt.items() if key not in ("version", "seed")}


def _reason(one: Run, other: Run, session: Session) -> str:
    repetition, submission, case = session
    protocol = repetition.partition(".")[0]  # a repetition is NAME.NUMBER
    parted = _first_difference(one, other, session)
    stage = parted[0] if parted else "score"
    where = f"the {stage} at interaction {parted[1]} differs" if parted else "same answers"
    known = {
        "case": _changed(one.cases.get(case, {}), other.cases.get(case, {})),
        "protocol": _changed(one.protocols.get(protocol, {}), other.protocols.get(protocol, {})),
    }
    if stage == "answer":
        known["submission"] = _changed(
            one.submissions.get(submission, {}), other.submissions.get(submission, {})
        )
    script = {"prompt": "prompt", "answer": "predict", "score": "score"}[stage]
    if script in one.code and script in other.code:
        known["code"] = _changed({script: one.code[script]}, {script: other.code[script]})
    reasons = [f"{kind} ({what})" for kind, what in known.items() if what]
    if not reasons and stage == "answer":
        reasons = ["nothing known has changed: the submission may not be deterministic"]
    return f"{where}: {'; '.join(reasons) or 'nothing known has changed'}"
