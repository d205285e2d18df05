import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from segarena.rank.leaderboard import leaderboard
from segarena.rank.stability import draw, kendall_taus, score_stability, stability


def tidy(values, task="t"):
    return pd.DataFrame(
        [
            {"task": task, "algorithm": name, "case": f"c{i:02}", "value": value}
            for name, column in values.items()
            for i, value in enumerate(column)
        ]
    )


def assess(values, **options):
    options = {"larger_is_better": True, "seed": 1, "bootstraps": 200, **options}
    return stability(tidy(values), **options)


RNG = np.random.default_rng(5)
CLOSE = {name: RNG.random(30) + shift for name, shift in zip("abc", (0.0, 0.05, 0.1), strict=True)}


def test_taus_equal_scipy():
    """Each tau equals scipy's tau-b, ties in both rankings included."""
    rng = np.random.default_rng(0)
    ranks = rng.integers(1, 5, (200, 6))
    reference = np.array([1, 1, 3, 4, 5, 5])
    expected = [kendalltau(row, reference).statistic for row in ranks]
    np.testing.assert_allclose(kendall_taus(ranks, reference), expected, atol=1e-14)


@pytest.mark.parametrize(
    ("ranks", "reference", "tau"), [([1, 1], [1, 1], 1), ([1, 1], [1, 2], 0), ([1], [1], 1)]
)
def test_tau_of_rankings_that_tie_everyone(ranks, reference, tau):
    """Two rankings that tell nobody apart agree; one of them alone shares nothing with another."""
    assert kendall_taus(np.array([ranks]), np.array(reference)).tolist() == [tau]


def test_same_seed_same_draws():
    """The same seed draws the same samples, another seed or task others."""
    first = draw(50, bootstraps=10, seed=1, name="t")
    np.testing.assert_array_equal(first, draw(50, bootstraps=10, seed=1, name="t"))
    assert (first != draw(50, bootstraps=10, seed=2, name="t")).any()
    assert (first != draw(50, bootstraps=10, seed=1, name="u")).any()


def test_a_task_alone_gets_the_draws_it_got_among_others():
    """Adding a task changes nothing for the one that was there."""
    both = pd.concat([tidy(CLOSE, "t"), tidy(CLOSE, "another")])
    options = {"larger_is_better": True, "seed": 1, "bootstraps": 100}
    among = stability(both, **options).taus.query("task == 't'").reset_index(drop=True)
    pd.testing.assert_frame_equal(among, stability(tidy(CLOSE, "t"), **options).taus)


def test_frequencies_equal_an_explicit_bootstrap():
    """Rank frequencies of mean_then_rank equal those of resampled tables, one by one."""
    found = assess(CLOSE).frequencies.query("scheme == 'mean_then_rank'")
    counts = np.zeros((3, 3), dtype=int)
    for sample in draw(30, bootstraps=200, seed=1, name="t"):
        means = {name: column[sample].mean() for name, column in CLOSE.items()}
        for place, name in enumerate(sorted(means, key=means.get, reverse=True)):
            counts["abc".index(name), place] += 1
    np.testing.assert_array_equal(found["count"].to_numpy().reshape(3, 3), counts)
    assert found.groupby("algorithm")["share"].sum().to_list() == pytest.approx([1, 1, 1])


def test_clear_order_is_certain():
    """Algorithms that never overlap keep their ranks in every sample and without any case."""
    base = np.linspace(0, 0.1, 20)
    found = assess({"a": base + 0.6, "b": base + 0.3, "c": base})
    assert (found.taus["tau"] == 1).all()
    assert (found.leave_one_out["largest_change"] == 0).all()
    assert (found.intervals["low"] == found.intervals["high"]).all()
    assert found.intervals.query("algorithm == 'a'")["share_first"].to_list() == [1] * 6
    assert (found.agreement["tau"] == 1).all()


def test_leave_one_out_finds_the_case_that_decides():
    """Without the single case on which b is far ahead, a is first by the mean."""
    found = assess({"a": [0.6] * 9 + [0.0], "b": [0.5] * 9 + [1.0]}, bootstraps=5).leave_one_out
    rows = found.query("scheme == 'mean_then_rank'")
    assert rows[rows["first_changed"]]["case"].to_list() == ["c09"]
    assert rows["largest_change"].to_list() == [0] * 9 + [1]


def test_agreement_of_schemes_that_disagree():
    """Mean and median order two algorithms oppositely, which is a tau of -1."""
    found = assess({"a": [0.6] * 9 + [0.0], "b": [0.5] * 9 + [5.0]}, bootstraps=5).agreement
    row = found.query("scheme == 'mean_then_rank' and other == 'median_then_rank'")
    assert row["tau"].to_list() == [-1]


def test_one_team_is_always_first():
    """A single team is first in every sample, and the rankings agree."""
    found = assess({"a": [0.4, 0.8]})
    assert (found.frequencies["share"] == 1).all()
    assert (found.taus["tau"] == 1).all()


def test_two_teams_share_the_samples():
    """With two teams every sample has a first, alone or shared."""
    found = assess({"a": CLOSE["a"], "b": CLOSE["b"]}).intervals
    assert (found.groupby("scheme")["share_first"].sum() >= 1).all()


def test_one_case_has_one_sample_and_none_left_out():
    """With one case all samples are the same, and no ranking is left without it."""
    found = assess({"a": [0.9], "b": [0.1]})
    assert (found.taus["tau"] == 1).all()
    assert found.leave_one_out.empty


@pytest.mark.parametrize("value", [0.5, np.nan])
def test_constant_or_all_missing_ties_in_every_sample(value):
    """Where everyone is equal, or nobody answered, all are first in every sample."""
    found = assess({"a": [value] * 4, "b": [value] * 4})
    assert (found.intervals["share_first"] == 1).all()
    assert (found.taus["tau"] == 1).all()


def test_empty_table_gives_empty_tables():
    """A table without rows gives tables without rows."""
    empty = pd.DataFrame(columns=["task", "algorithm", "case", "value"])
    found = stability(empty, larger_is_better=True, seed=1)
    assert found.frequencies.empty
    assert list(found.taus.columns) == ["scheme", "task", "sample", "tau"]


def scores():
    rng = np.random.default_rng(8)
    rows = [
        (name, f"c{i:02}", rng.random() + shift, rng.random() * 10 + seconds)
        for name, shift, seconds in [("a", 0.3, 9), ("b", 0.2, 3), ("c", 0, 1)]
        for i in range(15)
    ]
    return pd.DataFrame(rows, columns=["submission", "case", "DSC_Final", "TotalRunningTime"])


def test_final_rank_is_that_of_the_leaderboard():
    """The rank on all cases under "final" is the leaderboard's, for the deciding scheme."""
    metrics = ["DSC_Final", "TotalRunningTime"]
    weights = {"DSC_Final": 2, "TotalRunningTime": 1}
    found = score_stability(scores(), metrics=metrics, seed=1, bootstraps=20, weights=weights)
    rows = found.intervals.query("task == 'final' and scheme == 'rank_then_mean'")
    board = leaderboard(
        scores(), metrics=metrics, deciding_scheme="rank_then_mean", weights=weights
    )
    expected = board.set_index("submission")["rank"].to_dict()
    assert rows.set_index("algorithm")["rank"].to_dict() == expected
    assert set(found.intervals["task"]) == {"DSC_Final", "TotalRunningTime", "final"}


def test_final_rank_of_one_metric_is_that_metric():
    """With a single metric the final ranks are its own, sample by sample."""
    found = score_stability(scores(), metrics=["DSC_Final"], seed=1, bootstraps=50).taus
    final = found[found["task"] == "final"]["tau"].to_list()
    assert final == found[found["task"] == "DSC_Final"]["tau"].to_list()


def test_labelled_puts_the_subgroup_in_front():
    """Each table of a subgroup carries its name in the first column."""
    found = assess(CLOSE, bootstraps=5).labelled("subgroup", "modality: CT")
    assert found.taus.columns[0] == "subgroup"
    assert set(found.agreement["subgroup"]) == {"modality: CT"}
