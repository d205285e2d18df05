import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from segarena.rank.aggregate import SCHEMES, consensus, ranks, sample_places

DATA = Path(__file__).parents[1] / "data" / "ranking"


def tidy(values, task="t"):
    """A table from {algorithm: [value per case]}."""
    return pd.DataFrame(
        [
            {"task": task, "algorithm": name, "case": f"c{i}", "value": value}
            for name, column in values.items()
            for i, value in enumerate(column)
        ]
    )


def places(table, **options):
    """{scheme: {algorithm: (score, rank)}}."""
    options.setdefault("larger_is_better", True)
    found = {scheme: {} for scheme in SCHEMES}
    for row in ranks(table, **options).itertuples():
        found[row.scheme][row.algorithm] = (row.score, row.rank)
    return found


@pytest.mark.parametrize("smaller", [False, True])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_equals_challenger(scheme, smaller):
    """Every score and every rank equals challengeR's, in both directions."""
    expected = pd.read_csv(DATA / "expected.csv").query(
        "scheme == @scheme and smaller_is_better == @smaller"
    )
    found = ranks(pd.read_csv(DATA / "scores.csv"), larger_is_better=not smaller)
    keys = ["task", "algorithm"]
    found = found[found["scheme"] == scheme].set_index(keys)
    expected = expected.set_index(keys)
    assert len(found) == len(expected) == 18
    found = found.loc[expected.index]
    np.testing.assert_allclose(found["score"], expected["score"], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found["rank"], expected["rank"])


def test_order_of_rows_does_not_matter():
    """A shuffled table gives the same ranks, and they are listed in the same order."""
    table = pd.read_csv(DATA / "scores.csv")
    shuffled = table.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(
        ranks(shuffled, larger_is_better=True), ranks(table, larger_is_better=True)
    )


def test_ties_share_the_smallest_rank():
    """Two equal algorithms ahead of a third are both first, and the third is third."""
    found = places(tidy({"a": [0.5, 0.7], "b": [0.7, 0.5], "c": [0.1, 0.1]}))
    assert [found["mean_then_rank"][name][1] for name in "abc"] == [1, 1, 3]


def test_order_of_summation_never_breaks_a_tie():
    """Algorithms with the same values in another order tie, though float sums differ."""
    values = [0.1, 0.2, 0.3, 0.4, 0.7, 1e-3]
    assert sum(values) != sum(values[::-1])
    found = places(tidy({"a": values, "b": values[::-1]}))
    assert [found["mean_then_rank"][name][1] for name in "ab"] == [1, 1]


def test_one_team_is_first_under_every_scheme():
    """A single team has rank 1, and beats no share of the others, who do not exist."""
    found = places(tidy({"a": [0.5, 0.7]}))
    assert {scheme: found[scheme]["a"] for scheme in SCHEMES} == {
        "mean_then_rank": (0.6, 1),
        "median_then_rank": (0.6, 1),
        "rank_then_mean": (1, 1),
        "rank_then_median": (1, 1),
        "test_then_rank": (0, 1),
        "test_then_rank_holm": (0, 1),
    }


def test_one_case_gives_ranks_but_no_significance():
    """On one case the values decide, and the tests (p = 0.5 at best) tell nobody apart."""
    found = places(tidy({"a": [0.9], "b": [0.1]}))
    assert found["mean_then_rank"] == {"a": (0.9, 1), "b": (0.1, 2)}
    assert found["rank_then_median"] == {"a": (1, 1), "b": (2, 2)}
    assert found["test_then_rank"] == {"a": (0, 1), "b": (0, 1)}


def test_two_teams_where_one_always_wins():
    """Of two teams the better one is first under every scheme and beats all others."""
    rng = np.random.default_rng(0)
    worse = rng.uniform(0, 0.5, 20)
    found = places(tidy({"a": worse + 0.3, "b": worse}))
    assert all(found[scheme]["a"][1] == 1 and found[scheme]["b"][1] == 2 for scheme in SCHEMES)
    assert found["test_then_rank_holm"] == {"a": (1, 1), "b": (0, 2)}


@pytest.mark.parametrize(("larger", "score"), [(True, 0.0), (False, 1.0)])
def test_all_missing_is_a_tie_at_the_worst_value(larger, score):
    """Where nobody has an answer all are first, with the worst value as their score."""
    found = places(tidy({"a": [np.nan] * 3, "b": [np.nan] * 3}), larger_is_better=larger)
    assert found["mean_then_rank"] == {"a": (score, 1), "b": (score, 1)}
    assert found["rank_then_mean"] == {"a": (1, 1), "b": (1, 1)}
    assert found["test_then_rank"] == {"a": (0, 1), "b": (0, 1)}


def test_one_team_all_missing_is_last():
    """A team without any answer is last, after a tie as well."""
    found = places(tidy({"a": [0.5] * 8, "b": [0.5] * 8, "c": [np.nan] * 8}))
    assert [found["mean_then_rank"][name] for name in "abc"] == [(0.5, 1), (0.5, 1), (0, 3)]
    assert [found["rank_then_mean"][name] for name in "abc"] == [(1, 1), (1, 1), (2, 3)]


def test_missing_is_worse_than_a_real_zero_only_by_rank():
    """A missing value equals a measured 0 in a mean, and is one place behind it in a case."""
    found = places(tidy({"a": [0.0, 0.5], "b": [np.nan, 0.5]}))
    assert found["mean_then_rank"] == {"a": (0.25, 1), "b": (0.25, 1)}
    assert found["rank_then_mean"] == {"a": (1, 1), "b": (1.5, 2)}


@pytest.mark.parametrize(
    ("larger", "values"),
    [
        (False, {"A": [5, 6, 7], "B": [8, 9, 10], "C": [np.nan] * 3}),
        (True, {"A": [-5, -6, -7], "B": [-8, -9, -10], "C": [np.nan] * 3}),
        (True, {"A": [0.5] * 3, "B": [0.0] * 3, "C": [np.nan] * 3}),
        (False, {"A": [0.5] * 3, "B": [9.0] * 3, "C": [np.nan] * 3}),
        (False, {"A": [9.0] * 3, "B": [9.0] * 3, "C": [np.nan] * 3}),
    ],
)
def test_a_team_without_any_answer_is_last_under_every_scheme(larger, values):
    """Whatever the others' values are, it is behind them, also where no test is significant."""
    found = places(tidy(values), larger_is_better=larger)
    assert {found[scheme]["C"][1] for scheme in SCHEMES} == {3}
    assert all(found[scheme]["A"][1] == 1 for scheme in SCHEMES)


def test_a_missing_answer_is_never_better_than_a_real_one():
    """A team that failed two of three cases has the worst median, and beats nobody."""
    table = tidy({"A": [5, 6, 7], "B": [8, 9, 10], "C": [30, np.nan, np.nan]})
    found = places(table, larger_is_better=False)
    assert found["mean_then_rank"]["C"] == found["median_then_rank"]["C"] == (30, 3)
    table = tidy({"A": [-5.0, -6], "B": [-80.0, np.nan]})
    assert places(table)["mean_then_rank"]["B"] == (-80, 2)


def test_a_huge_penalty_ties_nobody_else():
    """sys.maxsize in one case leaves the order of the others alone: means 3.5, 6.5 and 4.6e18."""
    table = tidy({"A": [3, 4], "B": [5, sys.maxsize], "C": [6, 7]})
    found = places(table, larger_is_better=False)
    assert found["mean_then_rank"] == {"A": (3.5, 1), "B": ((5 + 2.0**63) / 2, 3), "C": (6.5, 2)}
    assert found["rank_then_mean"] == {"A": (1, 1), "B": (2.5, 2), "C": (2.5, 2)}
    table = tidy({"A": [0.3, 0.4], "B": [0.5, -sys.maxsize], "C": [0.2, 0.3]})
    assert [places(table)["mean_then_rank"][name][1] for name in "ABC"] == [1, 3, 2]


@pytest.mark.parametrize("larger", [True, False])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.1 + 0.2, 0.3),
        (1 - 0.9, 0.1),
        (np.nextafter(80.0, 81), 80.0),
        (-0.1 - 0.2, -0.3),
        (2.0**53, 2.0**53 + 2),
        (0.0, -0.0),
    ],
)
def test_the_last_bit_never_decides(larger, one, other):
    """Two teams that differ by the last bit of every value tie under every scheme."""
    table = tidy({"a": [one] * 20, "b": [other] * 20, "c": [one, other] * 10})
    found = places(table, larger_is_better=larger)
    assert {rank for scheme in SCHEMES for _, rank in found[scheme].values()} == {1}


def test_noise_near_zero_never_decides():
    """1 - DSC of 0 and of 1.1e-16 tie where other values are of ordinary size."""
    table = tidy({"a": [0.0] * 8 + [0.2], "b": [2.0**-53] * 8 + [0.2]})
    found = places(table, larger_is_better=False)
    assert {rank for scheme in SCHEMES for _, rank in found[scheme].values()} == {1}


def test_values_that_cancel_tie():
    """Means of 0.1 + 0.2 - 0.3 in two orders are both 0, though sums of floats are not."""
    found = places(tidy({"a": [0.1, 0.2, -0.3], "b": [-0.3, 0.2, 0.1]}))
    assert [found["mean_then_rank"][name][1] for name in "ab"] == [1, 1]


def test_equal_values_have_their_mean():
    """The mean of 1,000 times 0.3 is 0.3, not what a thousand roundings make of it."""
    assert places(tidy({"a": [0.3] * 1000}))["mean_then_rank"]["a"][0] == 0.3


@pytest.mark.parametrize("cases", [1, 2, 9, 10])
def test_means_and_medians_of_samples_equal_numpys(cases):
    """In each drawn sample mean and median are those that numpy finds in the drawn values."""
    rng = np.random.default_rng(cases)
    values = rng.normal(0, 1, (cases, 3)).round(1)
    samples = rng.integers(0, cases, (50, cases))
    found = sample_places(values, samples, larger_is_better=True, alpha=0.05)
    means, medians = found["mean_then_rank"][0], found["median_then_rank"][0]
    np.testing.assert_allclose(means, values[samples].mean(axis=1), rtol=0, atol=1e-14)
    np.testing.assert_allclose(medians, np.median(values[samples], axis=1), rtol=0, atol=0)


def test_absent_row_is_a_missing_value():
    """A case that a team has no row for counts as one with the value missing."""
    whole = tidy({"a": [0.5, 0.7], "b": [0.6, np.nan]})
    pd.testing.assert_frame_equal(
        ranks(whole.dropna(), larger_is_better=True), ranks(whole, larger_is_better=True)
    )


def test_constant_metric_ties_everyone():
    """A metric that is the same everywhere ranks all first, and no test is significant."""
    found = places(tidy({name: [0.25] * 9 for name in "abc"}))
    assert {rank for scheme in SCHEMES for _, rank in found[scheme].values()} == {1}
    assert {score for score, _ in found["test_then_rank"].values()} == {0}


def test_missing_counts_as_a_given_value():
    """A missing running time counts as the worst that the caller names."""
    table = tidy({"a": [10.0, 12.0], "b": [5.0, np.nan]})
    found = places(table, larger_is_better=False, missing_counts_as=60.0)
    assert found["mean_then_rank"] == {"a": (11, 1), "b": (32.5, 2)}


def test_empty_table_has_no_ranks():
    """A table without rows gives an answer without rows, with its columns."""
    empty = pd.DataFrame(columns=["task", "algorithm", "case", "value"])
    found = ranks(empty, larger_is_better=True)
    assert found.empty
    assert list(found.columns) == ["scheme", "task", "algorithm", "score", "rank"]


def test_consensus_is_the_rank_of_the_mean_rank():
    """First and third beats second and third, and ties with second and second."""
    table = pd.DataFrame(
        [("x", "a", 1), ("y", "a", 3), ("x", "b", 3), ("y", "b", 2), ("x", "c", 2), ("y", "c", 2)],
        columns=["task", "algorithm", "rank"],
    ).assign(scheme="s")
    found = consensus(table, over="task").set_index("algorithm")
    assert found["score"].to_dict() == {"a": 2.0, "b": 2.5, "c": 2.0}
    assert found["rank"].to_dict() == {"a": 1, "b": 3, "c": 1}


def test_consensus_weights_decide():
    """A task with three times the weight moves the mean rank accordingly."""
    table = pd.DataFrame(
        [("x", "a", 1), ("y", "a", 2), ("x", "b", 2), ("y", "b", 1)],
        columns=["task", "algorithm", "rank"],
    ).assign(scheme="s")
    found = consensus(table, over="task", weights={"x": 1, "y": 3})
    assert found.set_index("algorithm")["score"].to_dict() == {"a": 1.75, "b": 1.25}


def test_consensus_puts_the_absent_after_the_last():
    """An algorithm that took no part in a task is put after those who did."""
    table = pd.DataFrame(
        [("x", "a", 1), ("x", "b", 2), ("y", "a", 1)], columns=["task", "algorithm", "rank"]
    ).assign(scheme="s")
    found = consensus(table, over="task").set_index("algorithm")
    assert found["score"].to_dict() == {"a": 1.0, "b": 2.0}
