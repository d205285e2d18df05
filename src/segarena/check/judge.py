"""What is wrong or odd about the calls of a check: a list of findings, the worst first.

A submission that runs may still answer nothing of use, and a challenge would score it without a
word. So answers are compared with the truth in ways that no metric is: are they empty, the same
everywhere, turned, without some labels, the same whatever is clicked?
"""

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segarena.case import read_answer, read_boxes, read_truth
from segarena.check.cures import NETWORK, cure_of, shell_warnings
from segarena.check.sessions import Call
from segarena.predict.runners import GIB
from segarena.predict.runners.watch import machine_memory_bytes, readable
from segarena.protocol import Protocol
from segarena.untrusted import printable

PASSED, WARNING, NOT_JUDGED, FAILED = "passed", "warning", "not judged", "FAILED"
LOG_LINES = 12

_MOST_VOXELS, _FEWEST_VOXELS = 200_000, 100
_TURNED_DICE = 0.35  # so well an answer must fit a turned truth, and twice as well as the truth
_AXES = "zyx"


@dataclass
class Finding:
    """One thing that was looked at. level: PASSED, WARNING, NOT_JUDGED or FAILED.

    cure: what to do, empty where there is nothing to do. log: the last lines that it printed.
    """

    what: str
    level: str
    detail: str
    cure: str = ""
    log: list[str] = field(default_factory=list)


def judged(calls: list[Call], protocol: Protocol, image: dict[str, Any]) -> list[Finding]:
    """Return what the calls show, in the order in which it is printed."""
    asked = [call for call in calls if call["status"] != "not_asked"]
    good = [call for call in asked if call["status"] == "ok"]
    failed = [call for call in asked if call["status"] != "ok"]
    failures = list(_failures(failed, protocol, image))
    levels = {failure.level for failure in failures}
    level = FAILED if FAILED in levels else NOT_JUDGED if levels else PASSED
    findings = [Finding("answers", level, f"{len(good)} of {len(asked)} are usable"), *failures]
    findings += [*_time(calls, protocol), *_memory(asked, protocol), *_gpu_memory(asked)]
    findings += _about_answers(good)
    findings += [*_invented(asked), *_printed(good), *_written(asked)]
    return findings


def _failures(failed: list[Call], protocol: Protocol, image: dict[str, Any]) -> Iterator[Finding]:
    """Yield the failed calls, those with the same cure once."""
    least = min(protocol["limits"]["memory_gb"] * GIB, machine_memory_bytes())
    shown = set()
    for call in failed:
        cure = cure_of({**call, "room": protocol["limits"]}, _user(image))
        if cure in shown:
            continue
        shown.add(cure)
        level, detail = FAILED, f"{_place(call)}: {call['message']}"
        if call["status"] == "out_of_memory" and least < protocol["limits"]["memory_gb"] * GIB:
            level = NOT_JUDGED
            detail += (
                f"; the challenge gives {protocol['limits']['memory_gb']:g} GiB, more than here"
            )
        log = call["printed"].splitlines()[-LOG_LINES:]
        yield Finding(call["status"], level, detail, cure, log)


def _user(image: dict[str, Any]) -> str:
    if image.get("mounted"):
        return "the base image's user"
    return f"user {image['user']}" if image.get("user") else "root without capabilities"


def _place(call: Call) -> str:
    return f"{call['case']}, interaction {call['interaction']}"


def _time(calls: list[Call], protocol: Protocol) -> Iterator[Finding]:
    """Compare with the limit, whichever way the protocol counts."""
    shares = [
        (used / allowed, used, allowed) for used, allowed in (time_of(c, protocol) for c in calls)
    ]
    _, used, allowed = max(shares)
    per = "case" if protocol["time"].get("per", "call") == "case" else "call"
    late = used > allowed
    fails = protocol["time"]["on_overtime"] == "zero" or per == "call"
    level = PASSED if not late else FAILED if fails else WARNING
    detail = f"the slowest {per} took {used:.1f} s of {allowed:g} s"
    yield Finding("time", level, detail, "speed it up" if late else "")
    cpus, here = protocol["limits"].get("cpus"), os.cpu_count() or 1
    if cpus and cpus > here:
        detail = f"times: the challenge gives {cpus:g} processors, this machine has {here}"
        yield Finding("processors", NOT_JUDGED, detail)


def time_of(call: Call, protocol: Protocol) -> tuple[float, float]:
    """Return the seconds that count up to a call, and what its protocol allows for them."""
    per_case = protocol["time"].get("per", "call") == "case"
    used = call["case_seconds"] if per_case else call["seconds"]
    return used, protocol["time"]["seconds_per_label"] * max(call["labels"], 1)


def _memory(asked: list[Call], protocol: Protocol) -> Iterator[Finding]:
    limit, here = int(protocol["limits"]["memory_gb"] * GIB), machine_memory_bytes()
    known = [c["peak_memory_bytes"] for c in asked if c["peak_memory_bytes"] is not None]
    if known:
        detail = f"{readable(max(known))} of {readable(limit)} at most"
        yield Finding("memory", PASSED, detail)
    else:
        yield Finding("memory", NOT_JUDGED, "not measured: a plain process, or calls too short")
    if known and limit > here:
        detail = f"the challenge gives {readable(limit)}, this machine has {readable(here)}"
        yield Finding("memory", NOT_JUDGED, detail)


def _gpu_memory(asked: list[Call]) -> Iterator[Finding]:
    peaks = [call["gpu_use"]["peak_memory_bytes"] for call in asked if call.get("gpu_use")]
    known = [peak for peak in peaks if peak is not None]
    if known:
        yield Finding("GPU memory", PASSED, f"{readable(max(known))} at most")


def _about_answers(good: list[Call]) -> Iterator[Finding]:
    """Yield what is odd about the answers that were usable."""
    if not good:
        return
    answers = [Answer.of(call) for call in good]
    told = [a for a in answers if a.asked]
    if told and not any(answer.values - {0} for answer in told):
        cure = "look at a picture of an answer: a wrong threshold, dtype or coordinate"
        yield Finding("empty", WARNING, "every answer is empty: all voxels are 0", cure)
        return
    if told and all(len(answer.values) == 1 for answer in told):
        detail = "each answer has one value in all voxels"
        yield Finding("constant", WARNING, detail, "write 0 where no label is")
    yield from _ignored_labels(told)
    yield from _ignored_prompts(good)
    yield from _turned(told)
    yield from _quality(told)


@dataclass(frozen=True)
class Answer:
    """An answer beside its truth. values: which it has. asked: the labels to be found.

    dice: the mean over labels. turned: in what way the truth must be turned to fit much better, ""
    where it needs not. box_dice: of the boxes, filled, or None without boxes. is_fair: whether it
    says how well clicks are used: a few voxels do not, nor does an answer that we changed.
    """

    call: Call
    values: set[int]
    asked: set[int]
    dice: float
    turned: str
    box_dice: float | None
    is_fair: bool

    @classmethod
    def of(cls, call: Call) -> "Answer":
        """Read an answer and compare it with the truth."""
        folder = Path(call["folder"])
        segs = read_answer(folder / "answer.npz")
        gts = read_truth(folder.parent / "truth.npz").gts
        asked = {int(label) for label in np.unique(gts)} & set(call["asked_labels"])
        values = {int(label) for label in np.unique(segs)}
        boxes = call["prompts"]["boxes"] and read_boxes(folder.parent / "image.npz")
        filled = None
        if boxes and asked:
            map_of_boxes = np.zeros(gts.shape, np.uint16)
            for label, box in enumerate(boxes, start=1):
                z, y, x = ((box[f"{a}_min"], box[f"{a}_max"]) for a in ("z", "z_mid_y", "z_mid_x"))
                map_of_boxes[z[0] : z[1] + 1, y[0] : y[1] + 1, x[0] : x[1] + 1] = label
            filled = _dice(map_of_boxes, gts, asked)
        dice = _dice(segs, gts, asked)
        is_fair = bool(gts.astype(bool).sum() >= _FEWEST_VOXELS) and not call["perfect_label"]
        return cls(call, values, asked, dice, _turn_of(segs, gts, asked), filled, is_fair)


def _dice(one: np.ndarray, other: np.ndarray, labels: set[int]) -> float:
    """Return the mean of 2|A and B| / (|A| + |B|) over labels of the second map."""
    found = []
    for label in labels:
        a, b = one == label, other == label
        found.append(2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)))
    return float(np.mean(found)) if found else 0.0


def _turn_of(segs: np.ndarray, gts: np.ndarray, labels: set[int]) -> str:
    """Return how the truth must be turned to fit an answer much better, "" where it needs not."""
    step = 1
    while segs[::step, ::step, ::step].size > _MOST_VOXELS:
        step += 1
    segs, gts = segs[::step, ::step, ::step], gts[::step, ::step, ::step]
    labels = labels & {int(label) for label in np.unique(gts)}
    if not labels or not segs.any():
        return ""
    best, best_name = max(
        ((_dice(segs, turned, labels), name) for name, turned in _turns(gts)), default=(0.0, "")
    )
    as_it_is = _dice(segs, gts, labels)
    return best_name if best >= _TURNED_DICE and best > 2 * as_it_is else ""


def _turns(gts: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield all other orientations of a map that have its shape, by what they are called."""
    for order in itertools.permutations(range(3)):
        turned = gts.transpose(order)
        if turned.shape != gts.shape:
            yield f"reshaped from {_order(order)}", turned.reshape(gts.shape)
            continue
        for flips in itertools.product((1, -1), repeat=3):
            if order == (0, 1, 2) and flips == (1, 1, 1):
                continue
            reversed_ = ", ".join(axis for axis, flip in zip(_AXES, flips, strict=True) if flip < 0)
            names = [f"axes {_order(order)}"] * (order != (0, 1, 2))
            names += [f"{reversed_} reversed"] * bool(reversed_)
            yield " and ".join(names), turned[tuple(slice(None, None, f) for f in flips)]


def _order(order: tuple[int, ...]) -> str:
    return f"({', '.join(_AXES[axis] for axis in order)})"


def _ignored_labels(answers: list[Answer]) -> Iterator[Finding]:
    found = set().union(*(answer.values for answer in answers))
    wanted = set().union(*(answer.asked for answer in answers))
    several = any(len(answer.asked) > 1 for answer in answers)
    never = sorted(wanted - found)
    if several and never and found - {0}:
        labels = ", ".join(map(str, never[:10]))
        detail = f"no answer has the label {labels}, which had prompts"
        cure = "answer all labels: boxes[i] and clicks[i] are of label i + 1"
        yield Finding("ignored labels", WARNING, detail, cure)


def _ignored_prompts(good: list[Call]) -> Iterator[Finding]:
    """Warn where no answer changes after the first one, whatever is said."""
    pairs = [
        (before, call)
        for before, call in itertools.pairwise(good)
        if before["case"] == call["case"] and call["prompts"] != before["prompts"]
    ]
    pairs = [(b, c) for b, c in pairs if not c["perfect_label"]]
    if pairs and all(b["answer_sha256"] == c["answer_sha256"] for b, c in pairs):
        detail = f"the answer stays the same whatever is clicked ({len(pairs)} times)"
        cure = "use clicks (and prev_pred): they are in the input from the first click on"
        yield Finding("ignored clicks", WARNING, detail, cure)


def _turned(answers: list[Answer]) -> Iterator[Finding]:
    turns = Counter(answer.turned for answer in answers if answer.turned)
    if not turns:
        return
    name, times = turns.most_common(1)[0]
    where = next(answer.call for answer in answers if answer.turned == name)
    answers_ = f"{times} answer{'s fit' if times > 1 else ' fits'}"
    detail = f"{answers_} the truth much better with {name} (first {_place(where)})"
    cure = "image, clicks, boxes and answer are all (z, y, x); only spacing is (x, y, z)"
    yield Finding("swapped axes", WARNING, detail, cure)


def _quality(answers: list[Answer]) -> Iterator[Finding]:
    """Say whether clicks help, and warn of answers that are worse than the box itself."""
    cases = [list(part) for _, part in itertools.groupby(answers, key=lambda a: a.call["case"])]
    fair = [[a for a in case if a.is_fair] for case in cases]
    moved = [(case[0].dice, case[-1].dice) for case in fair if len(case) > 1]
    moved = [(first, last) for first, last in moved if first < 0.99]
    if moved:
        first, last = (sum(column) / len(moved) for column in zip(*moved, strict=True))
        helps = last > first
        detail = f"mean Dice {first:.3f} at the first answer, {last:.3f} at the last one"
        cure = "" if helps else "more clicks should make an answer better: start from prev_pred"
        yield Finding("clicks help", PASSED if helps else WARNING, detail, cure)
    last_boxes = [case[-1] for case in cases if case[-1].box_dice is not None]
    worse = [a for a in last_boxes if a.box_dice is not None and a.dice < a.box_dice - 0.05]
    if last_boxes and len(worse) > len(last_boxes) / 2:
        one = worse[0]
        detail = (
            f"in {len(worse)} of {len(last_boxes)} cases the last answer is worse than the filled "
            f"box ({one.call['case']}: Dice {one.dice:.3f}, the box {one.box_dice:.3f})"
        )
        cure = "look at the pictures: a random, misplaced or untrained answer looks like this"
        yield Finding("worse than the box", WARNING, detail, cure)


def _invented(calls: list[Call]) -> Iterator[Finding]:
    """Warn of the first label that nobody asked for: its voxels are background for every metric."""
    call = next((call for call in calls if call["invented_voxels"]), None)
    if call is not None:
        label, voxels = next(iter(call["invented_voxels"].items()))
        detail = f"{_place(call)}: {voxels} voxels have label {label}, which was not asked for"
        cure = "answer 0 and the labels that have prompts, no others"
        yield Finding("labels", WARNING, detail, cure)


def _printed(good: list[Call]) -> Iterator[Finding]:
    """Warn of what a program printed although it answered."""
    shown = set()
    for call in good:
        for line, cure in shell_warnings(call["printed"]):
            if cure not in shown:
                shown.add(cure)
                yield Finding("shell error", WARNING, f"{_place(call)}: {line}", cure)
        network = re.search(f"^.*({NETWORK}).*$", call["printed"], re.MULTILINE)
        if network and "network" not in shown:
            shown.add("network")
            cure = "leave it out, or put what it loads into the image: it waits for nothing"
            yield Finding("network", WARNING, f"{_place(call)}: {network[0].strip()[:200]}", cure)


def _written(asked: list[Call]) -> Iterator[Finding]:
    written = sorted({path for call in asked for path in call.get("written", ())})
    if written:
        paths = ", ".join(map(printable, written[:5]))
        detail = f"writes to {paths} at run time; it is gone after each call"
        cure = "allowed here; move it to /tmp to be safe"
        yield Finding("beside its code", WARNING, detail, cure)
