"""Tests of the table of scores of a case: its rows, and what it does not measure again."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from segarena.case import Truth, write_answer, write_truth
from segarena.errors import ConfigError
from segarena.protocol import PROMPTED
from segarena.score import step
from segarena.score.metrics import METRICS, score
from segarena.score.table import read_scores, row

VALUES = {"series": {"auc_from": 1}, "time": {"seconds_per_label": 60, "on_overtime": "zero"}}


@pytest.fixture
def files(tmp_path: Path):
    """Save a truth of the labels 1 and 2, ids 3 and 8 in their file, and answers (D, H, W)."""
    gts = np.zeros((2, 4, 6), np.uint8)
    gts[0, :2, :2], gts[1, 2:, 3:5] = 1, 2
    truth = Truth(gts, {1: 3, 2: 8}, spacing_mm=(1.0, 1.0, 1.0))
    write_truth(tmp_path / "truth.npz", truth)

    def save(*answers):
        paths = [str(tmp_path / f"{k}.npz") for k in range(1, len(answers) + 1)]
        for path, segs in zip(paths, answers, strict=True):
            write_answer(path, segs)
        return {"truth": str(tmp_path / "truth.npz"), "answers": paths}

    return save, gts


def rows_of(table: Path) -> list[list[str]]:
    with table.open() as file:
        return list(csv.reader(file))[1:]


def test_labels_that_an_answer_invents_have_rows(files, tmp_path):
    """Label 7 has five voxels in the second answer and is in no other row."""
    save, gts = files
    invented = gts.copy()
    invented[0, 3, :5] = 7
    table = tmp_path / "case.csv"
    step.main(save(gts, invented), str(table), [{"name": "DSC"}])
    assert rows_of(table) == [
        ["1", "3", "DSC", "1.0"],
        ["1", "8", "DSC", "1.0"],
        ["2", "3", "DSC", "1.0"],
        ["2", "7", "invented_voxels", "5.0"],
        ["2", "8", "DSC", "1.0"],
    ]
    assert read_scores(table) == {"DSC": {1: [1.0, 1.0], 2: [1.0, 1.0]}}


def test_invented_labels_are_kept_with_what_was_measured(files, tmp_path, monkeypatch):
    """A metric less in a protocol measures nothing, and the row of the invented label stays."""
    save, gts = files
    invented = gts.copy()
    invented[0, 3, :5] = 7
    table, answers = tmp_path / "case.csv", save(invented)
    step.main(answers, str(table), [{"name": "DSC"}, {"name": "IoU"}])
    table.unlink()
    monkeypatch.setattr(step, "score", None)
    step.main(answers, str(table), [{"name": "IoU"}])
    assert rows_of(table) == [
        ["1", "3", "IoU", "1.0"],
        ["1", "7", "invented_voxels", "5.0"],
        ["1", "8", "IoU", "1.0"],
    ]


def test_rules_for_empty_labels_are_applied_and_counted(files, tmp_path):
    """The first answer has neither label, the second one of two: HD counts 50 thrice, DSC 0.25."""
    save, gts = files
    one = np.where(gts == 1, gts, 0)
    metrics = [
        {"name": "DSC", "empty": {"answer": 0.25}},
        {"name": "HD", "worst_mm": 50},
        {"name": "HD", "as": "HD_as_ever"},
    ]
    table = tmp_path / "case.csv"
    step.main(save(np.zeros_like(gts), one), str(table), metrics, areas=True)
    scores = read_scores(table)
    assert scores["DSC"] == {1: [0.25, 0.25], 2: [1, 0.25]}
    assert scores["HD"] == {1: [50, 50], 2: [0, 50]}
    made = row("case", scores, [1.0, 1.0], {**VALUES, "metrics": metrics})
    assert (made["DSC_Empty"], made["HD_Empty"]) == (3, 3)
    assert "HD_as_ever_Empty" not in made


def test_a_case_without_foreground_is_scored_by_rules_alone(tmp_path):
    """Of two labels that it could have, one is invented; a metric without a rule has no value."""
    nothing = np.zeros((2, 4, 6), np.uint8)
    truth = Truth(nothing, {1: 3, 2: 8}, spacing_mm=(1.0, 1.0, 1.0))
    write_truth(tmp_path / "truth.npz", truth)
    segs = nothing.copy()
    segs[0, 0, :3], segs[1, 1, 1] = 2, 5
    write_answer(tmp_path / "1.npz", segs)
    files = {"truth": str(tmp_path / "truth.npz"), "answers": [str(tmp_path / "1.npz")]}
    metrics = [{"name": "DSC", "empty": "flare"}, {"name": "IoU"}, {"name": "Betti0Error"}]
    table = tmp_path / "case.csv"
    regions = {"ALL": [3, 8], "OTHER": [4]}
    step.main(files, str(table), metrics, areas=True, regions=regions)
    assert rows_of(table) == [
        *[["1", "3", name, value] for name, value in
          (("DSC", "1.0"), ("IoU", "nan"), ("Betti0Error", "0.0"))],
        ["1", "3", "truth_voxels", "0.0"], ["1", "3", "answer_voxels", "0.0"],
        ["1", "5", "invented_voxels", "1.0"],
        *[["1", "8", name, value] for name, value in
          (("DSC", "0.0"), ("IoU", "nan"), ("Betti0Error", "1.0"))],
        ["1", "8", "truth_voxels", "0.0"], ["1", "8", "answer_voxels", "3.0"],
        *[["1", "ALL", name, value] for name, value in
          (("DSC", "0.0"), ("IoU", "nan"), ("Betti0Error", "1.0"))],
        ["1", "ALL", "truth_voxels", "0.0"], ["1", "ALL", "answer_voxels", "3.0"],
    ]  # fmt: skip
    made = row("case", read_scores(table), [1.0], {**VALUES, "metrics": metrics})
    assert (made["DSC_Final"], made["DSC_Empty"]) == (0.5, 2)


def prompts_file(path: Path, clicks, boxes=None):
    """Save a prompts file for the labels 1 and 2."""
    content = {"labels": [1, 2], "boxes": boxes, "clicks": clicks}
    path.write_text(json.dumps(content))
    return str(path)


NOTHING = {"fg": [], "bg": []}


def test_metrics_of_prompts_compare_with_the_answer_before(files, tmp_path):
    """Both clicks are honoured at last; the second answer also loses a voxel that nobody marked."""
    save, gts = files
    first, second = np.zeros_like(gts), gts.copy()
    first[gts == 2] = 2
    second[0, 1, 1] = second[1, 2, 3] = 0
    read = save(first, second)
    clicks = [{"fg": [[0, 0, 0]], "bg": []}, {"fg": [[1, 3, 3]], "bg": []}]
    read["prompts"] = [
        prompts_file(tmp_path / "1.json", [NOTHING, NOTHING], boxes=[{}, {}]),
        prompts_file(tmp_path / "2.json", clicks),
    ]
    table = tmp_path / "case.csv"
    step.main(read, str(table), [{"name": "Adherence"}, {"name": "Collateral"}])
    found = {(k, label, name): float(value) for k, label, name, value in rows_of(table)}
    assert [found["2", label, "Adherence"] for label in ("3", "8")] == [1, 1]
    assert [found["2", label, "Collateral"] for label in ("3", "8")] == [0, 1]
    assert found["1", "3", "boxes"] == 1 and found["2", "3", "clicks"] == 1
    assert [found["1", label, "Collateral"] for label in ("3", "8")] == [0, 0]


def test_metrics_of_prompts_need_a_run():
    """Two label maps alone say nothing of prompts."""
    labels = np.ones((1, 2, 2), np.uint8)
    with pytest.raises(ConfigError, match="Adherence: needs the prompts of a run"):
        score(labels, labels, (1, 1, 1), [{"name": "Adherence"}])


def test_the_metrics_that_need_prompts_are_those_of_the_catalogue():
    """What the plan takes for a metric of prompts is what the catalogue says."""
    assert {m.name for m in METRICS.values() if m.needs == "prompts"} == PROMPTED


def series(**values):
    return {name: {k: list(v) for k, v in enumerate(rows, 1)} for name, rows in values.items()}


def test_regret_and_effort_of_a_case():
    """Three interactions of two labels: a box each, a click each, a scribble of ten voxels."""
    scores = series(
        DSC=[(0.4, 0.6), (0.8, 0.8), (0.7, 0.5)],
        boxes=[(1, 1), (1, 1), (1, 1)],
        clicks=[(0, 0), (1, 1), (1, 1)],
        scribbled_voxels=[(0, 0), (0, 0), (10, 0)],
    )
    model = {"box_seconds": 7, "click_seconds": 2, "scribbled_voxel_seconds": 0.1}
    model["at"] = [13, 14, 18.5]
    values = VALUES | {"metrics": [{"name": "DSC"}]}
    values["series"] = {"auc_from": 1, "regret": ["DSC"], "effort": model}
    found = row("case", scores, [1, 1, 1], values)
    assert found["DSC_Regret"] == pytest.approx(0.2) and found["DSC_Harmful"] == 0.5
    assert (found["Boxes"], found["Clicks"], found["ScribbledVoxels"]) == (2, 2, 10)
    assert [found[f"EffortSeconds_{k}"] for k in (1, 2, 3)] == [14, 18, 19]
    assert found["EffortSeconds"] == 19
    assert [found[f"DSC@{s}s"] for s in ("13", "14", "18.5")] == [0, 0.5, pytest.approx(0.8)]
