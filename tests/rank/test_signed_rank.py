import numpy as np
import pytest
from scipy.stats import wilcoxon
from statsmodels.stats.multitest import multipletests

from segarena.rank.signed_rank import beaten, better_p, holm


def signed_rank_p(differences: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return p for above zero and below zero: an algorithm with the differences against zeros."""
    values = np.column_stack([differences, np.zeros_like(differences)])
    p = better_p(values, weights, larger_is_better=True)
    return p[:, 0, 1], p[:, 1, 0]


def scipy_p(differences, alternative):
    return wilcoxon(
        differences, alternative=alternative, correction=True, method="asymptotic"
    ).pvalue


@pytest.mark.parametrize("decimals", [1, 2, 16])
@pytest.mark.parametrize("seed", range(20))
def test_equals_scipy_in_every_bootstrap_sample(seed, decimals):
    """Both p-values equal scipy's on each drawn sample, with ties, repeats and zeros."""
    rng = np.random.default_rng(seed)
    cases = int(rng.integers(2, 60))
    differences = np.round(rng.normal(0.05, 0.3, cases), decimals)
    differences[rng.random(cases) < 0.2] = 0
    samples = rng.integers(0, cases, (15, cases))
    weights = np.stack([np.bincount(s, minlength=cases) for s in samples], axis=1).astype(float)
    above, below = signed_rank_p(differences, weights)
    for sample, p_above, p_below in zip(samples, above, below, strict=True):
        if not differences[sample].any():
            assert p_above == p_below == 1
            continue
        assert p_above == pytest.approx(scipy_p(differences[sample], "greater"), rel=1e-13, abs=0)
        assert p_below == pytest.approx(scipy_p(differences[sample], "less"), rel=1e-13, abs=0)


def test_no_difference_is_no_evidence():
    """Where all differences are zero both p-values are 1."""
    above, below = signed_rank_p(np.zeros(5), np.ones((5, 2)))
    assert above.tolist() == below.tolist() == [1, 1]


def test_sample_without_any_difference_is_no_evidence():
    """A sample that drew only the tied case has p = 1, whatever other cases say."""
    above, below = signed_rank_p(np.array([0.0, 0.5]), np.array([[2.0, 0], [0, 2]]))
    assert above[0] == below[0] == 1
    assert above[1] < 1


def test_one_case_is_even_odds():
    """One difference has p = 0.5 for its sign: z is 0.5 less the correction of 0.5."""
    above, _ = signed_rank_p(np.array([0.3]), np.ones((1, 1)))
    assert above[0] == 0.5


def test_direction_swaps_the_pair():
    """Smaller is better gives the p-values of larger is better with the pair exchanged."""
    values = np.random.default_rng(1).random((12, 3))
    weights = np.ones((12, 1))
    larger = better_p(values, weights, larger_is_better=True)
    smaller = better_p(values, weights, larger_is_better=False)
    np.testing.assert_array_equal(larger, smaller.transpose(0, 2, 1))


def test_holm_equals_statsmodels():
    """The adjusted p-values of every sample equal statsmodels' Holm, ties included."""
    rng = np.random.default_rng(2)
    p = np.round(rng.random((30, 4, 4)) ** 3, 2)
    pairs = ~np.eye(4, dtype=bool)
    for sample, adjusted in zip(p, holm(p), strict=True):
        expected = multipletests(sample[pairs], method="holm")[1]
        np.testing.assert_allclose(adjusted[pairs], expected, rtol=1e-14)
        assert (np.diag(adjusted) == 1).all()


def test_holm_of_one_algorithm():
    """Without a pair there is nothing to adjust."""
    assert holm(np.ones((2, 1, 1))).tolist() == [[[1.0]], [[1.0]]]


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("alpha", [0.05, 0.5])
def test_beaten_counts_what_holm_leaves_significant(count, alpha):
    """The shortcut finds as many as statsmodels' Holm rejects, ties included."""
    p = np.round(np.random.default_rng(count).random((60, count, count)) ** 4, 2)
    pairs = ~np.eye(count, dtype=bool)
    for sample, found in zip(p, beaten(p, alpha), strict=True):
        rejected = np.zeros((count, count), dtype=bool)
        if count > 1:
            rejected[pairs] = multipletests(sample[pairs], method="holm")[1] < alpha
        assert found.tolist() == rejected.sum(axis=1).tolist()


@pytest.mark.parametrize("seed", range(10))
def test_decimals_are_tested_as_the_whole_numbers_that_they_are(seed):
    """Scores of two decimals have the p-values that scipy finds for a hundred times as much."""
    whole = np.random.default_rng(seed).integers(50, 90, (25, 2))
    p = better_p(whole / 100, np.ones((25, 1)), larger_is_better=True)
    assert p[0, 0, 1] == pytest.approx(scipy_p(whole[:, 0] - whole[:, 1], "greater"), rel=1e-13)
