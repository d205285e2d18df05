"""The command `segarena check`: a whole protocol with a submission, before it is submitted."""

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segarena.check import source
from segarena.check.behaviour import behaviour, compared
from segarena.check.cases import CheckCase, bundled, own_cases
from segarena.check.judge import FAILED, NOT_JUDGED, PASSED, WARNING, Finding, judged
from segarena.check.page import write_page
from segarena.check.report import Report, printed_json
from segarena.check.sessions import Call, add_scores, run_case
from segarena.errors import ConfigError, SubmissionError
from segarena.kit import Challenge, read_challenge
from segarena.predict import gpu, runners
from segarena.predict.accepts import refusal
from segarena.predict.runners.watch import readable
from segarena.protocol import Protocol, load

KEPT = "segarena-check"
_BOTH_WAYS = 2  # cases that are run with the other kind of container as well


def add_parser(subparsers: Any) -> None:
    """Add `check` to the sub-commands of `segarena`."""
    parser = subparsers.add_parser(
        "check",
        description="Run a whole protocol with a submission on small bundled cases and on your "
        "own, with the limits and the isolation of the benchmark. Exit code 0 only when it would "
        "run.",
    )
    parser.add_argument(
        "submission",
        help="docker archive, folder with a predict.sh, or the tag of an image in the local engine",
    )
    parser.add_argument(
        "--challenge",
        type=Path,
        metavar="FILE.zip",
        help="what the organisers hand out: their protocol, limits and sample cases",
    )
    parser.add_argument(
        "--case",
        type=Path,
        nargs="+",
        action="append",
        default=[],
        metavar=("IMAGE", "LABEL"),
        help="a case of your own: IMAGE LABEL, or a folder with images/ and labels/; may be given "
        "several times",
    )
    parser.add_argument("--modality", help="of your own cases; CT gets the window of a CT")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="CASE[:K]",
        help="run this case alone, up to interaction K; may be given several times",
    )
    parser.add_argument("--protocol", help="name or YAML file (cvpr25, or the challenge's first)")
    parser.add_argument(
        "--runtime",
        default="auto",
        help="auto, docker, podman, apptainer, or process (trusted folders only)",
    )
    parser.add_argument(
        "--base-image", default="", help="what a folder runs in: an image, or a file for apptainer"
    )
    parser.add_argument("--gpu", action="store_true", help="give each call a GPU of this machine")
    parser.add_argument("--all", action="store_true", help="go on after a call that failed")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help=f"a new folder for inputs, answers, logs and the report (./{KEPT}, ./{KEPT}-2, ...)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run `segarena check` and return its exit code: 0 only when the submission would run."""
    challenge = read_challenge(arguments.challenge) if arguments.challenge else None
    protocol = _protocol(arguments.protocol, challenge)
    own, warnings = own_cases(arguments.case, arguments.modality)
    cases = _chosen([challenge.cases if challenge else {}, own, bundled()], arguments.only)
    # What the steps print on the way must not get into the JSON.
    printed = sys.stderr if arguments.json else sys.stdout
    with _kept(arguments.keep) as folder, contextlib.redirect_stdout(printed):
        report = Report(arguments.submission, protocol, folder)
        report.given = [name for name, (case, _) in cases.items() if case.is_given]
        report.findings += [_about_case(note) for note in warnings]
        check(arguments, cases, report, has_gpu=challenge is not None and challenge.has_gpu)
        report.write()
        write_page(report)
    print(printed_json(report) if arguments.json else report.as_text())
    return 0 if report.passed else 1


def check(
    arguments: argparse.Namespace,
    cases: dict[str, tuple[CheckCase, int | None]],
    report: Report,
    *,
    has_gpu: bool,
) -> None:
    """Fill `report`; raises EngineError where the machine, not the submission, is at fault."""
    protocol, folder = report.protocol, report.folder
    place = source.found(arguments.submission, arguments.runtime, folder)
    if str(place.parent) == str(folder.resolve()):
        detail = f"the image was saved as {place}; this file is what you submit"
        report.findings.append(Finding("saved", PASSED, detail))
    kinds = {step["prompt"] for step in protocol["user"]}
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        reason = refusal(place, kinds, Path(cache, "accepts.json"))
    if reason:
        cure = "use another protocol (--protocol), or use them and name them in segarena.yaml"
        report.findings.append(Finding("left out of this protocol", FAILED, reason, cure))
        return
    print(f"reading {place.name} ...", file=sys.stderr)
    try:
        image = runners.ready(place, runtime=arguments.runtime, base_image=arguments.base_image)
    except SubmissionError as error:
        cure = source.archive_cure(place, str(error))
        report.findings.append(Finding("archive", FAILED, str(error), cure))
        return
    report.image = image
    report.findings += [Finding("archive", PASSED, _described(image)), *_line_ends(place)]
    if has_gpu and not arguments.gpu:
        detail = "the challenge gives each call a GPU, this check gave none (--gpu)"
        report.findings.append(Finding("GPU", NOT_JUDGED, detail))
    with gpu.taken(int(arguments.gpu)):
        _run_all(arguments, cases, report)


def _run_all(
    arguments: argparse.Namespace,
    cases: dict[str, tuple[CheckCase, int | None]],
    report: Report,
) -> None:
    """Run the cases, judge their calls, and ask some again."""
    protocol, folder, given = _for_this_machine(report.protocol), report.folder, arguments.gpu
    image = {**report.image, "report_writes": True}
    for name, (case, last) in cases.items():
        calls: list[Call] = []
        made = run_case(folder / name, name, case, image, protocol, with_gpu=given, last=last)
        with contextlib.closing(made):
            for call in made:
                calls.append(call)
                if call["status"] not in {"ok", "not_asked"} and not arguments.all:
                    report.stopped = True
                    break
        add_scores(folder / name, name, calls, case, protocol)
        report.calls += calls
        if report.stopped:
            break
    report.findings += judged(report.calls, report.protocol, report.image)
    if any(call["status"] not in {"ok", "not_asked"} for call in report.calls):
        return
    again = folder / "again"
    try:
        report.findings += behaviour(again, report.calls, image, protocol, gpu=given)
        if image.get("serves"):
            report.findings.append(
                _other_container(again, cases, report.calls, image, protocol, gpu=given)
            )
    finally:
        shutil.rmtree(again, ignore_errors=True)


def _other_container(
    folder: Path,
    cases: dict[str, tuple[CheckCase, int | None]],
    calls: list[Call],
    image: dict[str, Any],
    protocol: Protocol,
    *,
    gpu: bool,
) -> Finding:
    """Run the first cases once more, warm where calls are fresh and the other way round."""
    container = "fresh" if protocol.get("container") == "warm" else "warm"
    other = {**protocol, "container": container}
    others: list[Call] = []
    for name, (case, last) in list(cases.items())[:_BOTH_WAYS]:
        others += run_case(folder / name, name, case, image, other, with_gpu=gpu, last=last)
    return compared(calls, others, container)


def _protocol(name: str | None, challenge: Challenge | None) -> Protocol:
    if challenge is None:
        return load(name or "cvpr25")
    known = challenge.protocols
    if name is not None and name not in known:
        raise ConfigError(f"--protocol: the challenge has {', '.join(known)}, not {name}")
    return known[name] if name else next(iter(known.values()))


def _chosen(
    kinds: list[dict[str, CheckCase]], only: list[str]
) -> dict[str, tuple[CheckCase, int | None]]:
    """Return the cases to run, each with its last interaction or None for all."""
    cases: dict[str, CheckCase] = {}
    for kind in kinds:
        if twice := sorted(kind.keys() & cases.keys()):
            raise ConfigError(f"--case: there is a case {twice[0]} already; rename your own")
        cases |= kind
    if not only:
        return {name: (case, None) for name, case in cases.items()}
    chosen: dict[str, tuple[CheckCase, int | None]] = {}
    for text in only:
        name, _, last = text.partition(":")
        if name not in cases:
            raise ConfigError(f"--only: no case {name!r}; the cases are {', '.join(cases)}")
        if last and not (last.isdecimal() and int(last) > 0):
            raise ConfigError(f"--only: {text}: write CASE or CASE:K, K from 1 on")
        chosen[name] = (cases[name], int(last) if last else None)
    return chosen


def _for_this_machine(protocol: Protocol) -> Protocol:
    """Return the protocol with no more processors than there are; no engine takes more."""
    cpus = protocol["limits"].get("cpus")
    here = os.cpu_count() or 1
    if not cpus or cpus <= here:
        return protocol
    return {**protocol, "limits": {**protocol["limits"], "cpus": here}}


@contextlib.contextmanager
def _kept(wanted: Path | None) -> Iterator[Path]:
    """Yield the check's own new folder; it is removed where the check does not come to its end.

    Raises ConfigError where the wanted one is there already.
    """
    before = signal.signal(signal.SIGTERM, _leave)
    folder = _new_folder(wanted)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, _: object) -> None:
    """End by an exception, so that containers and the folder are removed on the way out."""
    sys.exit(128 + number)


def _new_folder(wanted: Path | None) -> Path:
    number = 1
    while True:
        folder = wanted or Path(KEPT if number == 1 else f"{KEPT}-{number}")
        try:
            folder.mkdir(parents=wanted is not None)
            return folder.resolve()
        except FileExistsError as error:
            if wanted:
                raise ConfigError(
                    f"--keep: {wanted} is there already; name a new folder"
                ) from error
        except OSError as error:
            raise ConfigError(
                f"{folder}: cannot be made ({error.strerror}); name a folder with --keep"
            ) from error
        number += 1


def _about_case(note: str) -> Finding:
    cure = "--modality CT, if it is a CT" if "CT" in note else ""
    return Finding("case", WARNING, note, cure)


def _line_ends(place: Path) -> list[Finding]:
    """Find Windows line ends in a folder's scripts, which sh reads as part of each word."""
    if not place.is_dir():
        return []
    scripts = [p for name in ("predict.sh", "serve.sh") if (p := place / name).is_file()]
    wrong = [path.name for path in scripts if b"\r\n" in path.read_bytes()]
    if not wrong:
        return []
    detail = f"{' and '.join(wrong)}: Windows line ends (CRLF)"
    return [Finding("line ends", WARNING, detail, "sed -i 's/\\r$//' " + " ".join(wrong))]


def _described(image: dict[str, Any]) -> str:
    if image["runtime"] == "process":
        return "a folder, run as a plain process (nothing is isolated)"
    if image.get("mounted"):
        return f"a folder, run in {image['image_id'][:19]}"
    size = readable(image["size_bytes"])
    user = image.get("user") or "root"
    return f"one image for {image['architecture']}, {size} packed, runs as {user}"
