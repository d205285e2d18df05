import numpy as np
import pandas as pd
import pytest

from segarena.errors import ConfigError
from segarena.rank.leaderboard import complete, leaderboard, metric_ranks, uncounted_in

METRICS = ["DSC_Final", "TotalRunningTime"]


def scores(rows):
    return pd.DataFrame(rows, columns=["submission", "case", *METRICS])


TWO = scores(
    [
        ("fast", "c1", 0.5, 10),
        ("fast", "c2", 0.7, 12),
        ("good", "c1", 0.8, 30),
        ("good", "c2", 0.9, 50),
    ]
)


def test_running_time_ranks_smaller_first():
    """The faster submission is first by running time, the better one by DSC, so they tie."""
    board = leaderboard(TWO, metrics=METRICS, deciding_scheme="rank_then_mean")
    assert board["submission"].to_list() == ["fast", "good"]
    assert board["rank"].to_list() == [1, 1]
    assert board["DSC_Final_rank_then_mean"].to_list() == [2, 1]
    assert board["TotalRunningTime_rank_then_mean"].to_list() == [1, 2]
    assert board["DSC_Final_mean"].to_list() == [0.6, pytest.approx(0.85, abs=1e-15)]
    assert board["TotalRunningTime_mean"].to_list() == [11, 40]


def test_columns_begin_with_rank_and_submission():
    """Rank and submission first, then per metric its mean, cases, and rank by each scheme."""
    board = leaderboard(TWO, metrics=METRICS, deciding_scheme="mean_then_rank")
    assert list(board.columns[:5]) == [
        "rank",
        "submission",
        "mean_rank",
        "DSC_Final_mean",
        "DSC_Final_cases",
    ]
    assert len(board.columns) == 3 + 2 * 8


def test_weights_break_the_tie():
    """With more weight on DSC the better submission is first."""
    board = leaderboard(
        TWO,
        metrics=METRICS,
        deciding_scheme="rank_then_mean",
        weights={"DSC_Final": 2, "TotalRunningTime": 1},
    )
    assert board["submission"].to_list() == ["good", "fast"]
    assert board["mean_rank"].to_list() == [pytest.approx(4 / 3), pytest.approx(5 / 3)]


def test_leaderboard_of_one_submission():
    """A single submission is first."""
    board = leaderboard(
        TWO.query("submission == 'good'"), metrics=METRICS, deciding_scheme="test_then_rank"
    )
    assert board[["rank", "submission"]].to_numpy().tolist() == [[1, "good"]]


def test_metric_ranks_hold_every_scheme():
    """The long table has a row per metric, scheme and submission."""
    found = metric_ranks(TWO, metrics=METRICS)
    assert len(found) == 2 * 6 * 2
    assert list(found.columns) == ["metric", "scheme", "submission", "score", "rank"]


GAPS = scores(
    [("a", "c1", 0.5, 10), ("a", "c2", np.nan, 90), ("b", "c1", 0.8, np.nan), ("b", "c2", 0.9, 50)]
)


@pytest.mark.parametrize(
    ("policy", "dsc", "seconds"), [("worst", 0.0, 90.0), ("zero", 0.0, 90.0), ("last", 0.0, 90.0)]
)
def test_policy_lists_what_it_touched(policy, dsc, seconds):
    """Each missing value is listed with the policy and what it counts as, never the best value."""
    whole, affected = complete(GAPS, metrics=METRICS, policy=policy)
    assert affected.to_numpy().tolist() == [
        ["a", "c2", "DSC_Final", policy, dsc],
        ["b", "c1", "TotalRunningTime", policy, seconds],
    ]
    assert whole[METRICS].isna().to_numpy().sum() == (2 if policy == "last" else 0)


def test_absent_case_is_missing_in_every_metric():
    """A case that only another submission has is listed once per metric."""
    whole, affected = complete(TWO.iloc[:3], metrics=METRICS, policy="worst")
    assert len(whole) == 4
    assert affected[["submission", "case", "metric"]].to_numpy().tolist() == [
        ["good", "c2", "DSC_Final"],
        ["good", "c2", "TotalRunningTime"],
    ]
    assert affected["value"].to_list() == [0, 30]


def test_infinite_is_missing():
    """An infinite distance is no number to average and falls under the policy."""
    table = pd.DataFrame(
        {"submission": ["a", "a", "b"], "case": ["c", "d", "c"], "HD95": [np.inf, 1.0, 4.0]},
    )
    whole, affected = complete(table, metrics=["HD95"], smaller_is_better={"HD95"})
    assert whole["HD95"].to_list() == [4.0, 1.0, 4.0, 4.0]
    assert affected[["submission", "case"]].to_numpy().tolist() == [["a", "c"], ["b", "d"]]


@pytest.mark.parametrize("gap", [np.inf, -np.inf, np.nan, np.finfo(float).max])
@pytest.mark.parametrize("scheme", ["mean_then_rank", "rank_then_median", "test_then_rank"])
def test_a_submission_without_any_value_is_last(scheme, gap):
    """Who has no value of a metric is behind those who have, also where nothing is significant."""
    rows = [(name, case, value) for case in "xyz" for name, value in [("a", 4.0), ("b", gap)]]
    table = pd.DataFrame(rows, columns=["submission", "case", "HD95"])
    whole, affected = complete(table, metrics=["HD95"], smaller_is_better={"HD95"})
    assert affected["value"].to_list() == [4.0] * 3
    board = leaderboard(whole, metrics=["HD95"], deciding_scheme=scheme, smaller_is_better={"HD95"})
    assert board[["submission", "rank"]].to_numpy().tolist() == [["a", 1], ["b", 2]]


@pytest.mark.parametrize("policy", ["worst", "zero", "last"])
def test_a_missing_value_is_not_better_than_a_negative_one(policy):
    """Where a metric went below its worst value, a missing value counts as what was measured."""
    table = scores([("a", "c1", -0.5, 1), ("b", "c1", np.nan, 1), ("b", "c2", 0.5, 1)])
    _, affected = complete(table, metrics=["DSC_Final"], policy=policy)
    assert affected["value"].to_list() == [-0.5, -0.5]


def test_policy_last_is_behind_a_measured_worst():
    """Under `last` a missing answer is one place behind a measured 0 of its case."""
    table = scores([("a", "c1", 0.0, 1), ("b", "c1", np.nan, 1)])
    whole, _ = complete(table, metrics=METRICS, policy="last")
    found = metric_ranks(whole, metrics=["DSC_Final"]).query("scheme == 'rank_then_mean'")
    assert found["rank"].to_list() == [1, 2]


def test_nothing_measured_counts_zero():
    """Where a metric without a worst value was never measured, it counts 0 and all tie."""
    table = scores([("a", "c1", 0.5, np.nan), ("b", "c1", 0.4, np.nan)])
    whole, affected = complete(table, metrics=METRICS)
    assert whole["TotalRunningTime"].to_list() == [0, 0]
    assert len(affected) == 2


def test_complete_scores_are_left_alone():
    """Where nothing is missing, nothing is listed and nothing changes."""
    whole, affected = complete(TWO, metrics=METRICS)
    pd.testing.assert_frame_equal(whole[METRICS], TWO[METRICS].astype(float))
    assert affected.empty


def test_unknown_policy_is_told():
    """A policy that does not exist is told with those that do."""
    with pytest.raises(ConfigError, match=r"'best' is no policy; use worst, zero, last"):
        complete(TWO, metrics=METRICS, policy="best")


def test_missing_column_is_told():
    """A metric that the scores lack is told by name."""
    with pytest.raises(ConfigError, match="no column 'NSD_AUC'"):
        complete(TWO, metrics=["NSD_AUC"])


def test_repeated_case_is_told():
    """A submission with two rows for a case is told with the case."""
    with pytest.raises(ConfigError, match="fast, c1 is there twice"):
        complete(pd.concat([TWO, TWO.iloc[:1]]), metrics=METRICS)


def test_a_case_that_does_not_count_changes_no_mean():
    """c2 has no DSC for anybody; c3 none for one team, which keeps the mean of its other cases."""
    nothing = float("nan")
    table = scores(
        [
            ("fast", "c1", 0.5, 10), ("fast", "c2", nothing, 12), ("fast", "c3", nothing, 14),
            ("good", "c1", 0.8, 30), ("good", "c2", nothing, 50), ("good", "c3", 0.4, 50),
        ]
    )  # fmt: skip
    uncounted = uncounted_in(table, METRICS)
    whole, touched = complete(table, metrics=METRICS, uncounted=uncounted)
    assert set(touched["policy"]) == {"not counted"}
    rows = list(zip(touched["submission"], touched["case"], touched["metric"], strict=True))
    assert rows == [("fast", "c2", "DSC_Final"), ("fast", "c3", "DSC_Final"),
                    ("good", "c2", "DSC_Final")]  # fmt: skip
    board = leaderboard(whole, metrics=METRICS, deciding_scheme="mean_then_rank")
    board = board.set_index("submission")
    assert board["DSC_Final_mean"].to_dict() == {"fast": 0.5, "good": pytest.approx(0.6)}
    assert board["DSC_Final_cases"].to_dict() == {"fast": 2, "good": 2}
    assert board["TotalRunningTime_cases"].to_dict() == {"fast": 3, "good": 3}
    # c1 ranks 2 and 1, c3 ranks 1 and 2; c2 ranks nobody.
    assert board["DSC_Final_rank_then_mean"].to_dict() == {"fast": 1, "good": 1}


@pytest.mark.parametrize("policy", ["worst", "zero", "last"])
def test_a_metric_that_counts_nowhere_ties_everyone(policy: str):
    """As in a group of cases without a box that is ranked by DSC_1."""
    table = TWO.assign(DSC_Final=float("nan"))
    uncounted = uncounted_in(table, METRICS)
    whole, _ = complete(table, metrics=METRICS, policy=policy, uncounted=uncounted)
    board = leaderboard(whole, metrics=METRICS, deciding_scheme="mean_then_rank")
    assert board["DSC_Final_mean_then_rank"].to_list() == [1, 1]
    assert board["DSC_Final_mean"].isna().all()
    assert board["DSC_Final_cases"].to_list() == [0, 0]


def test_a_missing_answer_is_missing_where_others_do_not_count():
    """An infinite distance is a missing answer, not one that does not count."""
    table = TWO.assign(DSC_Final=[float("inf"), 0.6, 0.8, float("nan")])
    uncounted = uncounted_in(table, METRICS)
    whole, touched = complete(table, metrics=METRICS, uncounted=uncounted)
    by_policy = touched.groupby("policy")["case"].unique().map(list).to_dict()
    assert by_policy == {"not counted": ["c2"], "worst": ["c1"]}
    assert whole["DSC_Final"].to_list() == [0.0, 0.6, 0.8, 0.8]
