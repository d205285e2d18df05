"""Every call of a check, by the very functions that the benchmark's jobs call.

Of each case a folder is kept: image.npz and truth.npz, session/ as under results/predict, and per
interaction a folder with the input, the answer, the log and a script that makes the call again.
"""

import json
import math
import shlex
import shutil
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from segarena import masks
from segarena.case import read_answer, read_image, read_truth, write_answer
from segarena.check.cases import CheckCase
from segarena.files import read_json, read_lines
from segarena.predict import runners
from segarena.predict.session import answer, limits_of, make_input
from segarena.predict.session_step import run_session
from segarena.predict.state import unpack
from segarena.predict.store import Store
from segarena.protocol import (
    Protocol,
    labels_named,
    prompt_values,
    regions,
    steps,
    wants_areas,
    wants_prompts,
)
from segarena.score import DEFAULT_METRICS
from segarena.score.metrics import column
from segarena.score.metrics_step import main as write_metrics
from segarena.score.step import main as score

Call = dict[str, Any]
"""A record of the predict stage, and what the check adds to it (`_about`, `add_scores`)."""

REPLAY = "again.sh"


def fitted(protocol: Protocol, case: CheckCase, folder: Path) -> Protocol:
    """Return the protocol as this case can be run under it.

    The bundled cases have none of the challenge's labels, so what a protocol says of single labels
    does not hold for them. Where people drew no scribbles, the simulated user does.
    """
    if not (folder / "scribbles.npz").exists():
        scribble = {"prompt": "scribble", "mix": {"line": 1, "centerline": 1, "contour": 1}}
        user = [
            {**scribble, "times": step["times"]} if step["prompt"] == "drawn" else step
            for step in protocol["user"]
        ]
        protocol = {**protocol, "user": user}
    if case.is_given:
        return protocol
    protocol = {key: value for key, value in protocol.items() if key not in {"labels", "over"}}
    if labels_named(protocol["metrics"]):
        protocol["metrics"] = list(DEFAULT_METRICS)
    labels = len(read_truth(folder / "truth.npz").labels)
    if labels == 1 or protocol.get("ignore_label") != labels:  # it must be the highest of several
        protocol.pop("ignore_label", None)
    return protocol


def run_case(
    folder: Path,
    name: str,
    case: CheckCase,
    image: dict[str, Any],
    protocol: Protocol,
    *,
    with_gpu: bool,
    last: int | None = None,
) -> Generator[Call, None, None]:
    """Run the interactions of a case as the jobs of the workflow do, up to `last`; yield the calls.

    folder: that of the case, which is made.
    """
    session = folder / "session"
    session.mkdir(parents=True)
    case.write(folder)
    protocol = fitted(protocol, case, folder)
    (session / "submission.json").write_text(json.dumps(image), encoding="utf-8")
    files = {"submission": str(session / "submission.json"), "image": str(folder / "image.npz")}
    files["truth"] = str(folder / "truth.npz")
    if (folder / "scribbles.npz").exists():
        files["drawn"] = str(folder / "scribbles.npz")
    chosen = steps(protocol)[: case.interactions][:last]
    numbers = range(1, len(chosen) + 1)
    names = [name for k in numbers for name in (f"prompts{k}.json", f"{k}.npz", f"{k}.json")]
    outputs = [str(session / name) for name in names]
    values = [prompt_values(protocol, k) for k in numbers]
    gts = read_truth(folder / "truth.npz").gts
    given = {"rules": protocol, "gpu": with_gpu}
    for record in run_session(files, outputs, case=name, steps=values, values=given):
        k = record["interaction"]
        call = record | _about(folder, k, chosen[k - 1]["prompt"], gts)
        call["perfect_label"] = case.perfect_label and k == 2
        _keep_call(folder, name, call, image, protocol)
        seconds = f"{call['seconds']:.1f} s"
        print(
            f"  {name}, interaction {k} ({call['prompt']}): {call['status']}, {seconds}",
            file=sys.stderr,
        )
        yield call
        if case.perfect_label and k == 1:
            _make_perfect(session / "1.npz", gts)
        if k < len(chosen):
            _unpack_state(session, record, folder / str(k + 1))


def _about(folder: Path, k: int, prompt: str, gts: np.ndarray) -> Call:
    """Return what a call's record does not say."""
    session = folder / "session"
    prompts = read_json(session / f"prompts{k}.json")
    return {
        "prompt": prompt,
        "labels": len(prompts["labels"]),
        "asked_labels": prompts["labels"],
        "prompts": {key: prompts.get(key) for key in ("boxes", "clicks", "scribbles")},
        "printed": (session / f"{k}.log").read_text(encoding="utf-8").partition("\n")[2],
        "invented_voxels": masks.invented(gts, read_answer(session / f"{k}.npz")),
        "folder": str(folder / str(k)),
    }


def _keep_call(
    folder: Path, name: str, call: Call, image: dict[str, Any], protocol: Protocol
) -> None:
    """Keep the input, the answer and the log of a call, and a script that makes it again."""
    k, session = call["interaction"], folder / "session"
    there = folder / str(k)
    for part in ("inputs", "outputs"):
        (there / part).mkdir(parents=True, exist_ok=True)
        (there / part).chmod(0o777)
    shutil.copyfile(session / f"{k}.npz", there / "answer.npz")
    shutil.copyfile(session / f"{k}.log", there / "log.txt")
    if call["status"] == "not_asked":
        return
    before = session / f"{k - 1}.npz"
    shape = read_image(folder / "image.npz").imgs.shape[:3]
    previous = read_answer(before) if before.exists() else np.zeros(shape, np.uint8)
    input_npz = there / "inputs" / f"{name}.npz"
    make_input(input_npz, folder / "image.npz", read_json(session / f"prompts{k}.json"), previous)
    input_npz.chmod(0o666)
    limits = limits_of(protocol, call["labels"], 0.0)
    runner = runners.runner(image["runtime"])
    command = runner.by_hand(image, there / "inputs", there / "outputs", limits)
    (there / REPLAY).write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")


def _unpack_state(session: Path, record: Call, there: Path) -> None:
    """Put what a call has left for the next one to where that one can be made again."""
    left = record.get("state")
    if left and not left["answer_only"]:
        for part in ("inputs", "outputs"):
            (there / part).mkdir(parents=True, exist_ok=True)
        unpack(Store(session / ".states").state_file(left["key"]), there)


def _make_perfect(answer_npz: Path, gts: np.ndarray) -> None:
    """Let the answer in force have no error in label 1."""
    segs = read_answer(answer_npz)
    segs[(segs == 1) | (gts == 1)] = 0
    segs[gts == 1] = 1
    write_answer(answer_npz, segs)


def replay_command(call: Call) -> str:
    """Return the command that makes a call again."""
    return f"sh {shlex.quote(short_path(Path(call['folder'], REPLAY)))}"


def short_path(path: Path) -> str:
    """Return a path as people write it: from the working directory where it is in there."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def ask_again(
    folder: Path,
    name: str,
    calls: list[Call],
    image: dict[str, Any],
    protocol: Protocol,
    *,
    gpu: bool,
) -> list[str]:
    """Ask calls of a case again, with the same prompts; return the digests of the answers.

    folder: a new one. name: the case's, or another. It ends with the first answer that differs.
    """
    folder.mkdir(parents=True)
    digests: list[str] = []
    previous = None
    for call in calls:
        k, case = call["interaction"], Path(call["folder"]).parent
        record = answer(
            image=image,
            case=name,
            image_npz=case / "image.npz",
            prompts_json=case / "session" / f"prompts{k}.json",
            previous_npz=previous,
            rules=protocol,
            answer_npz=folder / f"{k}.npz",
            record_json=folder / f"{k}.json",
            with_gpu=gpu,
        )
        digests.append(record["answer_sha256"])
        if record["answer_sha256"] != call["answer_sha256"]:
            break
        previous = folder / f"{k}.npz"
    return digests


def add_scores(
    folder: Path, name: str, calls: list[Call], case: CheckCase, protocol: Protocol
) -> None:
    """Score a case's calls as the workflow does; `scores` of each call are the means over labels.

    Writes scores.csv and, as in the workflow one row per case, metrics.csv.
    """
    protocol = fitted(protocol, case, folder)
    numbers = [call["interaction"] for call in calls]
    files: dict[str, Any] = {
        "truth": str(folder / "truth.npz"),
        "answers": [str(folder / str(k) / "answer.npz") for k in numbers],
    }
    if wants_prompts(protocol):
        files["prompts"] = [str(folder / "session" / f"prompts{k}.json") for k in numbers]
    score(
        files,
        str(folder / "scores.csv"),
        protocol["metrics"],
        ignore_label=protocol.get("ignore_label"),
        areas=wants_areas(protocol),
        regions=regions(protocol),
    )
    records = [str(folder / "session" / f"{k}.json") for k in numbers]
    values = protocol
    if len(numbers) < len(steps(protocol)):  # what a whole series means is not known then
        values = {**protocol, "series": {"auc_from": 1}}
    table = folder / "metrics.csv"
    write_metrics(
        [str(folder / "scores.csv")],
        records,
        str(table),
        cases=[name],
        values=values,
        labels_output=str(folder / "labels.csv"),
    )
    head, row = (line.rstrip("\n").split(",") for line in read_lines(table))
    found = dict(zip(head, row, strict=True))
    for call in calls:
        values_now = {
            metric: float(found[f"{metric}_{call['interaction']}"] or math.nan)
            for metric in map(column, protocol["metrics"])
        }
        call["scores"] = {name: None if math.isnan(v) else v for name, v in values_now.items()}
