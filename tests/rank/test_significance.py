import numpy as np
import pandas as pd
import pytest
from scikit_posthocs import posthoc_nemenyi_friedman
from scipy.stats import wilcoxon

from segarena.rank.significance import effect_sizes, mean_ranks, pairwise


def tidy(values):
    return pd.DataFrame(
        [
            {"task": "t", "algorithm": name, "case": f"c{i:02}", "value": value}
            for name, column in values.items()
            for i, value in enumerate(column)
        ]
    )


def test_effect_sizes_by_hand():
    """Advantages 1, 2, 3 and -4 have rank sums 6 and 4: a correlation of 0.2."""
    found = effect_sizes(np.array([1.0, 2.0, 3.0, -4.0]))
    assert found == {
        "mean_advantage": 0.5,
        "median_advantage": 1.5,
        "share_better": 0.75,
        "share_tied": 0.0,
        "rank_biserial": pytest.approx(0.2),
    }


def test_effect_sizes_without_a_difference():
    """Equal algorithms share the cases evenly and correlate with nothing."""
    found = effect_sizes(np.zeros(4))
    assert found["share_better"] == 0.5
    assert found["rank_biserial"] == 0


def test_a_single_case_that_differs_shows_beside_its_ties():
    """Rank-biserial is 1 where one of six cases differs; the five ties and 7/12 stand beside it."""
    found = effect_sizes(np.array([0, 0, 0.5, 0, 0, 0]))
    assert found["rank_biserial"] == 1
    assert found["share_tied"] == pytest.approx(5 / 6)
    assert found["share_better"] == pytest.approx(7 / 12)


def test_pairwise_equals_scipy_and_posthocs():
    """p is scipy's one-sided test of each ordered pair, p_nemenyi scikit-posthocs'.

    scipy is given hundredths as whole numbers, where equal differences are equal to the last bit.
    """
    rng = np.random.default_rng(3)
    values = {
        name: np.round(rng.random(25) + shift, 2)
        for name, shift in zip("abc", (0, 0.1, 0.3), strict=True)
    }
    found = pairwise(tidy(values), larger_is_better=True).set_index(["algorithm", "other"])
    nemenyi = posthoc_nemenyi_friedman(np.stack(list(values.values()), axis=1))
    assert len(found) == 6
    for (a, b), row in found.iterrows():
        whole = np.round(100 * values[a]) - np.round(100 * values[b])
        expected = wilcoxon(
            whole, alternative="greater", correction=True, method="asymptotic"
        ).pvalue
        assert row["p"] == pytest.approx(expected, rel=1e-12)
        assert row["p_nemenyi"] == pytest.approx(nemenyi.loc["abc".index(a), "abc".index(b)])


def test_advantage_follows_the_direction():
    """The faster algorithm has the positive advantage where smaller is better."""
    found = pairwise(tidy({"fast": [1.0, 2.0], "slow": [5.0, 5.0]}), larger_is_better=False)
    assert found["mean_advantage"].to_list() == [3.5, -3.5]


def test_one_team_has_no_pair():
    """A single algorithm gives an empty table with all columns."""
    found = pairwise(tidy({"a": [0.5, 0.6]}), larger_is_better=True)
    assert found.empty
    assert "rank_biserial" in found.columns


def test_one_case_tells_nobody_apart():
    """On one case nothing is significant, and the effect is still given."""
    found = pairwise(tidy({"a": [0.9], "b": [0.1]}), larger_is_better=True)
    assert not found["significant"].any()
    assert found["rank_biserial"].to_list() == [1, -1]


@pytest.mark.parametrize("value", [0.5, np.nan])
def test_constant_or_all_missing_is_not_significant(value):
    """Algorithms that are equal everywhere, or never answered, have p = 1 and no effect."""
    found = pairwise(tidy({"a": [value] * 5, "b": [value] * 5}), larger_is_better=True)
    assert found["p"].to_list() == found["p_holm"].to_list() == [1, 1]
    assert found["p_nemenyi"].to_list() == [1, 1]
    assert found["mean_advantage"].to_list() == [0, 0]


def test_mean_ranks_share_ties_evenly():
    """A tie for first gives 1.5 each, and a missing answer is last."""
    found = mean_ranks(
        tidy({"a": [0.5, 0.9], "b": [0.5, 0.8], "c": [0.1, np.nan]}), larger_is_better=True
    )
    assert found["mean_rank"].to_list() == [1.25, 1.75, 3]
