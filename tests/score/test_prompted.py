"""Tests of adherence, collateral change and effort, on drawn masks."""

import numpy as np
import pytest

from segarena.score.pair import pairs
from segarena.score.prompted import adherence, collateral, counts, interaction, seconds_of


def drawn(text):
    """Return a slice of one row; # is the label."""
    return np.array([[[sign == "#" for sign in text]]], np.uint8)


def prompts(fg=(), bg=(), scribbled=None, boxes=None):
    """Return a prompts file's content for label 1, from positions along the row."""
    marks = {"fg": [[0, 0, x] for x in fg], "bg": [[0, 0, x] for x in bg]}
    content = {"labels": [1], "boxes": boxes, "clicks": [marks]}
    if scribbled:
        strokes = {"fg": [[0, 0, x] for x in scribbled], "bg": []}
        content["scribbles"] = [strokes]
    return content


def pair_of(truth, answer):
    (pair,) = pairs(drawn(truth), drawn(answer), (1.0, 1.0, 1.0), [1])
    return pair


def test_adherence_is_the_share_of_marked_voxels_that_are_as_the_user_said():
    """Of three foreground and two background marks, two and one are honoured."""
    pair = pair_of("#####.....", "##......##")
    now = interaction(prompts(fg=[0, 4], bg=[5, 9], scribbled=[1]), None, None)
    assert adherence(pair, now) == pytest.approx(3 / 5)


def test_a_mark_of_another_label_is_not_honoured():
    """A foreground click on a voxel that the answer gives to another label counts as ignored."""
    truth, answer = np.array([[[1, 1, 2, 2]]], np.uint8), np.array([[[1, 2, 2, 2]]], np.uint8)
    content = {
        "labels": [1, 2],
        "boxes": None,
        "clicks": [{"fg": [[0, 0, 1]], "bg": []}, {"fg": [], "bg": [[0, 0, 1]]}],
    }
    now = interaction(content, None, None)
    values = [adherence(pair, now) for pair in pairs(truth, answer, (1.0, 1.0, 1.0))]
    assert values == [0, 0]


def test_nothing_marked_is_nothing_ignored():
    """After a box alone adherence is 1."""
    now = interaction(prompts(boxes=[{}]), None, None)
    assert adherence(pair_of("##..", "...."), now) == 1


TRUTH = "####....####...."
BEFORE = "##......####.###"


def test_changes_within_the_corrected_component_are_no_collateral():
    """A click on the missing part that brings back just that part changes nothing else."""
    now = interaction(prompts(fg=[2]), None, drawn(BEFORE))
    assert collateral(pair_of(TRUTH, "####....####.###"), now) == 0


def test_changes_elsewhere_are_collateral():
    """Two voxels are corrected, a right one is lost, and an error that nobody marked is fixed."""
    now = interaction(prompts(fg=[2]), None, drawn(BEFORE))
    assert collateral(pair_of(TRUTH, "####.....###...."), now) == pytest.approx(4 / 6)


def test_a_background_mark_corrects_what_is_too_much():
    """The excess that was marked may go; what the answer lacks elsewhere was not asked for."""
    now = interaction(prompts(bg=[14]), None, drawn(BEFORE))
    assert collateral(pair_of(TRUTH, "###.....####...."), now) == pytest.approx(1 / 4)


def test_only_marks_of_this_interaction_count_as_corrections():
    """A component that was marked before is no correction of the present interaction."""
    earlier, now_said = prompts(fg=[2]), prompts(fg=[2], bg=[14])
    now = interaction(now_said, earlier, drawn(BEFORE))
    assert collateral(pair_of(TRUTH, "####....####.###"), now) == 1


def test_the_first_answer_is_compared_with_the_empty_one():
    """What a first answer has outside the structure that was clicked is collateral."""
    now = interaction(prompts(fg=[1]), None, None)
    assert collateral(pair_of("####....####....", "####....##......"), now) == pytest.approx(2 / 6)


def test_no_change_and_no_mark_have_no_collateral():
    """An answer that stays as it was changes nothing; after a box nothing is corrected."""
    now = interaction(prompts(fg=[2]), None, drawn(BEFORE))
    assert collateral(pair_of(TRUTH, BEFORE), now) == 0
    boxed = interaction(prompts(boxes=[{}]), None, None)
    assert collateral(pair_of(TRUTH, BEFORE), boxed) == 0


def test_a_mark_outside_every_error_corrects_nothing():
    """A click that missed the error, or the image of the label, makes every change collateral."""
    now = interaction(prompts(fg=[0, 6]), None, drawn(BEFORE))
    assert collateral(pair_of(TRUTH, "####....####.###"), now) == 1


def test_effort_counts_what_was_given_so_far():
    """Boxes, clicks and scribbled voxels of a label, and the seconds of a stated model."""
    given = counts(prompts(fg=[1, 2], bg=[5], scribbled=[7, 8, 9, 10], boxes=[{}]))[1]
    assert given == {"boxes": 1, "clicks": 3, "scribbled_voxels": 4}
    model = {"box_seconds": 7, "click_seconds": 2, "scribbled_voxel_seconds": 0.25}
    assert seconds_of(given, model) == 7 + 6 + 1
