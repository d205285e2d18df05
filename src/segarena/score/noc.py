"""What a series of clicks says: how many were needed (NoC), how often they did not suffice (NoF).

Everything here is derived from the IoU after each click, so it is computed when the series is over
and steers nothing. A series may be shorter than the protocol allows because its user was satisfied;
from then on its last IoU counts, since nothing more would have been asked for.

Definitions follow RITM (SamsungLabs/ritm_interactive_segmentation at commit b9b4460,
isegm/inference/utils.py) but for one: its count of failures takes in objects that reach the
threshold with the very last click; here a failure is a threshold that was not reached.
"""

from collections.abc import Sequence

from segarena.score.curves import interactions_to_reach

AREAS = ("truth_voxels", "answer_voxels")
"""Rows of a case's scores that are no metric: the sizes by which `min_area_px` keeps a label."""


def noc(ious: Sequence[float], q: float, *, max_clicks: int = 20) -> int:
    """Return the number of the first click that reaches an IoU of `q`, else `max_clicks`.

    `ious`: the IoU after each click, in order. A missing IoU (nan) reaches nothing.
    """
    first = interactions_to_reach(ious[:max_clicks], q)
    return first.interactions if first.reached else max_clicks


def failed(ious: Sequence[float], q: float, *, max_clicks: int = 20) -> bool:
    """Return whether no click of a series reaches an IoU of `q`; the sum over series is NoF@q."""
    return not interactions_to_reach(ious[:max_clicks], q).reached


def large_enough(truth_area: int, answer_area: int, *, min_area: int = 150) -> bool:
    """Return whether a fork's filter keeps a slice: both areas of at least `min_area` pixels.

    The filter is that of ineog/Med-EMC-Click at commit ad59d28 (metricas.py), which takes the means
    of Dice, precision and recall over the slices it keeps. It drops an answer for being small, so
    it flatters a submission that misses: report it beside the unfiltered means, never instead.
    """
    return truth_area >= min_area and answer_area >= min_area
