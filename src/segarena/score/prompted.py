"""What only an interactive benchmark can measure: whether an answer honours the user's prompts.

Everything here is taken from what a run keeps: the prompts so far (results/prompt), the answers and
the ground truth. Clicked and scribbled voxels count alike, and are called marked; boxes mark none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segarena import masks
from segarena.score import instances
from segarena.score.pair import Pair

COUNTS = ("boxes", "clicks", "scribbled_voxels")
"""Rows of a case's scores that are no metric: what the user gave for a label so far."""

Places = tuple[Sequence[list[int]], Sequence[list[int]]]
"""Clicks, and scribbled voxels."""

Marks = dict[str, np.ndarray]
"""Marked voxels (n, 3), z, y, x, by kind: fg or bg."""


@dataclass(frozen=True)
class Interaction:
    """One interaction: the voxels marked for each label, and the answer before it.

    so_far, new: by the label's number in the maps. before: (D, H, W), or None where nothing was
    answered yet.
    """

    so_far: Mapping[int, Marks]
    new: Mapping[int, Marks]
    before: np.ndarray | None = None


def interaction(
    prompts: Mapping[str, Any], earlier: Mapping[str, Any] | None, before: np.ndarray | None
) -> Interaction:
    """Return an interaction from its prompts file and the one before, which is part of it."""
    so_far, old = _marks(prompts), _marks(earlier or {})
    new = {
        label: {kind: _after(places, old, label, kind) for kind, places in marks.items()}
        for label, marks in so_far.items()
    }
    return Interaction(
        {label: {kind: _joined(marks[kind]) for kind in marks} for label, marks in so_far.items()},
        {label: {kind: _joined(marks[kind]) for kind in marks} for label, marks in new.items()},
        before,
    )


def counts(prompts: Mapping[str, Any]) -> dict[int, dict[str, int]]:
    """Return how much the user gave for each label so far: COUNTS, by the label's number."""
    marks, boxes = _marks(prompts), int(prompts["boxes"] is not None)
    return {
        label: {
            "boxes": boxes,
            "clicks": sum(len(places[0]) for places in of_label.values()),
            "scribbled_voxels": sum(len(places[1]) for places in of_label.values()),
        }
        for label, of_label in marks.items()
    }


def adherence(pair: Pair, now: Interaction, /) -> float:
    """Return the share of the voxels marked so far that the answer honours; 1 if none is.

    A foreground mark is honoured where the answer has the label, a background mark where it has
    not.
    """
    marks, answer = now.so_far[pair.label], pair.maps[1]
    honoured = np.count_nonzero(answer[tuple(marks["fg"].T)] == pair.label)
    honoured += np.count_nonzero(answer[tuple(marks["bg"].T)] != pair.label)
    marked = len(marks["fg"]) + len(marks["bg"])
    return honoured / marked if marked else 1.0


def collateral(pair: Pair, now: Interaction, /) -> float:
    """Return the share of an answer's changes outside what the user corrected; 0 without changes.

    Corrected are the 26-connected components of the error before that the new marks are in: of
    what the answer lacked for foreground, of what it had in excess for background. 0 too where the
    interaction brought no mark for the label, as a box.
    """
    truth, answer = pair.maps
    before = np.zeros_like(answer) if now.before is None else now.before
    box = _box_of(pair, before)
    one, other, old = (masks.bits(labels, pair.label, box) for labels in (truth, answer, before))
    changed = instances.components(other ^ old, 26)
    marks = now.new[pair.label]
    if not changed.count or not (len(marks["fg"]) or len(marks["bg"])):
        return 0.0
    corrected = 0
    for error, places in ((one & ~old, marks["fg"]), (old & ~one, marks["bg"])):
        errors = instances.components(error, 26)
        marked = errors.at(places - box[:3])
        of_error, _, voxels = instances.overlaps(errors, changed)
        corrected += int(voxels[np.isin(of_error, marked)].sum())
    return 1 - corrected / int(changed.voxels.sum())


def seconds_of(given: Mapping[str, float], model: Mapping[str, float]) -> float:
    """Return how long a person takes for what was given, by a protocol's `series.effort`."""
    return (
        given["boxes"] * model["box_seconds"]
        + given["clicks"] * model["click_seconds"]
        + given["scribbled_voxels"] * model["scribbled_voxel_seconds"]
    )


def _box_of(pair: Pair, before: np.ndarray) -> np.ndarray:
    """Return the box of what truth, answer or the answer before has of the label."""
    changed = masks.tally(*masks.comparable(pair.maps[1], before), [pair.label]).box[0]
    boxes = [box for box in (pair.box, changed) if box[3] > box[0]]
    if not boxes:
        return pair.box
    low, high = np.min(boxes, axis=0)[:3], np.max(boxes, axis=0)[3:]
    return np.concatenate([low, high]).astype(np.int32)


def _marks(prompts: Mapping[str, Any]) -> dict[int, dict[str, Places]]:
    """Return the clicks and the scribbled voxels of each label, by kind."""
    nothing: list[dict[str, Any]] = [{"fg": [], "bg": []} for _ in prompts.get("labels", ())]
    clicks, scribbles = prompts.get("clicks", nothing), prompts.get("scribbles") or nothing
    return {
        label: {kind: (clicked[kind], scribbled[kind]) for kind in ("fg", "bg")}
        for label, clicked, scribbled in zip(
            prompts.get("labels", ()), clicks, scribbles, strict=True
        )
    }


def _after(places: Places, old: Mapping[int, Any], label: int, kind: str) -> Places:
    """Return what was added to the clicks and the scribbles of a label."""
    clicked, scribbled = old[label][kind] if label in old else ((), ())
    return places[0][len(clicked) :], places[1][len(scribbled) :]


def _joined(places: Places) -> np.ndarray:
    return np.array([*places[0], *places[1]], np.int64).reshape(-1, 3)
