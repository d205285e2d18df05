"""`segarena check`: what a participant runs before submitting.

A whole protocol is run on small bundled cases (one with a box, one without) and on the
participant's own, by the very functions that the benchmark's jobs call, with the organisers' limits
and isolation. What comes out is a table of calls, and a list of what passed and what did not, each
failure with its cure.

The protocol is run once. Nobody drew on these cases, so where it asks for what people drew, the
simulated user scribbles: a submission reads the same.
"""

import argparse
import contextlib
import io
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segarena import masks
from segarena.case import (
    Image,
    Truth,
    read_answer,
    read_image,
    read_truth,
    write_answer,
    write_image,
    write_truth,
)
from segarena.errors import ConfigError, SubmissionError
from segarena.files import read_json
from segarena.predict import runners
from segarena.predict.accepts import refusal
from segarena.predict.runners.watch import readable
from segarena.predict.session import limits_of, make_input
from segarena.predict.session_step import run_session
from segarena.prepare.boxes import boxes_of
from segarena.prepare.nifti import find_cases, prepare_case
from segarena.protocol import Protocol, load, prompt_values, steps

SEED = 2025
EXAMPLE = Path("segarena-check")
LARGE = "bundled-large"
"""A case of more than a million voxels, above which libraries choose other ways. It has two
interactions, so that it is quick; at the second a label of the answer before has no error left."""

# What a program prints when it goes wrong, and what its author can do about it.
CURES = (
    (
        r"can't create ([^:\n]+): Read-only file system",
        "writes to {0}, which is read-only at run time: move it to /tmp",
    ),
    (
        r"Read-only file system: '?([^'\n]+)",
        "writes to {0} at run time: move it to /tmp, or do it when the image is built",
    ),
    (
        r"Permission denied: '?([^'\n]+)",
        "may not use {0}: root has no capabilities here; write to /tmp or to outputs",
    ),
    (
        r"Temporary failure in name resolution|Network is unreachable|Name or service not known|"
        r"Failed to resolve|Max retries exceeded|bad address",
        "needs the network, and there is none: put weights and other files into the image",
    ),
    (
        r"/dev/shm|unable to (?:open|allocate) shared memory|Bus error",
        "uses more shared memory than there is: fewer workers in data loaders (num_workers=0)",
    ),
    (
        r"No space left on device",
        "fills /tmp or the disk: write less, see the protocol's limits",
    ),
    (
        r"numpy\._core|compiled using NumPy 1\.x|numpy\.dtype size changed",
        "mixes versions of numpy: pin the version that the program was made with in the image",
    ),
    (
        r"No module named '?([\w.]+)",
        "lacks the Python module {0}: install it in the image",
    ),
    (
        r"No CUDA GPUs are available|Found no NVIDIA driver|CUDA driver version is insufficient",
        "needs a GPU, which this check did not have: check where there is one, or use the CPU",
    ),
    (
        r"[Ee]xec format error",
        "holds programs for another kind of processor: build with --platform linux/amd64",
    ),
    (
        r"(?:can't open|cannot open) '?predict\.sh|predict\.sh: No such file",
        "has no predict.sh in its working directory: set WORKDIR in the Dockerfile, copy it there",
    ),
    (
        r"([^\s:]+): (?:command )?not found",
        "calls {0}, which the image does not have: install it",
    ),
    (
        r"KeyError: '?(?:boxes|clicks|clicks_order|scribbles|prev_pred)",
        "assumes that every input has boxes, clicks and prev_pred: ask for each with `in`",
    ),
)

STATUS_CURES = {
    "no_answer": "write the label map to outputs under the input file's own name",
    "bad_answer": "save it with np.savez_compressed(path, segs=labels.astype(np.uint8))",
    "timed_out": "speed it up, or return a partial answer before the limit",
    "out_of_memory": "use less memory: work on the box's surroundings, or in float16",
    "too_much_output": "write the one answer file only, and print less",
    "crashed": "run the call manually (below) and look at what it prints",
}


@dataclass
class Finding:
    """One thing that was looked at. `cure` is empty where it passed."""

    what: str
    passed: bool
    detail: str
    cure: str = ""


@dataclass
class Report:
    """Everything that a check found out."""

    submission: str
    protocol: str
    image: dict[str, Any] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    by_hand: str = ""

    @property
    def passed(self) -> bool:
        """Whether the submission would run in the challenge."""
        return bool(self.calls) and all(finding.passed for finding in self.findings)


def add_parser(subparsers: Any) -> None:
    """Add `check` to the sub-commands of `segarena`."""
    parser = subparsers.add_parser(
        "check",
        description="Run a whole protocol with a submission on small bundled cases, with the "
        "limits and the isolation of the benchmark. Exit code 0 only when it would run.",
    )
    parser.add_argument("submission", type=Path, help="docker archive, or folder with a predict.sh")
    parser.add_argument(
        "--case",
        type=Path,
        metavar="DIR",
        help="cases of your own beside the bundled ones: DIR/images and DIR/labels",
    )
    parser.add_argument("--protocol", default="cvpr25", help="name or YAML file (cvpr25)")
    parser.add_argument(
        "--runtime",
        default="auto",
        help="auto, docker, podman, apptainer, or process (trusted folders only)",
    )
    parser.add_argument(
        "--base-image", default="", help="what a folder runs in: an image, or a file for apptainer"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run `segarena check` and return its exit code: 0 only when the submission would run."""
    if not arguments.submission.exists():
        raise ConfigError(f"{arguments.submission}: no such archive or folder")
    protocol = _simulated(load(arguments.protocol))
    report = Report(str(arguments.submission), protocol["name"])
    # What the steps print on the way must not get into the JSON.
    printed = sys.stderr if arguments.json else sys.stdout
    with contextlib.redirect_stdout(printed):
        check(arguments, protocol, report)
    if arguments.json:
        print(json.dumps(_as_json(report), indent=1))
    else:
        print(_as_text(report))
    return 0 if report.passed else 1


def check(arguments: argparse.Namespace, protocol: Protocol, report: Report) -> None:
    """Fill `report`; raises EngineError where the machine, not the submission, is at fault."""
    source = arguments.submission.resolve()
    with tempfile.TemporaryDirectory(prefix="segarena-check-") as folder:
        kinds = {step["prompt"] for step in protocol["user"]}
        reason = refusal(source, kinds, Path(folder, "accepts.json"))
    if reason:
        cure = "use another protocol (--protocol), or use them and name them in segarena.yaml"
        report.findings.append(Finding("left out of this protocol", False, reason, cure))
        return
    try:
        image = runners.ready(
            source,
            runtime=arguments.runtime,
            base_image=arguments.base_image,
        )
    except SubmissionError as error:
        report.findings.append(Finding("archive", False, str(error), "save the archive again"))
        return
    report.image = image
    report.findings.append(Finding("archive", True, _described(image)))
    with tempfile.TemporaryDirectory(prefix="segarena-check-") as folder:
        cases = _cases(arguments.case)
        reporting = {**image, "report_writes": True}
        report.calls += _run_cases(Path(folder), cases, reporting, protocol)
        _judge(report, protocol)
        if image.get("serves"):
            container = "fresh" if protocol.get("container") == "warm" else "warm"
            other = {**protocol, "container": container}
            calls = _run_cases(Path(folder, "other"), cases, reporting, other)
            report.findings.append(_compared(report.calls, calls, container))
        _write_example_call(report, Path(folder), image, protocol)


def _run_cases(
    folder: Path,
    cases: dict[str, tuple[Image, Truth]],
    image: dict[str, Any],
    protocol: Protocol,
) -> list[dict[str, Any]]:
    """Run a protocol on all cases and return its calls."""
    calls = []
    for name, (case_image, truth) in cases.items():
        case_folder = folder / name
        case_folder.mkdir(parents=True)
        write_image(case_folder / "image.npz", case_image)
        write_truth(case_folder / "truth.npz", truth)
        calls += list(_run_case(case_folder, name, image, protocol))
    return calls


def _compared(calls: list[dict[str, Any]], others: list[dict[str, Any]], container: str) -> Finding:
    """Say whether a submission that can stay answers the same with the other kind of container."""
    what = f"container: {container}"
    for call in others:
        if call["status"] not in {"ok", "not_asked"}:
            where = f"{call['case']}, interaction {call['interaction']}"
            return Finding(what, False, f"{where}: {call['message']}", cure_of(call))
    pairs = list(zip(calls, others, strict=True))
    differ = sum(one["answer_sha256"] != other["answer_sha256"] for one, other in pairs)
    starts = [call["start_seconds"] for call in (*calls, *others) if call.get("start_seconds")]
    ready = f"ready after {max(starts):.1f} s at most" if starts else "never started"
    if differ:
        detail = f"warning: {differ} of {len(pairs)} answers differ from those of the other kind"
        return Finding(what, True, f"{detail}; {ready}", "keep nothing that changes an answer")
    return Finding(what, True, f"the answers are the same; {ready}")


def bundled_case(*, box: bool, zoom: int = 1) -> tuple[Image, Truth]:
    """Return a drawn case of 20 x 64 x 72 voxels: three ellipsoids in noise, with or without a box.

    It is drawn rather than real so that it costs nothing to carry and seconds to run. zoom: how
    many times as large its slices are in both directions.
    """
    shape = (20, 64 * zoom, 72 * zoom)
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    y, x = y / zoom, x / zoom
    gts = np.zeros(shape, np.uint8)
    ellipsoids = [((9, 20, 24), (6, 12, 14)), ((11, 46, 20), (4, 9, 8)), ((10, 36, 54), (7, 16, 9))]
    for label, ((cz, cy, cx), (rz, ry, rx)) in enumerate(ellipsoids, start=1):
        gts[((z - cz) / rz) ** 2 + ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1] = label
    noise = np.random.default_rng(SEED).normal(0, 12, gts.shape)
    levels = np.array([60, 140, 180, 110])[gts]
    imgs = np.clip(levels + noise, 0, 255).astype(np.uint8)
    boxes = boxes_of(gts, case="check", seed=SEED) if box else None
    return Image(imgs, (3.0, 1 / zoom, 1 / zoom), boxes, "xyz"), Truth(gts)


def _cases(own: Path | None) -> dict[str, tuple[Image, Truth]]:
    cases = {
        LARGE: bundled_case(box=True, zoom=4),
        "bundled": bundled_case(box=True),
        "bundled-nobox": bundled_case(box=False),
    }
    if own is None:
        return cases
    for name, (image, label) in find_cases(own / "images", own / "labels").items():
        prepared, truth, _ = prepare_case(
            image, label, case=name, modality=None, window=None, box=True, seed=SEED
        )
        cases[name] = (prepared, truth)
    return cases


def _simulated(protocol: Protocol) -> Protocol:
    """Return the protocol with simulated scribbles in place of drawn ones."""
    scribble = {"prompt": "scribble", "mix": {"line": 1, "centerline": 1, "contour": 1}}
    user = [
        {**scribble, "times": step["times"]} if step["prompt"] == "drawn" else step
        for step in protocol["user"]
    ]
    return {**protocol, "user": user}


def _run_case(
    folder: Path, case: str, image: dict[str, Any], protocol: Protocol
) -> Iterator[dict[str, Any]]:
    """Run every interaction of the protocol as the jobs of the workflow do."""
    (folder / "submission.json").write_text(json.dumps(image), encoding="utf-8")
    files = {
        "submission": str(folder / "submission.json"),
        "image": str(folder / "image.npz"),
        "truth": str(folder / "truth.npz"),
    }
    prompts = steps(protocol)[: 2 if case == LARGE else None]
    numbers = range(1, len(prompts) + 1)
    names = [name for k in numbers for name in (f"prompts{k}.json", f"{k}.npz", f"{k}.json")]
    outputs = [str(folder / name) for name in names]
    values = [prompt_values(protocol, k) for k in numbers]
    gts = read_truth(folder / "truth.npz").gts
    for record in run_session(files, outputs, case=case, steps=values, values={"rules": protocol}):
        k = record["interaction"]
        step = prompts[k - 1]
        log = (folder / f"{k}.log").read_text(encoding="utf-8")
        labels = len(read_json(folder / f"prompts{k}.json")["labels"])
        record |= {"prompt": step["prompt"], "labels": labels, "printed": log}
        record["perfect_label"] = case == LARGE and k == 2
        record["invented_voxels"] = masks.invented(gts, read_answer(folder / f"{k}.npz"))
        print(f"  {case}, interaction {k} ({step['prompt']}): {record['status']}", file=sys.stderr)
        if case == LARGE and k == 1:
            _make_perfect(folder / "1.npz", gts)
        yield record


def _make_perfect(answer_npz: Path, gts: np.ndarray) -> None:
    """Let the answer in force have no error in label 1."""
    segs = read_answer(answer_npz)
    segs[(segs == 1) | (gts == 1)] = 0
    segs[gts == 1] = 1
    write_answer(answer_npz, segs)


def _judge(report: Report, protocol: Protocol) -> None:
    asked = [call for call in report.calls if call["status"] != "not_asked"]
    failed = [call for call in asked if call["status"] != "ok"]
    good = len(asked) - len(failed)
    report.findings.append(Finding("answers", not failed, f"{good} of {len(asked)} are usable"))
    shown = set()
    for call in failed:
        cure = cure_of(call)
        if cure not in shown:
            shown.add(cure)
            where = f"{call['case']}, interaction {call['interaction']}"
            last = call["printed"].splitlines()[-1]
            detail = f"{where}: {call['message'] or last}"
            if call["status"] == "crashed":
                detail += f"; the last line that it printed: {last}"
            report.findings.append(Finding(call["status"], False, detail, cure))
    report.findings += [_time(report, protocol), _memory(asked), *_invented(asked)]
    written = sorted({path for call in asked for path in call.get("written", ())})
    if written:
        detail = f"writes to {', '.join(written[:5])} at run time; it is gone after each call"
        cure = "allowed here; move it to /tmp to be safe"
        report.findings.append(Finding("beside its code", True, detail, cure))


def _invented(calls: list[dict[str, Any]]) -> list[Finding]:
    """Warn of the first label that nobody asked for: its voxels are background for every metric."""
    call = next((call for call in calls if call["invented_voxels"]), None)
    if call is None:
        return []
    label, voxels = next(iter(call["invented_voxels"].items()))
    where = f"{call['case']}, interaction {call['interaction']}"
    detail = f"warning: {where}: {voxels} voxels have label {label}, which was not asked for"
    return [Finding("labels", True, detail, "answer 0 and the labels that have prompts, no others")]


def cure_of(call: dict[str, Any]) -> str:
    """Return what the author can do about a call that failed, from what it printed."""
    printed = f"{call['message']}\n{call['printed']}"
    for pattern, cure in CURES:
        found = re.search(pattern, printed)
        if found:
            return cure.format(*(group for group in found.groups() if group))
    if call["status"] == "crashed" and call.get("perfect_label"):
        return (
            "one label had no error left, so no click was added for it and clicks_order ends in "
            "None there: leave such a label as it is"
        )
    return STATUS_CURES[call["status"]]


def _time(report: Report, protocol: Protocol) -> Finding:
    """Compare with the limit, whichever way the protocol counts."""
    time, slowest, limit = protocol["time"], 0.0, 0.0
    for call in report.calls:
        per_case = time.get("per", "call") == "case"
        seconds = call["case_seconds"] if per_case else call["seconds"]
        allowed = time["seconds_per_label"] * call["labels"]
        if limit == 0 or seconds / allowed > slowest / limit:
            slowest, limit = seconds, allowed
    unit = "case" if time.get("per", "call") == "case" else "call"
    detail = f"the slowest {unit} took {slowest:.1f} s of {limit:g} s"
    return Finding("time", slowest <= limit, detail, "" if slowest <= limit else "speed it up")


def _memory(calls: list[dict[str, Any]]) -> Finding:
    known = [c["peak_memory_bytes"] for c in calls if c["peak_memory_bytes"] is not None]
    if not known:
        return Finding("memory", True, "not measured by this runtime")
    limit = calls[0]["limits"]["memory_bytes"]
    return Finding("memory", True, f"{readable(max(known))} of {readable(limit)} at most")


def _write_example_call(
    report: Report, folder: Path, image: dict[str, Any], protocol: Protocol
) -> None:
    """Keep the input of the first call that failed, or of the last one, and say how to run it."""
    asked = [call for call in report.calls if call["status"] != "not_asked"]
    call = next((call for call in asked if call["status"] != "ok"), asked[-1])
    case, k = call["case"], call["interaction"]
    shutil.rmtree(EXAMPLE, ignore_errors=True)
    for name in ("inputs", "outputs"):
        (EXAMPLE / name).mkdir(parents=True)
        (EXAMPLE / name).chmod(0o777)
    before = folder / case / f"{k - 1}.npz"
    shape = read_image(folder / case / "image.npz").imgs.shape[:3]
    previous = read_answer(before) if before.exists() else np.zeros(shape, np.uint8)
    prompts = read_json(folder / case / f"prompts{k}.json")
    make_input(EXAMPLE / "inputs" / f"{case}.npz", folder / case / "image.npz", prompts, previous)
    limits = limits_of(protocol, call["labels"], 0.0)
    runner, here = runners.runner(image["runtime"]), EXAMPLE.resolve()
    report.by_hand = runner.by_hand(image, here / "inputs", here / "outputs", limits)


def _described(image: dict[str, Any]) -> str:
    if image["runtime"] == "process":
        return "a folder, run as a plain process (nothing is isolated)"
    if image.get("mounted"):
        return f"a folder, run in {image['image_id'][:19]}"
    size = readable(image["size_bytes"])
    user = image.get("user") or "root"
    return f"one image for {image['architecture']}, {size} packed, runs as {user}"


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "passed": report.passed,
        "submission": report.submission,
        "protocol": report.protocol,
        "image": report.image,
        "findings": [vars(finding) for finding in report.findings],
        "calls": report.calls,
        "by_hand": report.by_hand,
    }


def _as_text(report: Report) -> str:
    text = io.StringIO()
    if report.calls:
        text.write(f"{'case':<16}{'prompt':<14}{'status':<16}{'seconds':>8}{'limit':>8}  memory\n")
    for call in report.calls:
        peak = call["peak_memory_bytes"]
        text.write(
            f"{call['case']:<16}{call['interaction']} {call['prompt']:<12}{call['status']:<16}"
            f"{call['seconds']:>8.2f}{call['limits']['seconds']:>8.0f}  "
            f"{readable(peak) if peak is not None else '-'}\n"
        )
    text.write("\n")
    for finding in report.findings:
        text.write(
            f"{'passed' if finding.passed else 'FAILED'}  {finding.what}: {finding.detail}\n"
        )
        if finding.cure:
            text.write(f"        cure: {finding.cure}\n")
    if report.by_hand:
        text.write(
            f"\nto run one call manually (its input is in {EXAMPLE}/inputs):\n{report.by_hand}\n"
        )
    verdict = "would run" if report.passed else "would NOT run"
    text.write(f"\n{report.submission} {verdict} under {report.protocol}.")
    return text.getvalue()
