"""Tests of the scores of raters against each other and of answers against each, by hand."""

import csv

import numpy as np

from segarena.case import Truth, write_answer, write_truth
from segarena.score import raters_step, raters_table_step

METRICS = [{"name": "DSC"}, {"name": "Adherence"}]


def case(path, *lines):
    maps = [np.array([[[int(sign) for sign in line]]], np.uint8) for line in lines]
    raters = dict(zip(("anna", "ben", "chris"), maps, strict=False))
    write_truth(path, Truth(maps[0], {1: 7}, spacing_mm=(1, 1, 1), raters=raters))


def rows(path):
    with path.open() as file:
        return [list(row.values()) for row in csv.DictReader(file)]


def test_each_rater_against_the_others_and_an_answer_against_each(tmp_path):
    """Of three raters two agree; metrics that need prompts are left out, labels are ids."""
    case(tmp_path / "one.npz", "1100", "1100", "0110")
    humans, against = tmp_path / "_raters" / "one.csv", tmp_path / "_raters" / "team" / "one.csv"
    files = {"truth": tmp_path / "one.npz"}
    raters_step.main(files, str(humans), METRICS, consensus="majority")
    # Two raters must agree to be a majority: anna and chris share one voxel.
    assert rows(humans) == [
        ["anna", "7", "DSC", repr(2 / 3)],
        ["ben", "7", "DSC", repr(2 / 3)],
        ["chris", "7", "DSC", "0.5"],
    ]
    write_answer(tmp_path / "answer.npz", np.array([[[0, 1, 1, 1]]], np.uint8))
    files["answer"] = tmp_path / "answer.npz"
    raters_step.main(files, str(against), METRICS, consensus="majority")
    assert [row[3] for row in rows(against)] == ["0.4", "0.4", "0.8"]
    raters_table_step.main([str(humans), str(against)], str(tmp_path / "_raters.csv"))
    found = rows(tmp_path / "_raters.csv")
    assert found[0][:4] == ["raters", "all", "DSC", "1"]
    assert float(found[0][4]) == (2 / 3 + 2 / 3 + 0.5) / 3
    assert found[4][:4] == ["team", "all", "DSC", "1"]
    assert float(found[4][4]) == (0.4 + 0.4 + 0.8) / 3


def test_a_case_of_one_rater_has_no_human_level(tmp_path):
    """There is nobody to compare with, and no error."""
    case(tmp_path / "one.npz", "1100")
    output = tmp_path / "_raters" / "one.csv"
    raters_step.main({"truth": tmp_path / "one.npz"}, str(output), METRICS, consensus="staple")
    assert rows(output) == []
