"""Tests of the sections beside the leaderboard, from tables written by hand."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from segarena.protocol import load
from segarena.report import results
from segarena.report.measures import Section, sections

HUMANS = [
    ("raters", "all", "DSC", 0.8),
    ("raters", "anna", "DSC", 0.75),
    ("raters", "ben", "DSC", 0.85),
    ("alpha", "all", "DSC", 0.9),
    ("gamma", "all", "DSC", 0.6),
]


@pytest.fixture
def found(run_folder: Path) -> results.Results:
    """Results of three teams; beside cvpr25's columns those of effort and regret."""
    where = run_folder / "results"
    protocol = load("cvpr25")
    protocol["series"] = {
        **protocol["series"],
        "regret": ["DSC"],
        "effort": {"box_seconds": 7, "click_seconds": 2.5, "scribbled_voxel_seconds": 0},
    }
    read = results.read(
        sorted((where / "score" / "cvpr25").glob("*_metrics.csv")),
        where / "rank" / "cvpr25",
        protocol=protocol,
        names={"alpha": "<b>Alpha</b>"},
        groups={},
    )
    more = {"Boxes": 1, "Clicks": 5, "ScribbledVoxels": 0, "EffortSeconds": 19.5, "DSC@10s": 0.25}
    more |= {"DSC_Regret": 0.125, "DSC_Harmful": 0.2}
    more |= {f"EffortSeconds_{k}": 7 + 2.5 * (k - 1) for k in read.interactions}
    for name, value in more.items():
        read.scores[name] = value
    return read


def by_key(found: results.Results, folder: Path) -> dict[str, Section]:
    return {section.key: section for section in sections(found, folder)}


def test_a_run_without_any_of_it_has_no_section(run_folder: Path, tmp_path: Path) -> None:
    """Nothing is measured, so nothing is shown and nothing is drawn."""
    where = run_folder / "results"
    plain = results.read(
        sorted((where / "score" / "cvpr25").glob("*_metrics.csv")),
        where / "rank" / "cvpr25",
        protocol=load("cvpr25"),
        names={},
        groups={},
    )
    assert sections(plain, tmp_path / "report" / "cvpr25") == []
    assert not list(tmp_path.rglob("*"))


def test_effort_and_regret_are_means_over_the_cases(found: results.Results, tmp_path: Path) -> None:
    """Each submission has a row, best first, with what the user gave and what came of it."""
    shown = by_key(found, tmp_path / "report" / "cvpr25")
    effort, regret = shown["effort"], shown["regret"]
    head = ["Submission", "boxes", "clicks", "scribbled voxels", "seconds", "DSC@10s"]
    assert effort.head == head
    assert effort.rows[0] == ["<b>Alpha</b>", "1", "5", "0", "19.5", "0.25"]
    assert regret.rows[0] == ["<b>Alpha</b>", "0.125", "0.2"]
    assert "2.5 s per click" in effort.note
    assert "<svg" in (tmp_path / "report" / "cvpr25" / "figures" / "effort.svg").read_text()


def test_the_raters_have_an_unranked_row(found: results.Results, tmp_path: Path) -> None:
    """The human level comes first, then submissions; one without scores has dashes."""
    scores = tmp_path / "score" / "cvpr25"
    scores.mkdir(parents=True)
    table = pd.DataFrame(HUMANS, columns=["who", "rater", "metric", "mean"])
    table.to_csv(scores / "_raters.csv", index=False)
    human = by_key(found, tmp_path / "report" / "cvpr25")["human-level"]
    assert human.rows[0] == ["raters (each against the others; not ranked)", "0.8"]
    assert human.rows[1] == ["<b>Alpha</b>", "0.9"]
    assert ["beta", "\N{EN DASH}"] in human.rows
    assert "anna 0.75, ben 0.85" in human.note
    assert human.figure == "human_level"


def test_reliability_has_the_gap_and_its_sign(found: results.Results, tmp_path: Path) -> None:
    """Two bins of 30 and 10 voxels, too sure by 0.1 and unsure by 0.2."""
    folder = tmp_path / "score" / "cvpr25" / "_probs"
    folder.mkdir(parents=True)
    rows = [(4, 0.2, 0.3, 30, 0.3, 0.2), (4, 0.6, 0.7, 10, 0.6, 0.8), (4, 0.9, 1.0, 0, "", "")]
    columns = ["label", "low", "high", "voxels", "mean_probability", "share"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "alpha.csv", index=False)
    section = by_key(found, tmp_path / "report" / "cvpr25")["reliability"]
    assert section.rows == [["<b>Alpha</b>", "4", "0.125", "0.025"]]
    assert "Without probabilities: beta, gamma." in section.note


def test_the_fingerprint_is_shown_where_there_is_one(
    found: results.Results, tmp_path: Path
) -> None:
    """Percentiles of each label, by its name."""
    label = {"label": 4, "name": "liver", "cases": 5, "voxels": [10, 1200.5, 30000]}
    label |= {"thickness_voxels": [1, 2, 3], "components": [1, 1, 2], "dsc_of_one_voxel": 0.5}
    (tmp_path / "fingerprint.yaml").write_text(yaml.safe_dump({"measured": {"labels": [label]}}))
    section = by_key(found, tmp_path / "report" / "cvpr25")["fingerprint"]
    assert section.rows == [["liver", "5", "10 / 1,200 / 30,000", "1 / 2 / 3", "1 / 1 / 2", "0.5"]]
