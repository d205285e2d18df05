"""The simulated user: what it says at one interaction, given all that it said before.

A `Said` is the content of results/prompt/PROTOCOL/SUBMISSION/CASE/K.json: everything the user has
said up to interaction K, so that one file alone makes the input of one call. Where the user has
nothing to say (a box for a case without boxes), `asked` is False and `reason` tells why; no
container is started then.
"""

from typing import Any

import numpy as np

from segarena.case import Box
from segarena.protocol import Step

Said = dict[str, Any]


def first_words(labels: list[int]) -> Said:
    """Return what has been said before the first interaction: nothing, for each label."""
    return {
        "labels": labels,
        "boxes": None,
        "clicks": [{"fg": [], "bg": []} for _ in labels],
        "clicks_order": [[] for _ in labels],
    }


def say_box(said: Said, boxes: list[Box] | None) -> Said:
    """Return `said` with the case's boxes, one per label, or a note that the case has none."""
    if boxes is None:
        return {**said, "asked": False, "reason": "this case is played without a box"}
    return {**said, "asked": True, "reason": "", "boxes": boxes}


def say_clicks(said: Said, step: Step, gts: np.ndarray, segs: np.ndarray, *, seed: int) -> Said:
    """Return `said` with one more click per label, placed by the step's rule.

    gts, segs: (D, H, W) label maps. A label without an error gets no click: None in clicks_order.
    """
    clicks = [{kind: list(points) for kind, points in label.items()} for label in said["clicks"]]
    order = [list(kinds) for kinds in said["clicks_order"]]
    for i, click in enumerate(_rule(step)(gts, segs, seed=seed)):
        if click is None:
            order[i].append(None)
        else:
            z, y, x, kind = click
            clicks[i][kind].append([z, y, x])
            order[i].append(kind)
    return {**said, "asked": True, "reason": "", "clicks": clicks, "clicks_order": order}


def _rule(step: Step) -> Any:
    from segarena.prompt.clicks import largest_error

    return {"largest_error": largest_error}[step["rule"]]
