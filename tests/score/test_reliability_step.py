"""Tests of the numbers of a reliability diagram, by counting."""

import csv

import numpy as np
import pytest

from segarena.case import Truth, write_answer, write_probs, write_truth
from segarena.score import reliability_step, step


def case(folder, name, truth, p):
    """Write a row of voxels and probabilities in 255ths."""
    gts = np.array(truth, np.uint8).reshape(1, 1, -1)
    write_truth(folder / f"{name}.truth.npz", Truth(gts, {1: 5}, spacing_mm=(1, 1, 1)))
    probs = None
    if p is not None:
        probs = folder / f"{name}.probs"
        write_probs(probs, (1, *gts.shape), [np.array(p, np.uint8).reshape(gts.shape)])
    write_answer(folder / f"{name}.npz", gts, probs)
    return str(folder / f"{name}.truth.npz"), str(folder / f"{name}.npz")


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_voxels_are_counted_over_cases_and_answers_without_probabilities_left_out(tmp_path):
    """p = 0.2 is in the third bin and true in one of three, 1 in the last."""
    files = [
        case(tmp_path, "one", [1, 0, 0], [51, 51, 255]),
        case(tmp_path, "two", [1, 1], [255, 51]),
        case(tmp_path, "three", [1, 1], None),
    ]
    truths, answers = map(list, zip(*files, strict=True))
    reliability_step.main(truths, answers, str(tmp_path / "out.csv"))
    found = rows(tmp_path / "out.csv")
    assert [row["label"] for row in found] == ["5"] * 10
    assert [row["voxels"] for row in found] == ["0", "0", "3", "0", "0", "0", "0", "0", "0", "2"]
    assert [found[2][key] for key in ("low", "high")] == ["0.2", "0.3"]
    assert float(found[2]["mean_probability"]) == pytest.approx(51 / 255)
    assert (float(found[2]["share"]), float(found[9]["share"])) == (2 / 3, 1 / 2)
    assert (found[0]["mean_probability"], found[0]["share"]) == ("", "")


def test_scores_of_a_run_have_the_metrics_of_probabilities(tmp_path):
    """An answer with probabilities has values, one without has none, and both have a DSC."""
    truth, answer = case(tmp_path, "one", [1, 0, 0], [51, 51, 255])
    _, plain = case(tmp_path, "two", [1, 0, 0], None)
    files = {"truth": truth, "answers": [answer, plain]}
    step.main(files, str(tmp_path / "scores.csv"), [{"name": "DSC"}, {"name": "Brier"}])
    found = {
        (row["interaction"], row["metric"]): row["value"] for row in rows(tmp_path / "scores.csv")
    }
    assert float(found["1", "Brier"]) == ((204 / 255) ** 2 + (51 / 255) ** 2 + 1) / 3
    assert found["2", "Brier"] == "nan"
    assert found["1", "DSC"] == found["2", "DSC"] == "1.0"
