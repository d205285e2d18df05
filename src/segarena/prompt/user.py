"""The simulated user: its prompts at one interaction, given all its prompts before.

`Prompts` is the content of results/prompt/PROTOCOL/SUBMISSION/CASE/K.json: all prompts up to
interaction K, so that one file alone makes the input of one call. Where the user has no new prompt
(a box for a case without boxes, no error left, an answer that is good enough), `asked` is False
and `reason` says why; no container is started then.

Each kind of prompt imports its own rules when it is used, so a job loads only what it uses.
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

Prompts = dict[str, Any]
Round = list[dict[str, list[list[int]]] | None]
"""The new prompts of each label in one interaction: {fg: [[z, y, x], ...], bg: [...]}, or None."""


@dataclass(frozen=True)
class Scene:
    """What the user sees, and at which step of the protocol it is.

    gts: (D, H, W), without the voxels that are ignored. labels: those that are asked for, which the
    truth holds unless the case has no foreground. segs: the answer before, or None as long as
    nothing was answered. boxes: the case's, one per label, or None. drawn: a file of scribbles that
    people drew, or None. The other four name the random draws (`segarena.prompt.seed`).
    """

    gts: np.ndarray
    labels: list[int]
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
    def lacks_foreground(self) -> bool:
        """Whether the truth has no voxel of any label, so that all there is to find is nothing."""
        return not self.gts.any()

    @property
    def draws(self) -> dict[str, Any]:
        """What names the generators of this interaction."""
        return {
            "seed": self.seed,
            "case": self.case,
            "interaction": self.interaction,
            "repetition": self.repetition,
        }


def no_prompts(labels: list[int]) -> Prompts:
    """Return the prompts before the first interaction: none, for each label."""
    return {
        "labels": labels,
        "boxes": None,
        "clicks": [{"fg": [], "bg": []} for _ in labels],
        "clicks_order": [[] for _ in labels],
    }


def has_prompts(prompts: Prompts) -> bool:
    """Return whether there was any prompt, that is, whether a submission was asked at all."""
    return prompts["boxes"] is not None or any(prompts["clicks_order"]) or "scribbles" in prompts


def next_prompts(
    prompts: Prompts, step: Step, scene: Scene, stop_when: Mapping[str, float] | None = None
) -> Prompts:
    """Return `prompts` with the user's new ones at one interaction, or a note that there are none.

    step: one of the protocol's. stop_when: {'iou': q}, when the user asks for no more. Raises
    CaseError where the step needs a file of drawn scribbles that is missing or does not fit.
    """
    prompts = {key: value for key, value in prompts.items() if key != "drawn"}
    if stop_when and scene.segs is not None and _is_satisfied(scene, stop_when):
        return _without_new_prompt(
            prompts, f"satisfied: every label has an IoU of at least {stop_when['iou']:g}"
        )
    return _KINDS[step["prompt"]](prompts, step, scene)


def _is_satisfied(scene: Scene, stop_when: Mapping[str, float]) -> bool:
    from segarena.prompt.ritm import satisfied

    return satisfied(scene.gts, scene.answer, stop_when, labels=scene.labels)


def _without_new_prompt(prompts: Prompts, reason: str) -> Prompts:
    return {**prompts, "asked": False, "reason": reason}


def _with_new_prompt(prompts: Prompts, **more: Any) -> Prompts:
    return {**prompts, "asked": True, "reason": "", **more}


def with_box(prompts: Prompts, boxes: list[Box] | None) -> Prompts:
    """Return `prompts` with the case's boxes, one per label, or a note that the case has none."""
    if boxes is None:
        return _without_new_prompt(prompts, "this case has no box")
    return _with_new_prompt(prompts, boxes=boxes)


def _box(prompts: Prompts, step: Step, scene: Scene) -> Prompts:
    boxes = scene.boxes
    if boxes is not None and step.get("jitter_px"):
        boxes = [
            _moved_box(box, label, step["jitter_px"], scene)
            for label, box in zip(prompts["labels"], boxes, strict=True)
        ]
    return with_box(prompts, boxes)


def _moved_box(box: Box, label: int, max_px: int, scene: Scene) -> Box:
    from segarena.prompt.jitter import jittered_box
    from segarena.prompt.seed import generator

    depth, height, width = scene.gts.shape
    rng = generator(label=label, **scene.draws)
    return jittered_box(box, (depth, height, width), rng, max_px=max_px)


def _clicks(prompts: Prompts, step: Step, scene: Scene) -> Prompts:
    new = _CLICK_RULES[step["rule"]](prompts, step, scene)
    # The reference asks for an answer even where it has no click left to give; so does its rule.
    if step["rule"] != "largest_error" and not any(new) and not _asks_without(prompts, scene):
        return _without_new_prompt(prompts, "no error is left to click on")
    order = [
        [*kinds, *(kind for kind in ("fg", "bg") for _ in one[kind])] if one else [*kinds, None]
        for kinds, one in zip(prompts["clicks_order"], new, strict=True)
    ]
    return _with_new_prompt(prompts, clicks=_with(prompts["clicks"], new), clicks_order=order)


def _asks_without(prompts: Prompts, scene: Scene) -> bool:
    """Return whether a submission is asked although there is nothing to point at.

    In a case without foreground it is, once: whether it invents any is what the case is for.
    """
    return scene.lacks_foreground and not has_prompts(prompts)


def _with(before: list[dict[str, Any]], new: Round) -> list[dict[str, Any]]:
    """Return the prompts so far, per label, with the new ones after them."""
    return [
        {kind: [*old[kind], *(one[kind] if one else [])] for kind in ("fg", "bg")}
        for old, one in zip(before, new, strict=True)
    ]


def _largest_error(prompts: Prompts, step: Step, scene: Scene) -> Round:
    from segarena.prompt.clicks import largest_error

    clicks = largest_error(scene.gts, scene.answer, seed=scene.seed, labels=scene.labels)
    return _one_each(clicks, prompts, step, scene)


def _lesions(prompts: Prompts, step: Step, scene: Scene) -> Round:
    from segarena.prompt.clicks import largest_error, lesion_by_lesion

    seen = lesion_by_lesion(scene.gts, scene.answer, scene.labels)
    clicks = largest_error(scene.gts, seen, seed=scene.seed, labels=scene.labels)
    return _one_each(clicks, prompts, step, scene)


def _ritm(prompts: Prompts, step: Step, scene: Scene) -> Round:
    from segarena.prompt.ritm import ritm

    clicks = ritm(scene.gts, scene.answer, prompts["clicks"], labels=scene.labels)
    return _one_each(clicks, prompts, step, scene)


def _one_each(clicks: list[Any], prompts: Prompts, step: Step, scene: Scene) -> Round:
    result: Round = []
    for label, click in zip(prompts["labels"], clicks, strict=True):
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


def _clicks_in_regions(prompts: Prompts, step: Step, scene: Scene) -> Round:
    from segarena.prompt.scribbles import clicks

    options = _options(step, "rule", "count", "min_distance_px", "slices")
    return list(clicks(scene.gts, scene.segs, labels=scene.labels, **scene.draws, **options))


def _scribbles(prompts: Prompts, step: Step, scene: Scene) -> Prompts:
    from segarena.prompt.scribbles import scribbles

    options = _options(step, "mix", "max_voxels", "slices")
    new, drawn = scribbles(scene.gts, scene.segs, labels=scene.labels, **scene.draws, **options)
    if not any(new) and not _asks_without(prompts, scene):
        return _without_new_prompt(prompts, "no error is left to scribble on")
    return _with_new_prompt(prompts, **_with_round(prompts, list(new)), drawn=drawn)


def _drawn(prompts: Prompts, step: Step, scene: Scene) -> Prompts:
    from segarena.prompt.scribbles import from_file

    if scene.drawn is None:
        raise CaseError(
            f"{scene.case}: has no drawn scribbles: give their .npz in the column `scribbles` of "
            "the sheet of cases"
        )
    if len(prompts["labels"]) != 1:
        raise CaseError(
            f"{scene.drawn}: drawn for one label, but {scene.case} has {len(prompts['labels'])}"
        )
    depth, height, width = scene.gts.shape
    people = from_file(scene.drawn, (depth, height, width), threshold=step["threshold"])
    if scene.repetition >= len(people):
        raise CaseError(
            f"{scene.drawn}: drawn by {len(people)}, but the protocol's `repeat` asks for person "
            f"{scene.repetition + 1}"
        )
    new = people[scene.repetition]
    return _with_new_prompt(prompts, **_with_round(prompts, [new]))


def _with_round(prompts: Prompts, new: Round) -> dict[str, Any]:
    """Return all scribbles so far, per label as one list and as a list of rounds."""
    nothing: list[dict[str, Any]] = [{"fg": [], "bg": []} for _ in prompts["labels"]]
    rounds = prompts.get("scribbles_order") or [[] for _ in prompts["labels"]]
    return {
        "scribbles": _with(prompts.get("scribbles") or nothing, new),
        "scribbles_order": [
            [*old, one or {"fg": [], "bg": []}] for old, one in zip(rounds, new, strict=True)
        ],
    }


def _options(step: Step, *keys: str) -> dict[str, Any]:
    return {key: step[key] for key in keys if key in step}


_KINDS: dict[str, Callable[[Prompts, Step, Scene], Prompts]] = {
    "box": _box,
    "click": _clicks,
    "scribble": _scribbles,
    "drawn": _drawn,
}
_CLICK_RULES: dict[str, Callable[[Prompts, Step, Scene], Round]] = {
    "largest_error": _largest_error,
    "lesions": _lesions,
    "ritm": _ritm,
    "random": _clicks_in_regions,
    "center": _clicks_in_regions,
    "border": _clicks_in_regions,
}
