"""`segarena verify`, `export`, `diff` and `rerun`: what one does with a finished run."""

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segarena.untrusted import printable

SHOWN, LONGEST_LINE = 20, 1000


def add_parser(subparsers: Any) -> None:
    """Add the sub-commands that work on archives and finished runs."""
    verify = subparsers.add_parser(
        "verify",
        description="Check an archive's checksums, schemas and inner agreement; with the truth, "
        "make every score and prompt again and compare exactly. Exit status 1 if anything is "
        "wrong.",
    )
    verify.add_argument("archive", type=Path, metavar="ARCHIVE.zip")
    verify.add_argument(
        "--truth", type=Path, metavar="DIR", help="folder with CASE.truth.npz and CASE.image.npz"
    )
    _add_json(verify)
    verify.set_defaults(run=run_verify)
    export = subparsers.add_parser(
        "export",
        description="Write an answer as NIfTI in the grid, affine and label ids of its case.",
    )
    export.add_argument("submission", metavar="TEAM")
    export.add_argument("case", metavar="CASE")
    export.add_argument("--interaction", type=int, metavar="K", help="the last one if left out")
    export.add_argument("--protocol", metavar="NAME", help="needed where several were run")
    export.add_argument("--results", type=Path, default=Path("results"), metavar="DIR")
    export.add_argument("--out", type=Path, default=Path(), metavar="DIR")
    export.set_defaults(run=run_export)
    diff = subparsers.add_parser(
        "diff",
        description="Print which numbers differ between two runs, and why. "
        "Exit status 1 if any differs.",
    )
    for name in ("A", "B"):
        diff.add_argument(
            name.lower(), type=Path, metavar=name, help="an archive or a run's folder"
        )
    _add_json(diff)
    diff.set_defaults(run=run_diff)
    rerun = subparsers.add_parser(
        "rerun",
        description="Run an archived run again and print which prompts, answers and scores differ "
        "from the archived ones. Exit status 1 if any differs.",
    )
    rerun.add_argument("archive", type=Path, metavar="ARCHIVE.zip")
    rerun.add_argument("--submissions", type=Path, required=True, metavar="DIR")
    rerun.add_argument(
        "--cases", type=Path, required=True, metavar="DIR", help="folder with images/ and labels/"
    )
    rerun.add_argument("--out", type=Path, default=Path("rerun"), metavar="DIR")
    rerun.add_argument("--cores", type=int, default=1, metavar="N")
    rerun.add_argument(
        "--runtime",
        choices=["docker", "podman", "apptainer", "process"],
        help="what runs the submissions; the archived one if left out, unless that is a plain "
        "process, which only you can choose",
    )
    _add_json(rerun)
    rerun.set_defaults(run=run_rerun)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print all that was found as JSON")


def run_verify(arguments: argparse.Namespace) -> int:
    """Run `segarena verify` and return its exit code."""
    from segarena.archive.verify import verify

    found = verify(arguments.archive, truth=arguments.truth)
    if arguments.json:
        _print_json({"valid": not found.wrong, **asdict(found)})
        return 1 if found.wrong else 0
    for what, count in found.checked.items():
        print(f"checked: {what}: {count}")
    _show("not checked", _grouped(found.unchecked))
    _show("WRONG", found.wrong)
    print(f"{arguments.archive}: " + ("NOT VALID" if found.wrong else "all that was checked holds"))
    return 1 if found.wrong else 0


def run_export(arguments: argparse.Namespace) -> int:
    """Run `segarena export` and return its exit code."""
    from segarena.archive.export import export

    path = export(
        arguments.results,
        arguments.submission,
        arguments.case,
        out=arguments.out,
        protocol=arguments.protocol,
        interaction=arguments.interaction,
    )
    print(path)
    return 0


def run_diff(arguments: argparse.Namespace) -> int:
    """Run `segarena diff` and return its exit code."""
    from segarena.archive.diff import compare, open_run

    with open_run(arguments.a) as one, open_run(arguments.b) as other:
        return _print_difference(compare(one, other), [], as_json=arguments.json)


def run_rerun(arguments: argparse.Namespace) -> int:
    """Run `segarena rerun` and return its exit code."""
    from segarena.archive.rerun import differences, run_again, set_up

    notes = set_up(
        arguments.archive,
        submissions=arguments.submissions,
        cases=arguments.cases,
        out=arguments.out,
        runtime=arguments.runtime,
    )
    if not arguments.json:
        _show("not as archived", notes)
    run_again(arguments.out, cores=arguments.cores)
    difference, parted = differences(arguments.archive, arguments.out)
    return _print_difference(difference, parted, notes, as_json=arguments.json)


def _print_difference(
    difference: Any, parted: list[str], notes: Iterable[str] = (), *, as_json: bool
) -> int:
    differs = bool(difference.changes or difference.alone or parted)
    if as_json:
        _print_json({**asdict(difference), "parted": parted, "not_as_archived": list(notes)})
        return int(differs)
    _show("differs", difference.facts)
    _show("alone", difference.alone)
    _show("parted", parted)
    changes = difference.changes
    _show(
        "changed",
        [
            f"{c.protocol}/{c.submission}/{c.case} interaction {c.interaction} label {c.label} "
            f"{c.metric}: {c.before} -> {c.after} ({c.why})"
            for c in changes
        ],
    )
    print(f"{len(changes)} of {difference.compared} scores differ")
    return int(differs)


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, indent=1))  # ASCII, so no name of a stranger's steers a terminal


def _grouped(lines: list[str]) -> list[str]:
    """Return each reason once, with its first place and how many more it concerns."""
    reasons: dict[str, list[str]] = {}
    for line in lines:
        place, _, reason = line.partition(": ")
        reasons.setdefault(reason, []).append(place)
    return [
        f"{places[0]}{f' and {len(places) - 1} more' if len(places) > 1 else ''}: {reason}"
        for reason, places in reasons.items()
    ]


def _show(title: str, lines: Iterable[str]) -> None:
    lines = list(lines)
    for line in lines[:SHOWN]:
        print(f"{title}: {printable(line, LONGEST_LINE)}")
    if len(lines) > SHOWN:
        print(f"{title}: {len(lines) - SHOWN} more")
