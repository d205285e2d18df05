import numpy as np
import pandas as pd
import pytest

from segarena.rank.leaderboard import leaderboard
from segarena.rank.outputs import folder_names, rank_scores

METRICS = ["DSC_Final", "TotalRunningTime"]


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    rng = np.random.default_rng(4)
    rows = [
        (name, f"c{i:02}", rng.random() * 0.5 + shift, rng.random() * 10 + 5)
        for name, shift in [("a", 0.3), ("b", 0.2), ("c", 0.0)]
        for i in range(12)
    ]
    scores = pd.DataFrame(rows, columns=["submission", "case", *METRICS])
    scores.loc[3, "DSC_Final"] = np.nan
    cases = [f"c{i:02}" for i in range(12)]
    subgroups = pd.DataFrame(
        {"case": cases, "subgroup": ["modality: CT"] * 5 + ["modality: MR"] * 7}
    )
    subgroups.loc[len(subgroups)] = ["elsewhere", "modality: US"]
    out = tmp_path_factory.mktemp("rank")
    board = rank_scores(
        scores,
        out,
        metrics=METRICS,
        deciding_scheme="rank_then_mean",
        protocol="demo",
        protocol_version=3,
        seed=7,
        subgroups=subgroups,
        bootstraps=20,
    )
    return scores, board, out


def test_every_table_is_written_with_its_origin(ranked):
    """Each table is there as CSV and Parquet, with the protocol's version and the seed."""
    _, _, out = ranked
    names = ["leaderboard", "schemes", "missing", "significance"]
    stable = ["frequencies", "intervals", "taus", "leave_one_out", "agreement"]
    for name in [*names, *(f"stability/{table}" for table in stable)]:
        csv = pd.read_csv(out / f"{name}.csv")
        assert set(csv["protocol_version"]) == {3}
        assert set(csv["seed"]) == {7}
        assert len(pd.read_parquet(out / f"{name}.parquet")) == len(csv) > 0


def test_missing_answer_is_listed_once(ranked):
    """The one missing answer is listed with what it counts as."""
    _, _, out = ranked
    listed = pd.read_csv(out / "missing.csv")
    assert listed[["submission", "case", "metric", "value"]].to_numpy().tolist() == [
        ["a", "c03", "DSC_Final", 0.0]
    ]


def test_written_leaderboard_is_the_returned_one(ranked):
    """The file and the returned table are the leaderboard of the completed scores."""
    scores, board, out = ranked
    pd.testing.assert_frame_equal(pd.read_parquet(out / "leaderboard.parquet"), board)
    filled = scores.fillna({"DSC_Final": 0.0})
    expected = leaderboard(filled, metrics=METRICS, deciding_scheme="rank_then_mean")
    pd.testing.assert_frame_equal(board, expected)


def test_subgroups_are_ranked_on_their_cases(ranked):
    """A subgroup's mean is that of its cases alone; one without a case is left out."""
    scores, _, out = ranked
    found = pd.read_csv(out / "schemes.csv")
    assert set(found["subgroup"]) == {"all", "modality: CT", "modality: MR"}
    row = found.query(
        "subgroup == 'modality: MR' and metric == 'DSC_Final' "
        "and scheme == 'mean_then_rank' and submission == 'b'"
    )
    mine = scores[(scores["submission"] == "b") & (scores["case"] >= "c05")]
    assert row["score"].to_list() == pytest.approx([mine["DSC_Final"].mean()])


def test_final_rank_stands_among_the_schemes(ranked):
    """The consensus under every scheme is listed beside the metrics, as "final"."""
    _, board, out = ranked
    found = pd.read_csv(out / "schemes.csv").query(
        "subgroup == 'all' and metric == 'final' and scheme == 'rank_then_mean'"
    )
    assert found.set_index("submission")["rank"].to_dict() == (
        board.set_index("submission")["rank"].to_dict()
    )


def test_folder_names_are_safe_and_different():
    """Path tricks lose their teeth, and names that become equal are numbered."""
    found = folder_names(["../../etc", "a/b", "a b", "A_B", "…"])
    assert list(found.values()) == ["etc", "a_b", "a_b_2", "A_B_3", "task"]
