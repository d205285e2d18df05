"""Numbers of clicks, failures and mean IoUs of small series worked out by hand."""

import math

import numpy as np
import pytest

from segarena.prompt.ritm import ritm, satisfied
from segarena.score.noc import failed, large_enough, noc

cv2 = pytest.importorskip("cv2")

FAST = [0.5, 0.82, 0.91]
SLOW = [0.1, 0.2, 0.86, 0.7]


def published_table(series, thresholds, max_clicks):
    """NoC as RITM defines it, written as a plain loop."""
    means = []
    for q in thresholds:
        counts = []
        for ious in series:
            for click, iou in enumerate(ious, start=1):
                if iou >= q:
                    counts.append(click)
                    break
            else:
                counts.append(max_clicks)
        means.append(sum(counts) / len(counts))
    return means


def test_the_first_click_that_reaches_the_threshold_counts():
    """A later drop below the threshold changes nothing."""
    assert [noc(SLOW, q) for q in (0.05, 0.2, 0.85)] == [1, 2, 3]


def test_a_threshold_is_reached_when_it_is_equalled():
    """An IoU of exactly 0.9 is enough."""
    assert noc([0.5, 9 / 10], 0.9) == 2


def test_a_threshold_that_is_never_reached_counts_the_maximum():
    """The series then fails."""
    assert noc(SLOW, 0.9) == 20
    assert noc(SLOW, 0.9, max_clicks=5) == 5
    assert failed(SLOW, 0.9)
    assert not failed(FAST, 0.9)


def test_a_threshold_reached_with_the_last_click_is_no_failure():
    """It counts the maximum and yet was reached."""
    ious = [0.1] * 19 + [0.95]
    assert noc(ious, 0.9) == 20
    assert not failed(ious, 0.9)


def test_clicks_beyond_the_maximum_do_not_count():
    """A series longer than the maximum is cut."""
    assert noc([0.1, 0.2, 0.9], 0.9, max_clicks=2) == 2
    assert failed([0.1, 0.2, 0.9], 0.9, max_clicks=2)


def test_a_missing_iou_reaches_nothing():
    """A click without an answer is no success."""
    assert noc([math.nan, 0.9], 0.9) == 2
    assert failed([math.nan], 0.0)


def test_an_empty_series_fails():
    """No click at all leaves the empty answer."""
    assert noc([], 0.8) == 20
    assert failed([], 0.8)


@pytest.mark.parametrize(
    ("truth_area", "answer_area", "is_large"),
    [(150, 150, True), (149, 150, False), (150, 149, False), (0, 0, False)],
)
def test_the_filter_keeps_what_is_large_in_truth_and_answer(truth_area, answer_area, is_large):
    """150 pixels are large enough on both sides."""
    assert large_enough(truth_area, answer_area) is is_large


def test_a_simulated_series_gives_the_table_of_the_published_rule():
    """Ground truths answered by discs have the table that OpenCV's distances give."""
    rng = np.random.default_rng(3)
    ours, theirs = [], []
    for _ in range(12):
        truth = cv2.GaussianBlur(rng.normal(size=(48, 48)), (0, 0), 5) > 0.02
        radius = int(rng.integers(3, 9))
        ours.append(_clicked(truth, radius))
        theirs.append(_clicked_as_published(truth, radius))
    expected = published_table(theirs, [0.5, 0.7, 0.9], 20)
    assert [np.mean([noc(ious, q) for ious in ours]) for q in (0.5, 0.7, 0.9)] == expected
    assert 1 < expected[0] < expected[2] <= 20


def _clicked(truth, radius):
    gts = truth[None].astype(np.uint8)
    segs = np.zeros_like(gts)
    clicks, ious = [{"fg": [], "bg": []}], []
    while len(ious) < 20 and not satisfied(gts, segs, {"iou": 0.9}):
        z, y, x, kind = ritm(gts, segs, clicks)[0]
        clicks[0][kind].append([z, y, x])
        _paint(segs[0], y, x, radius, int(kind == "fg"))
        ious.append((gts & segs).sum() / (gts | segs).sum())
    return ious


def _clicked_as_published(truth, radius):
    answer = np.zeros(truth.shape, np.uint8)
    free = np.ones(truth.shape, bool)
    ious = []
    for _ in range(20):
        missed, added = (
            cv2.distanceTransform(np.pad(error, 1).astype(np.uint8), cv2.DIST_L2, 0)[1:-1, 1:-1]
            * free
            for error in (truth & (answer == 0), ~truth & (answer == 1))
        )
        positive = missed.max() > added.max()
        chosen = missed if positive else added
        y, x = np.argwhere(chosen == chosen.max())[0]
        free[y, x] = False
        _paint(answer, y, x, radius, int(positive))
        ious.append((truth & (answer == 1)).sum() / (truth | (answer == 1)).sum())
        if ious[-1] >= 0.9:
            break
    return ious


def _paint(mask, y, x, radius, value):
    rows, columns = np.indices(mask.shape)
    mask[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = value
