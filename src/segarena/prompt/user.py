"""The simulated user: what it says at one interaction, given all that it said before.

A `Said` is the content of results/prompt/PROTOCOL/SUBMISSION/CASE/K.json: everything the user has
said up to interaction K, so that one file alone makes the input of one call. Where the user has
nothing to say (a box for a case without boxes, no error left, an answer that is good enough),
`asked` is False and `reason` tells why; no container is started then.

Each kind of prompt imports its own rules when it is played, so a job loads only what it uses.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segarena.case import Box
from segarena.errors import CaseError
from segarena.protocol import Step

if TYPE_CHECKING:
    from segarena.prompt.ritm import Click

Said = dict[str, Any]
Round = list[dict[str, list[list[int]]] | None]
"""What is said about each label in one interaction: {fg: [[z, y, x], ...], bg: [...]}, or None."""


@dataclass(frozen=True)
class Scene:
    """What the user sees and where in the protocol he is.

    gts: (D, H, W), without the voxels that are ignored. segs: the answer before, or None as long as
    nothing was answered. boxes: the case's, one per label, or None. drawn: a file of scribbles that
    people drew, or None. The other four name the random draws (`segarena.prompt.seed`).
    """

    gts: np.ndarray
    segs: np.ndarray | None
    boxes: list[Box] | None
    drawn: Path | None
    seed: int
    case: str
    interaction: int
    repetition: int = 0

    @property
    def answer(self) -> np.ndarray:
        """The answer before, or the empty one."""
        return np.zeros_like(self.gts) if self.segs is None else self.segs

    @property
    def draws(self) -> dict[str, Any]:
        """What names the generators of this interaction."""
        return {
            "seed": self.seed,
            "case": self.case,
            "interaction": self.interaction,
            "repetition": self.repetition,
        }


def first_words(labels: list[int]) -> Said:
    """Return what has been said before the first interaction: nothing, for each label."""
    return {
        "labels": labels,
        "boxes": None,
        "clicks": [{"fg": [], "bg": []} for _ in labels],
        "clicks_order": [[] for _ in labels],
    }


def has_spoken(said: Said) -> bool:
    """Return whether anything was said, that is, whether a submission was asked at all."""
    return said["boxes"] is not None or any(said["clicks_order"]) or "scribbles" in said


def say(said: Said, step: Step, scene: Scene, stop_when: Mapping[str, float] | None = None) -> Said:
    """Return `said` with what the user says at one interaction, or a note that he says nothing.

    step: one of the protocol's. stop_when: {'iou': q}, when the user asks for no more. Raises
    CaseError where the step needs a file of drawn scribbles that is missing or does not fit.
    """
    said = {key: value for key, value in said.items() if key != "drawn"}
    if stop_when and scene.segs is not None and _is_satisfied(scene, stop_when):
        return _silent(said, f"satisfied: every label has an IoU of at least {stop_when['iou']:g}")
    return _KINDS[step["prompt"]](said, step, scene)


def _is_satisfied(scene: Scene, stop_when: Mapping[str, float]) -> bool:
    from segarena.prompt.ritm import satisfied

    return satisfied(scene.gts, scene.answer, stop_when)


def _silent(said: Said, reason: str) -> Said:
    return {**said, "asked": False, "reason": reason}


def _spoken(said: Said, **more: Any) -> Said:
    return {**said, "asked": True, "reason": "", **more}


def say_box(said: Said, boxes: list[Box] | None) -> Said:
    """Return `said` with the case's boxes, one per label, or a note that the case has none."""
    if boxes is None:
        return _silent(said, "this case is played without a box")
    return _spoken(said, boxes=boxes)


def _box(said: Said, step: Step, scene: Scene) -> Said:
    boxes = scene.boxes
    if boxes is not None and step.get("jitter_px"):
        boxes = [
            _moved_box(box, label, step["jitter_px"], scene)
            for label, box in zip(said["labels"], boxes, strict=True)
        ]
    return say_box(said, boxes)


def _moved_box(box: Box, label: int, max_px: int, scene: Scene) -> Box:
    from segarena.prompt.jitter import jittered_box
    from segarena.prompt.seed import generator

    depth, height, width = scene.gts.shape
    rng = generator(label=label, **scene.draws)
    return jittered_box(box, (depth, height, width), rng, max_px=max_px)


def _clicks(said: Said, step: Step, scene: Scene) -> Said:
    new = _CLICK_RULES[step["rule"]](said, step, scene)
    # The reference asks for an answer even where it has no click left to give; so does its rule.
    if step["rule"] != "largest_error" and not any(new):
        return _silent(said, "no error is left to click on")
    order = [
        [*kinds, *(kind for kind in ("fg", "bg") for _ in one[kind])] if one else [*kinds, None]
        for kinds, one in zip(said["clicks_order"], new, strict=True)
    ]
    return _spoken(said, clicks=_with(said["clicks"], new), clicks_order=order)


def _with(before: list[dict[str, Any]], new: Round) -> list[dict[str, Any]]:
    """Return what was said before, per label, with what is new after it."""
    return [
        {kind: [*old[kind], *(one[kind] if one else [])] for kind in ("fg", "bg")}
        for old, one in zip(before, new, strict=True)
    ]


def _largest_error(said: Said, step: Step, scene: Scene) -> Round:
    from segarena.prompt.clicks import largest_error

    return _one_each(largest_error(scene.gts, scene.answer, seed=scene.seed), said, step, scene)


def _ritm(said: Said, step: Step, scene: Scene) -> Round:
    from segarena.prompt.ritm import ritm

    return _one_each(ritm(scene.gts, scene.answer, said["clicks"]), said, step, scene)


def _one_each(clicks: list[Any], said: Said, step: Step, scene: Scene) -> Round:
    result: Round = []
    for label, click in zip(said["labels"], clicks, strict=True):
        if click is None:
            result.append(None)
            continue
        z, y, x, kind = _moved_click(click, label, step.get("jitter_px", 0), scene)
        result.append({"fg": [], "bg": [], kind: [[z, y, x]]})
    return result


def _moved_click(click: "Click", label: int, radius: int, scene: Scene) -> "Click":
    if radius == 0:
        return click
    from segarena.prompt.jitter import jittered_click
    from segarena.prompt.seed import generator

    rng = generator(label=label, **scene.draws)
    return jittered_click(click, scene.gts == label, scene.answer == label, rng, radius=radius)


def _clicks_in_regions(said: Said, step: Step, scene: Scene) -> Round:
    from segarena.prompt.scribbles import clicks

    options = _options(step, "rule", "count", "min_distance_px", "slices")
    return list(clicks(scene.gts, scene.segs, **scene.draws, **options))


def _scribbles(said: Said, step: Step, scene: Scene) -> Said:
    from segarena.prompt.scribbles import scribbles

    options = _options(step, "mix", "max_voxels", "slices")
    new, drawn = scribbles(scene.gts, scene.segs, **scene.draws, **options)
    if not any(new):
        return _silent(said, "no error is left to scribble on")
    return _spoken(said, scribbles=_with(_scribbles_before(said), list(new)), drawn=drawn)


def _drawn(said: Said, step: Step, scene: Scene) -> Said:
    from segarena.prompt.scribbles import from_file

    if scene.drawn is None:
        raise CaseError(
            f"{scene.case}: has no drawn scribbles: give their .npz in the column `scribbles` of "
            "the sheet of cases"
        )
    if len(said["labels"]) != 1:
        raise CaseError(
            f"{scene.drawn}: drawn for one label, but {scene.case} has {len(said['labels'])}"
        )
    depth, height, width = scene.gts.shape
    people = from_file(scene.drawn, (depth, height, width), threshold=step["threshold"])
    if scene.repetition >= len(people):
        raise CaseError(
            f"{scene.drawn}: drawn by {len(people)}, but the protocol's `repeat` asks for person "
            f"{scene.repetition + 1}"
        )
    new = people[scene.repetition]
    return _spoken(said, scribbles=_with(_scribbles_before(said), [new]))


def _scribbles_before(said: Said) -> list[dict[str, Any]]:
    return said.get("scribbles") or [{"fg": [], "bg": []} for _ in said["labels"]]


def _options(step: Step, *keys: str) -> dict[str, Any]:
    return {key: step[key] for key in keys if key in step}


_KINDS: dict[str, Callable[[Said, Step, Scene], Said]] = {
    "box": _box,
    "click": _clicks,
    "scribble": _scribbles,
    "drawn": _drawn,
}
_CLICK_RULES: dict[str, Callable[[Said, Step, Scene], Round]] = {
    "largest_error": _largest_error,
    "ritm": _ritm,
    "random": _clicks_in_regions,
    "center": _clicks_in_regions,
    "border": _clicks_in_regions,
}
