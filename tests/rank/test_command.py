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
