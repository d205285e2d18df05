"""Wilcoxon's signed-rank test for many samples of the same pairs, and Holm's adjustment.

The test is written here, though scipy has one, because a bootstrap needs it for every
pair of submissions in every sample: the sorting is done once per pair, and a sample is then only a
weight per case. The tests hold it equal to scipy's. Holm's adjustment is here because it is
needed for every sample at once as well.
"""

import itertools

import numpy as np
from scipy.special import ndtr

from segarena.masks import kernel
from segarena.rank.ties import differences as settled_differences


def signed_rank_p(differences: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the one-sided signed-rank p-values of every sample: above zero, and below zero.

    `differences` is (cases,), `weights` (cases, samples): how often a sample holds each case.
    Normal approximation with continuity and tie correction, zeros dropped (Wilcoxon 1945): R's
    wilcox.test(exact = FALSE) and scipy's wilcoxon(method="asymptotic", correction=True). Where no
    difference is left there is no evidence, and both are 1. Differences tie where they are equal.
    """
    nonzero = np.flatnonzero(differences)
    order = nonzero[np.argsort(np.abs(differences[nonzero]), kind="stable")]
    if order.size == 0:
        return np.ones(weights.shape[1]), np.ones(weights.shape[1])
    size = np.abs(differences[order])
    first = np.r_[True, size[1:] != size[:-1]]
    n, rank_sum, ties = _rank_sums(order, first, differences[order] > 0, weights)
    middle = n * (n + 1) * 0.25
    spread = np.sqrt((n * (n + 1) * (2 * n + 1) - ties / 2) / 24)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (rank_sum - middle) / spread
        above, below = ndtr(-(z - 0.5 / spread)), ndtr(z + 0.5 / spread)
    return np.where(n > 0, above, 1.0), np.where(n > 0, below, 1.0)


def better_p(values: np.ndarray, weights: np.ndarray, *, larger_is_better: bool) -> np.ndarray:
    """Return p (samples, algorithms, algorithms): is the row's algorithm better than the column's?

    `values` is (cases, algorithms) without gaps, `weights` (cases, samples). The diagonal is 1.
    """
    signed = values if larger_is_better else -values
    weights = np.ascontiguousarray(weights)
    count = values.shape[1]
    p = np.ones((weights.shape[1], count, count))
    for a, b in itertools.combinations(range(count), 2):
        p[:, a, b], p[:, b, a] = signed_rank_p(
            settled_differences(signed[:, a], signed[:, b]), weights
        )
    return p


def beaten(p: np.ndarray, alpha: float) -> np.ndarray:
    """Return how many others each algorithm is better than by `holm(p) < alpha`, per sample.

    `p` is as for `holm`; the answer is (samples, algorithms). Holm's adjusted values are below
    alpha up to the first step that is not, so it is enough to find that step.
    """
    pairs = ~np.eye(p.shape[1], dtype=bool)
    tests = np.sort(p[:, pairs], axis=1)
    failed = tests * np.arange(tests.shape[1], 0, -1) >= alpha
    limit = tests.min(axis=1, initial=np.inf, where=failed)
    return (pairs & (p < limit[:, None, None])).sum(axis=2)


def holm(p: np.ndarray) -> np.ndarray:
    """Return Holm's adjusted p-values of every sample's ordered pairs (Holm 1979).

    `p` is (samples, algorithms, algorithms); the diagonal is no test and stays 1.
    """
    samples, count, _ = p.shape
    pairs = ~np.eye(count, dtype=bool)
    tests = p[:, pairs]
    order = np.argsort(tests, axis=1)
    steps = np.take_along_axis(tests, order, axis=1) * np.arange(tests.shape[1], 0, -1)
    adjusted = np.empty_like(tests)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(steps, axis=1), axis=1)
    full = np.ones((samples, count, count))
    full[:, pairs] = np.minimum(adjusted, 1)
    return full


@kernel
def _rank_sums(
    order: np.ndarray, first: np.ndarray, positive: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each sample's number of differences, rank sum above zero and sum of t^3 - t over ties.

    order: the cases by the size of their difference, without zeros. first: whether a case begins a
    new size. positive: whether its difference is. All sums are of halves, so they are exact.
    """
    samples = weights.shape[1]
    n, rank_sum, ties = np.zeros(samples), np.zeros(samples), np.zeros(samples)
    held, above = np.zeros(samples), np.zeros(samples)
    start = 0
    while start < order.size:
        stop = start + 1
        while stop < order.size and not first[stop]:
            stop += 1
        held[:] = 0.0
        above[:] = 0.0
        for i in range(start, stop):
            row = weights[order[i]]
            for s in range(samples):
                held[s] += row[s]
            if positive[i]:
                for s in range(samples):
                    above[s] += row[s]
        for s in range(samples):
            rank_sum[s] += above[s] * (n[s] + (held[s] + 1) * 0.5)
            ties[s] += held[s] * held[s] * held[s] - held[s]
            n[s] += held[s]
        start = stop
    return n, rank_sum, ties
