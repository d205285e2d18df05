"""The prompts of the simulated user after several interactions, for every kind of prompt."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segarena.case import BOX_KEYS, Truth, read_truth
from segarena.errors import CaseError
from segarena.prompt.user import Scene, has_prompts, next_prompts, no_prompts

REFERENCE = Path(__file__).parents[1] / "data" / "reference"
PEOPLE = Path(__file__).parents[1] / "data" / "scribbles" / "SCD_p12_axis2_midslice.npz"
BOX = dict(zip(BOX_KEYS, (0, 3, 1, 4, 3, 9, 8), strict=True))


def scene(gts, segs=None, k=1, **more):
    """A scene of the case `c` with the seed 7."""
    values = {"boxes": None, "drawn": None, "seed": 7, "case": "c", "interaction": k}
    values["labels"] = Truth(gts).labels
    return Scene(gts=gts, segs=segs, **(values | more))


@pytest.fixture
def gts():
    """Two cuboids in 4 x 24 x 30 voxels."""
    volume = np.zeros((4, 24, 30), np.uint8)
    volume[:, 3:12, 4:12] = 1
    volume[1:3, 13:22, 15:28] = 2
    return volume


def clicks(rule, **more):
    return {"prompt": "click", "times": 1, "rule": rule, **more}


@pytest.mark.parametrize("team", ["sphere", "threshold", "flaky"])
@pytest.mark.parametrize("case", ["SYN_anisotropic_0", "CT_vessels_nobox"])
def test_the_users_clicks_add_up_to_the_references(team, case):
    """After the last interaction, clicks and their order are those of the reference's list."""
    truth = read_truth(REFERENCE / "cases" / "truth" / f"{case}.npz")
    answers = np.load(REFERENCE / "expected" / team / f"{case}.npz")["all_segs"]
    with (REFERENCE / "expected" / team / "clicks.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["case"] == case]
    first = 7 - len(answers)
    prompts = no_prompts(truth.labels)
    for k in range(2, 7):
        segs = answers[k - 1 - first] if k > first else None
        step_scene = scene(truth.gts, segs, k, seed=42)
        prompts = next_prompts(prompts, clicks("largest_error"), step_scene)
    expected = [{"fg": [], "bg": []} for _ in truth.labels]
    order = [[None] * 5 for _ in truth.labels]
    for row in rows:
        i = truth.labels.index(int(row["label"]))
        expected[i][row["kind"]].append([int(row[axis]) for axis in "zyx"])
        order[i][int(row["interaction"]) - 2] = row["kind"]
    assert prompts["clicks"] == expected
    assert prompts["clicks_order"] == order
    assert set(prompts) == {"labels", "boxes", "clicks", "clicks_order", "asked", "reason"}


def test_the_boxes_of_the_case_are_said_as_they_are(gts):
    """Without jitter every user says the same boxes."""
    prompts = next_prompts(
        no_prompts([1, 2]), {"prompt": "box", "times": 1}, scene(gts, boxes=[BOX, BOX])
    )
    assert prompts["asked"]
    assert prompts["boxes"] == [BOX, BOX]


def test_a_case_without_a_box_is_not_asked_for_one(gts):
    """There is no prompt but a reason, so that no container starts."""
    prompts = next_prompts(no_prompts([1, 2]), {"prompt": "box", "times": 1}, scene(gts))
    assert not prompts["asked"]
    assert "has no box" in prompts["reason"]
    assert not has_prompts(prompts)


def test_a_jittered_box_contains_the_box_and_differs_between_repetitions(gts):
    """Sides move outwards only, for each label and repetition by a draw of its own."""
    step = {"prompt": "box", "times": 1, "jitter_px": 3}
    earlier = no_prompts([1, 2])
    one, other = (
        next_prompts(earlier, step, scene(gts, boxes=[BOX, BOX], repetition=r))["boxes"]
        for r in (0, 1)
    )
    assert one != other
    for box in one:
        assert box["z_mid_x_min"] <= BOX["z_mid_x_min"] <= BOX["z_mid_x_min"] + 3
        assert BOX["z_mid_x_max"] <= box["z_mid_x_max"] <= BOX["z_mid_x_max"] + 3
    assert one == next_prompts(earlier, step, scene(gts, boxes=[BOX, BOX]))["boxes"]


def test_ritm_clicks_are_never_on_the_same_voxel_twice(gts):
    """An answer that never changes is clicked at another voxel each time."""
    prompts = no_prompts([1, 2])
    for k in range(1, 6):
        prompts = next_prompts(
            prompts, clicks("ritm"), scene(gts, np.zeros_like(gts) if k > 1 else None, k)
        )
    for label in prompts["clicks"]:
        assert len({tuple(voxel) for voxel in label["fg"]}) == 5
        assert label["bg"] == []
    assert prompts["clicks_order"] == [["fg"] * 5] * 2


@pytest.mark.parametrize("rule", ["largest_error", "ritm"])
def test_a_jittered_click_stays_near_and_within_its_error(gts, rule):
    """At most `jitter_px` voxels from where the rule puts it, on a voxel of the label."""
    earlier = no_prompts([1, 2])
    plain = next_prompts(earlier, clicks(rule), scene(gts))["clicks"]
    moved = [
        next_prompts(earlier, clicks(rule, jitter_px=2), scene(gts, repetition=r))["clicks"]
        for r in range(8)
    ]
    for prompts in moved:
        for label, (near, far) in enumerate(zip(plain, prompts, strict=True), start=1):
            assert np.linalg.norm(np.subtract(near["fg"][0], far["fg"][0])) <= 2
            assert gts[tuple(far["fg"][0])] == label
    assert any(prompts != plain for prompts in moved)


@pytest.mark.parametrize("rule", ["random", "center", "border"])
def test_several_clicks_at_once_stand_in_the_order_in_which_they_were_made(gts, rule):
    """Foreground on the label and background beside it, `count` each, apart from each other."""
    prompts = next_prompts(
        no_prompts([1, 2]), clicks(rule, count=2, min_distance_px=2, slices="largest"), scene(gts)
    )
    for label, (voxels, order) in enumerate(
        zip(prompts["clicks"], prompts["clicks_order"], strict=True), start=1
    ):
        assert all(gts[tuple(voxel)] == label for voxel in voxels["fg"])
        assert all(gts[tuple(voxel)] != label for voxel in voxels["bg"])
        assert order == ["fg"] * len(voxels["fg"]) + ["bg"] * len(voxels["bg"])
        assert 1 <= len(voxels["fg"]) <= 2


def test_a_label_without_an_error_gets_no_click_while_others_do(gts):
    """Its round is None, in its place."""
    segs = np.where(gts == 1, 1, 0).astype(np.uint8)
    earlier = next_prompts(no_prompts([1, 2]), clicks("ritm"), scene(gts))
    prompts = next_prompts(earlier, clicks("ritm"), scene(gts, segs, 2))
    assert prompts["clicks_order"] == [["fg", None], ["fg", "fg"]]


@pytest.mark.parametrize("step", [clicks("ritm"), clicks("random"), "scribble"])
def test_a_perfect_answer_ends_the_talk(gts, step):
    """Where nothing is wrong nothing is asked, and the earlier prompts stay."""
    if step == "scribble":
        step = {"prompt": "scribble", "times": 1, "mix": {"line": 1}}
    before = next_prompts(no_prompts([1, 2]), step, scene(gts))
    prompts = next_prompts(before, step, scene(gts, gts.copy(), 2))
    assert not prompts["asked"]
    assert prompts["clicks"] == before["clicks"]
    assert prompts.get("scribbles") == before.get("scribbles")


def test_scribbles_add_up_and_are_on_the_truth_and_then_on_the_errors(gts):
    """First foreground and background; then only what is missing and what is too much."""
    step = {"prompt": "scribble", "times": 1, "mix": {"line": 1, "contour": 1}}
    first = next_prompts(no_prompts([1, 2]), step, scene(gts))
    assert all(label["fg"] and label["bg"] for label in first["scribbles"])
    assert first["drawn"][0]["fg"][0]["kind"] in {"line", "contour"}
    segs = gts.copy()
    segs[:, 3:8, 4:12] = 0
    second = next_prompts(first, step, scene(gts, segs, 2))
    one, other = second["scribbles"]
    new = one["fg"][len(first["scribbles"][0]["fg"]) :]
    assert new
    assert all(gts[tuple(voxel)] == 1 and segs[tuple(voxel)] == 0 for voxel in new)
    assert one["bg"] == first["scribbles"][0]["bg"]
    rounds = second["scribbles_order"]
    assert [len(label) for label in rounds] == [2, 2]
    assert [label[0] for label in rounds] == first["scribbles"]
    assert rounds[0][1] == {"fg": new, "bg": []}
    assert rounds[1][1] == {"fg": [], "bg": []}
    assert other == first["scribbles"][1]


def test_a_scribble_after_an_unasked_box_is_drawn_on_truth_and_background(gts):
    """As long as nothing was answered there are no errors, but a structure and what is not it."""
    earlier = next_prompts(no_prompts([1, 2]), {"prompt": "box", "times": 1}, scene(gts))
    prompts = next_prompts(
        earlier, {"prompt": "scribble", "times": 1, "mix": {"line": 1}}, scene(gts, None, 2)
    )
    assert all(label["bg"] for label in prompts["scribbles"])


def test_the_user_is_satisfied_when_every_label_reaches_the_iou(gts):
    """He stops only when the worst label is good enough; without an answer he never is."""
    segs = gts.copy()
    segs[1, 13, 15:28] = 0
    earlier = next_prompts(no_prompts([1, 2]), clicks("ritm"), scene(gts), {"iou": 0.9})
    assert earlier["asked"]
    good = next_prompts(earlier, clicks("ritm"), scene(gts, segs, 2), {"iou": 0.9})
    assert not good["asked"]
    assert good["reason"] == "satisfied: every label has an IoU of at least 0.9"
    segs[2, 13:18] = 0
    assert next_prompts(earlier, clicks("ritm"), scene(gts, segs, 2), {"iou": 0.9})["asked"]


def test_people_draw_one_repetition_each():
    """The strokes of annotator r are those of repetition r; their pixels are above half."""
    with np.load(PEOPLE) as archive:
        soft = archive["scribbles"]
        mask = archive["label"]
    gts = (mask > 0).astype(np.uint8).reshape(1, *soft.shape[2:])
    step = {"prompt": "drawn", "times": 1, "threshold": 0.5}
    full = 255 if soft.dtype == np.uint8 else 1
    for r in range(len(soft)):
        prompts = next_prompts(no_prompts([1]), step, scene(gts, drawn=PEOPLE, repetition=r))
        pixels = {(y, x) for _, y, x in prompts["scribbles"][0]["fg"]}
        assert pixels == set(map(tuple, np.argwhere(soft[r, 0] / full > 0.5).tolist()))
    with pytest.raises(CaseError, match="drawn by"):
        next_prompts(no_prompts([1]), step, scene(gts, drawn=PEOPLE, repetition=len(soft)))
    with pytest.raises(CaseError, match="scribbles"):
        next_prompts(no_prompts([1]), step, scene(gts))


def test_a_box_loads_nothing_of_scribbles_and_clicks():
    """Rules are imported when they are played, since a job is a process of its own."""
    code = (
        "import sys; import segarena.prompt.user; "
        "print([m for m in sys.modules if m in {'scipy.ndimage', 'numba', 'skimage', 'pandas'}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


SCRIBBLE = {"prompt": "scribble", "times": 1, "mix": {"line": 1}}
STEPS = [clicks(rule) for rule in ("largest_error", "ritm", "random", "center", "border")]


@pytest.mark.parametrize("step", [*STEPS, SCRIBBLE], ids=lambda step: step.get("rule", "scribble"))
def test_a_case_without_foreground_is_asked_without_prompts(gts, step):
    """Once with empty lists; then background prompts go to what was invented, and nothing else."""
    empty = np.zeros_like(gts)
    key = "scribbles" if step is SCRIBBLE else "clicks"
    place = {"labels": [1, 2], "k": 2}
    first = next_prompts(no_prompts([1, 2]), step, scene(empty, None, **place))
    assert first["asked"]
    assert first[key] == [{"fg": [], "bg": []}] * 2
    assert has_prompts(first)
    invented = np.where(gts == 2, 2, empty)
    second = next_prompts(first, step, scene(empty, invented, **place))
    one, two = second[key]
    assert one == {"fg": [], "bg": []}
    assert two["fg"] == []
    assert two["bg"]
    assert all(invented[tuple(voxel)] == 2 for voxel in two["bg"])
    then = next_prompts(second, step, scene(empty, empty, **place))
    assert then[key] == second[key]
    assert then["asked"] == (step.get("rule") == "largest_error")


def test_who_invents_something_does_not_satisfy(gts):
    """In a case without foreground the user is satisfied by nothing, not by two labels."""
    empty = np.zeros_like(gts)
    asked = next_prompts(no_prompts([1, 2]), clicks("ritm"), scene(empty, None, labels=[1, 2]))
    for answer, expected in ((gts, True), (empty, False)):
        step_scene = scene(empty, answer, labels=[1, 2])
        assert next_prompts(asked, clicks("ritm"), step_scene, {"iou": 0.9})["asked"] is expected
