"""`segarena clean`: what is left in results/ of what no config names any more.

A withdrawn team's folders, a protocol that was dropped, cases of before: nobody counts them, and
nothing removes them by itself. Only files with the names that the workflow gives are looked at;
archives, and what somebody else put there, stay.
"""

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from segarena.plan import Plan, read_plan
from segarena.predict.runners import LOCK
from segarena.run import lock
from segarena.status import add_run_arguments

_CASE_FILES = {
    "prepare": (".image.npz", ".truth.npz", ".json"),
    "cases": (".webp", ".truth.png", ".js"),
    "sheets": (".png",),
    "answers": (".png",),
    "errors": (".png",),
    "viewer/answers": (".nii.gz",),
    "viewer/prompts": (".nii.gz",),
    "score": (".csv",),
}
_INTERACTION_FILES = (".json", ".npz", ".log")
SHOWN = 50


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `segarena clean` to a command line; the parsed arguments carry the function to run."""
    parser = subparsers.add_parser(
        "clean",
        description="List what is in results/ of submissions, protocols and cases that the config "
        "does not name any more; with --yes remove it.",
    )
    add_run_arguments(parser)
    parser.add_argument("--yes", action="store_true", help="remove what is listed")
    parser.add_argument("--json", action="store_true", help="print all paths as a JSON list")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """List what no config names, or remove it; returns the exit code."""
    plan = read_plan(arguments.folder, arguments.configfile)
    if arguments.yes:
        lock(arguments.folder / LOCK)  # a run might be writing it just now
    found = list(unnamed(arguments.folder / "results", plan))
    if arguments.yes:
        for path in found:
            remove(path)
    if arguments.json:
        print(json.dumps([str(path) for path in found], indent=1))
    else:
        _print(found, removed=arguments.yes)
    return 0


def _print(found: list[Path], *, removed: bool) -> None:
    for path in found[:SHOWN]:
        print(path)
    if len(found) > SHOWN:
        print(f"and {len(found) - SHOWN} more")
    if not found:
        print("nothing to clean: the config names everything in results/")
    else:
        print(f"{len(found)} removed" if removed else f"{len(found)}; --yes removes them")


def remove(path: Path) -> None:
    """Remove a file or a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def unnamed(results: Path, plan: Plan) -> Iterator[Path]:
    """Yield the files and folders under results/ that the workflow made for what `plan` lacks."""
    yield from _other_cases(results / "prepare", plan, "prepare")
    for repetition in _folders(results / "prompt"):
        yield from _session_folder(repetition, plan)
    for folder in _folders(results / "predict"):
        if folder.name in plan.repetitions:
            yield from _session_folder(folder, plan)
        elif folder.name not in plan.submissions:
            yield folder
    for repetition in _folders(results / "score"):
        yield from _score_folder(repetition, plan)
    for folder in _folders(results / "rank"):
        if folder.name not in plan.protocols:
            yield folder
    for folder in _folders(results / "report"):
        yield from _report_folder(folder, plan)
    for logs in (results / "logs", results / "benchmarks"):
        yield from _log_folders(logs, plan)


def _session_folder(folder: Path, plan: Plan) -> Iterator[Path]:
    """Yield what is too much in REPETITION/SUBMISSION/CASE/K."""
    if folder.name not in plan.repetitions:
        yield folder
        return
    eligible_submissions, cases, last = (
        plan.eligible_submissions(folder.name),
        set(plan.cases),
        plan.repetitions[folder.name],
    )
    for submission in _folders(folder):
        if submission.name not in eligible_submissions:
            yield submission
            continue
        for case in _folders(submission):
            if case.name not in cases:
                yield case
                continue
            for entry in sorted(os.scandir(case), key=lambda entry: entry.name):
                stem, _, ending = entry.name.partition(".")
                if stem.isdigit() and f".{ending}" in _INTERACTION_FILES and int(stem) > last:
                    yield Path(entry.path)


def _score_folder(folder: Path, plan: Plan) -> Iterator[Path]:
    if folder.name not in plan.repetitions:
        yield folder
        return
    eligible_submissions = plan.eligible_submissions(folder.name)
    for kind in ("_metrics.csv", "_labels.csv"):
        for table in sorted(folder.glob(f"*{kind}")):
            if table.name.removesuffix(kind) not in eligible_submissions:
                yield table
    raters = folder / "_raters"
    yield from _other_cases(raters, plan, "score")
    others = [one for one in _folders(folder) if one.name not in {"_raters", "_probs"}]
    for table in sorted((folder / "_probs").glob("*.csv")):
        if table.stem not in eligible_submissions:
            yield table
    for submission in [*others, *_folders(raters)]:
        if submission.name not in eligible_submissions:
            yield submission
        else:
            yield from _other_cases(submission, plan, "score")


def _report_folder(folder: Path, plan: Plan) -> Iterator[Path]:
    if folder.name not in plan.protocols:
        yield folder
        return
    for kind in ("cases", "sheets"):
        yield from _other_cases(folder / kind, plan, kind)
    for case in _folders(folder / "viewer" / "cases"):
        if case.name not in plan.cases:
            yield case
    for kind in ("answers", "errors", "viewer/answers", "viewer/prompts"):
        for submission in _folders(folder / kind):
            if submission.name not in plan.eligible_submissions(folder.name):
                yield submission
            else:
                yield from _other_cases(submission, plan, kind)


def _log_folders(logs: Path, plan: Plan) -> Iterator[Path]:
    """Yield the logs of what is not named, by STAGE/REPETITION/SUBMISSION."""
    for place in _folders(logs):
        for repetition in _folders(place):
            if repetition.name not in plan.repetitions:
                yield repetition
                continue
            eligible_submissions = plan.eligible_submissions(repetition.name)
            for folder in (repetition, repetition / "answers", repetition / "viewer" / "answers"):
                for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                    name = path.name.removesuffix(".log").removesuffix(".tsv")
                    known = {
                        *eligible_submissions,
                        *(f"{one}_metrics" for one in eligible_submissions),
                    }
                    if name not in known | {"cases", "answers", "sheets", "viewer"}:
                        yield path
    by_stage = {"prepare": plan.cases, "predict": plan.submissions}
    by_stage |= {"rank": plan.protocols, "report": plan.protocols}
    for stage, names in by_stage.items():
        for path in sorted([*(logs / stage).glob("*.log"), *(logs / stage).glob("*.tsv")]):
            if path.stem not in names:
                yield path


def _other_cases(folder: Path, plan: Plan, kind: str) -> Iterator[Path]:
    """Yield the files of a kind that belong to cases which are not named."""
    cases = set(plan.cases)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        for ending in _CASE_FILES[kind]:
            if path.name.endswith(ending) and not path.name.startswith("."):
                if path.name.removesuffix(ending) not in cases:
                    yield path
                break


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
