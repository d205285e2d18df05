import argparse
from pathlib import Path

import pandas as pd
import pytest

from segarena.errors import ConfigError
from segarena.rank.command import add_parser

DATA = Path(__file__).parents[1] / "data" / "ranking"


def call(*arguments):
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    given = parser.parse_args(["rank", *map(str, arguments)])
    return given.run(given)


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    out = tmp_path_factory.mktemp("ranked")
    assert call(DATA / "scores.csv", "--smaller-is-better", "--out", out) == 0
    return out


def test_ranks_csv_equals_challenger(ranked):
    """ranks.csv has the five columns, and challengeR's scores and ranks where smaller is better."""
    found = pd.read_csv(ranked / "ranks.csv")
    assert list(found.columns) == ["scheme", "task", "algorithm", "score", "rank"]
    expected = pd.read_csv(DATA / "expected.csv").query("smaller_is_better")
    keys = ["scheme", "task", "algorithm"]
    both = found.merge(expected, on=keys, validate="one_to_one")
    assert len(both) == len(found) == len(expected) == 108
    assert (both["score_x"] - both["score_y"]).abs().max() <= 1e-12
    assert (both["rank_x"] == both["rank_y"]).all()


def test_stability_tables_and_figures_are_there(ranked):
    """The other tables say the seed, and each task has its figures."""
    for name in ["consensus", "significance", "stability/intervals", "stability/taus"]:
        assert set(pd.read_csv(ranked / f"{name}.csv")["seed"]) == {42}
    taus = pd.read_csv(ranked / "stability" / "taus.csv")
    assert len(taus) == 1000 * 3 * 6
    for task in ["lesions", "organs", "vessels"]:
        assert len(list((ranked / "figures" / task).glob("*.svg"))) == 9
        assert len(list((ranked / "figures" / task).glob("*.png"))) == 9


def test_a_direction_must_be_given(tmp_path):
    """Without a direction the command is refused, as no table tells it."""
    with pytest.raises(SystemExit):
        call(DATA / "scores.csv", "--out", tmp_path)


def test_a_bad_table_writes_nothing(tmp_path):
    """A table that cannot be ranked is told before anything is written."""
    path = tmp_path / "bad.csv"
    path.write_text("task,algorithm,case\nt,a,c\n")
    with pytest.raises(ConfigError, match="no column 'value'"):
        call(path, "--larger-is-better", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


PENALTIES = """task,algorithm,case,value
HD95,A,c1,3
HD95,A,c2,4
HD95,B,c1,5
HD95,B,c2,9223372036854775807
HD95,C,c1,6
HD95,C,c2,7
HD95,D,c1,
HD95,D,c2,
"""


def test_penalties_and_gaps_are_ranked_and_drawn(tmp_path):
    """sys.maxsize and a team without answers: all is written, and the ranks are whole."""
    path = tmp_path / "scores.csv"
    path.write_text(PENALTIES)
    assert call(path, "--smaller-is-better", "--out", tmp_path / "out") == 0
    found = pd.read_csv(tmp_path / "out" / "ranks.csv").query("scheme == 'mean_then_rank'")
    assert found["rank"].to_list() == [1, 3, 2, 4]
    assert len(list((tmp_path / "out" / "figures" / "HD95").glob("*.png"))) == 9


@pytest.mark.parametrize(
    "rows",
    ["HD95,A,c1,3\n", "HD95,A,c1,\n", "HD95,A,c1,3\nHD95,B,c1,3\n", "HD95,A,c1,\nHD95,B,c1,\n"],
    ids=["one value", "no value", "a tie", "two without a value"],
)
def test_little_to_rank_is_ranked_and_drawn(tmp_path, rows):
    """One team, one case, a tie, or nothing answered: all are first, and the figures are there."""
    path = tmp_path / "scores.csv"
    path.write_text("task,algorithm,case,value\n" + rows)
    assert call(path, "--larger-is-better", "--out", tmp_path / "out") == 0
    assert set(pd.read_csv(tmp_path / "out" / "ranks.csv")["rank"]) == {1}
    assert (tmp_path / "out" / "figures" / "HD95" / "podium.png").is_file()
