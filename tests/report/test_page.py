"""The files of a report, without a browser."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image as Picture

from segarena.protocol import load
from segarena.rank.outputs import rank_scores
from segarena.report import results
from segarena.report.charts import CAPTIONS, FIGURES, QUALITY, STABILITY, draw
from segarena.report.page import packed, significance_groups, write
from segarena.report.script import script_json


@pytest.fixture(scope="module")
def found(run_folder: Path) -> results.Results:
    where = run_folder / "results"
    return results.read(
        sorted((where / "score" / "cvpr25").glob("*_metrics.csv")),
        where / "rank" / "cvpr25",
        protocol=load("cvpr25"),
        names={"alpha": "same", "gamma": "same"},
        groups={},
    )


def test_json_cannot_close_a_script() -> None:
    """No text can end the script element it stands in, open a comment, or break a line."""
    text = script_json(["</script><!--", "\u2028", "&lt;"])
    assert not re.search(r"[<>&\u2028]", text)
    assert json.loads(text) == ["</script><!--", "\u2028", "&lt;"]


def test_page_escapes_names_and_messages(page_file: Path) -> None:
    """Neither a hostile name nor a hostile message stands in the page as markup."""
    text = page_file.read_text(encoding="utf-8")
    assert "<img src=x" not in text
    assert "</script><script>alert" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text


def test_data_scripts_escape_names_and_messages(page_file: Path) -> None:
    """What the page loads later holds no markup either."""
    for path in set(page_file.parent.glob("data/*.js")) - {page_file.parent / "data" / "vega.js"}:
        assert "<" not in path.read_text(encoding="utf-8"), path.name


def test_every_figure_has_a_caption_and_both_forms(page_file: Path) -> None:
    """The captions name the figures that there are; each figure is there as SVG and PNG."""
    assert {path.stem for path in CAPTIONS.glob("*.rst")} == set(FIGURES)
    assert set(FIGURES) == {*QUALITY, *STABILITY}
    figures = page_file.parent / "figures"
    for name in FIGURES:
        assert "<svg" in (figures / f"{name}.svg").read_text(encoding="utf-8")[:500]
        with Picture.open(figures / f"{name}.png") as picture:
            assert picture.width > 200


def test_figures_escape_names(page_file: Path) -> None:
    """A hostile name is text in the SVG figures as well."""
    for path in page_file.parent.glob("figures/*.svg"):
        assert "<img" not in path.read_text(encoding="utf-8"), path.name


def test_shared_names_are_told_apart(found: results.Results) -> None:
    """Two submissions of the same display name show which is which."""
    assert found.names["alpha"] == "same (alpha)"
    assert found.names["gamma"] == "same (gamma)"
    assert found.names["beta"] == "beta"


def test_failures_are_those_that_are_not_fine(run_folder: Path, found: results.Results) -> None:
    """The one failed answer is found, with its reason."""
    failed = results.failures(found)
    assert failed[["submission", "case", "interaction"]].to_numpy().tolist() == [["beta", "c", 2]]


def test_failures_of_a_run_without_records(found: results.Results) -> None:
    """Where no record is, nothing failed, and the table has its columns."""
    failed = results.failures(dataclasses.replace(found, calls=found.calls.head(0)))
    assert failed.empty
    assert "message" in failed


def test_tables_are_those_of_the_run(found: results.Results) -> None:
    """Cases, measured metrics and interactions come from the tables and the protocol."""
    assert found.cases == list("abcde")
    assert found.measured == ["DSC", "NSD"]
    assert list(found.interactions) == [1, 2, 3, 4, 5, 6]
    assert isinstance(found.scores, pd.DataFrame)


def test_direction_follows_the_metric(found: results.Results) -> None:
    """More overlap is better, less time and fewer clicks are."""
    assert found.larger_is_better("DSC_AUC")
    assert not found.larger_is_better("TotalRunningTime")
    assert not found.larger_is_better("NoC@90")


def test_one_team_on_one_case(tmp_path: Path, run_folder: Path) -> None:
    """The smallest run there is has every figure and a page, with nobody to compare with."""
    where = run_folder / "results" / "score" / "cvpr25" / "alpha_metrics.csv"
    table = pd.read_csv(where).head(1)
    tables = tmp_path / "cvpr25"
    tables.mkdir()
    table.to_csv(tables / "alpha_metrics.csv", index=False)
    shutil.copy(where.with_name("alpha_labels.csv"), tables)
    protocol = load("cvpr25")
    rank_scores(
        table.assign(submission="alpha", case="a"),
        tmp_path / "rank",
        metrics=protocol["ranking"]["metrics"],
        deciding_scheme=protocol["ranking"]["scheme"],
        protocol="cvpr25",
        protocol_version=1,
        seed=42,
        bootstraps=10,
    )
    for name in ("left_out", "spread"):
        table = pd.read_parquet(run_folder / "results" / "rank" / "cvpr25" / f"{name}.parquet")
        table.head(0).to_parquet(tmp_path / "rank" / f"{name}.parquet")
    alone = results.read(
        [tables / "alpha_metrics.csv"], tmp_path / "rank", protocol=protocol, names={}, groups={}
    )
    specs = draw(tmp_path / "report" / "figures", alone)
    assert set(specs) == set(FIGURES)
    failed = results.failures(alone)
    write(tmp_path / "report", alone, failed=failed, specs=specs, vega="", software="")
    text = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "alpha is the only submission" in text
    assert "1 submission \N{MIDDLE DOT} 1 case" in text
    assert "Left out" not in text
    assert "Spread over" not in text


def test_who_is_left_out_is_named_with_the_reason(page_file: Path) -> None:
    """A table below the leaderboard; what a submission wrote is text there, too."""
    text = page_file.read_text(encoding="utf-8")
    (table,) = re.findall(r'<table id="left-out">(.*?)</table>', text, re.S)
    assert re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", table)[2:] == [
        "delta",
        "it does not accept clicks &lt;segarena.yaml&gt;",
    ]


def test_labels_have_their_names_and_who_invents_any_is_told(page_file: Path) -> None:
    """A row per label and region, as text; one team has two labels that nobody asked for."""
    text = page_file.read_text(encoding="utf-8")
    (found,) = re.findall(r'<script id="data"[^>]*>(.*?)</script>', text, re.S)
    board = json.loads(found)
    liver, whole = board["label_rows"]["DSC"]
    assert (liver["label"], liver["name"], liver["cases"]) == ("4", "<b>liver</b>", 5)
    assert liver["means"] == [0.9, 0.7, 0.5]
    assert (whole["label"], whole["is_region"], whole["cases"]) == ("WT", True, 3)
    assert board["invented"] == [0, 1, 0]
    team = (page_file.parent / "data" / "team.beta.js").read_text()
    assert '"invented":[["b",6,2]]' in team.replace(", ", ",").replace(": ", ":")


def test_a_figures_rows_are_there_as_csv(page_file: Path) -> None:
    """The curve of alpha on the CT cases: 0.9 + 0.01 k less the mean of 0 and 0.02."""
    rows = pd.read_csv(page_file.parent / "figures" / "quality_by_interaction.csv")
    own = rows[(rows["submission"] == "alpha") & (rows["subgroup"] == "modality: CT")]
    own = own[own["metric"] == "DSC"]
    assert own["mean"].tolist() == pytest.approx([0.89 + 0.01 * k for k in range(1, 7)])
    assert set(own["cases"]) == {2}
    spec = json.loads((page_file.parent / "figures" / "quality_by_interaction.json").read_text())
    assert {row["subgroup"] for rows in spec["datasets"].values() for row in rows} == {"all"}


def test_packed_rows_are_the_rows() -> None:
    """Texts are in a list once, numbers as they are, and what a row lacks is null."""
    spec = {"mark": "bar", "datasets": {"d": [{"a": "x", "n": 1}, {"a": "x"}, {"a": "y", "n": 2}]}}
    assert packed(spec) == {
        "mark": "bar",
        "datasets": {
            "d": {
                "columns": ["a", "n"],
                "texts": {"a": ["x", "y"]},
                "rows": [[0, 1], [0, None], [1, 2]],
            }
        },
    }


def test_groups_begin_with_whom_the_first_beats() -> None:
    """b ties with a; c is beaten by a and begins a group, to which d belongs."""
    groups = significance_groups(list("abcd"), {"a": {"c", "d"}, "b": {"d"}})
    assert groups == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_cases_that_do_not_count_are_named(tmp_path: Path, found: results.Results) -> None:
    """Two of five cases have no value of a column for anybody, a third has none for one team."""
    out = [(team, case) for case in "ab" for team in ("alpha", "beta", "gamma")]
    missing = pd.DataFrame([*out, ("alpha", "c")], columns=["submission", "case"])
    missing = missing.assign(metric="DSC_Final", policy="not counted", value=float("nan"))
    groups = {case: {"modality": "CT" if case in "ab" else "MR"} for case in "abcde"}
    fewer = dataclasses.replace(found, missing=missing, groups=groups)
    failed = results.failures(fewer)
    write(tmp_path, fewer, failed=failed, specs={}, vega="", software="")
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "DSC_Final is over 3 of 5 cases" in text
    assert "counted as the protocol says" not in text


def test_repetitions_are_averaged_and_their_spread_is_shown(
    tmp_path: Path, run_folder: Path
) -> None:
    """Two plays that differ by 0.2 count with the value between; the first play's is shown alone.

    The spread is that of the ranking, a row a submission in the order of the leaderboard.
    """
    where = run_folder / "results"
    metrics = load("cvpr25")["ranking"]["metrics"]
    tables = []
    for repetition, change in (("cvpr25", 0.0), ("cvpr25.2", 0.2)):
        (tmp_path / repetition).mkdir()
        for path in sorted((where / "score" / "cvpr25").glob("*_metrics.csv")):
            table = pd.read_csv(path)
            table["DSC_Final"] += change
            table.to_csv(tmp_path / repetition / path.name, index=False)
            tables.append(tmp_path / repetition / path.name)
        for path in (where / "score" / "cvpr25").glob("*_labels.csv"):
            shutil.copy(path, tmp_path / repetition)
    shutil.copytree(where / "rank" / "cvpr25", tmp_path / "rank")
    spread = pd.DataFrame(
        [(team, metric, 0.5, 0.125) for team in ("gamma", "beta", "alpha") for metric in metrics],
        columns=["submission", "metric", "mean", "standard_deviation"],
    )
    spread.to_parquet(tmp_path / "rank" / "spread.parquet")
    twice = results.read(
        tables,
        tmp_path / "rank",
        protocol={**load("cvpr25"), "repeat": 2},
        names={},
        groups={case: {"modality": "CT" if case in "ab" else "MR"} for case in "abcde"},
    )
    alpha = twice.scores.set_index(["submission", "case"]).loc[("alpha", "a")]
    first = twice.first.set_index(["submission", "case"]).loc[("alpha", "a")]
    assert alpha["DSC_Final"] == pytest.approx(first["DSC_Final"] + 0.1)
    failed = results.failures(twice)
    write(tmp_path / "report", twice, failed=failed, specs={}, vega="", software="")
    text = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "Spread over 2 repetitions" in text
    (table,) = re.findall(r'<table id="spread">(.*?)</table>', text, re.S)
    assert re.findall(r'<th scope="row">(.*?)</th>', table) == ["alpha", "beta", "gamma"]
    shown = re.findall(r'<td class="number">(.*?)</td>', table)
    assert shown == ["0.500 \N{PLUS-MINUS SIGN} 0.125"] * (3 * len(metrics))
