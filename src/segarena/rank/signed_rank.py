"""Wilcoxon's signed-rank test for many samples of the same pairs, and Holm's adjustment.

The test is written here, though scipy has one, because a bootstrap needs it for every
pair of submissions in every sample: the sorting is done once per pair, and a sample is then only a
weight per case. The tests hold it equal to scipy's. Holm's adjustment stands here because it is
needed for every sample at once as well.
"""

import itertools

import numpy as np
from scipy.special import ndtr


def signed_rank_p(differences: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the one-sided signed-rank p-values of every sample: above zero, and below zero.

    `differences` is (cases,), `weights` (cases, samples): how often a sample holds each case.
    Normal approximation with continuity and tie correction, zeros dropped (Wilcoxon 1945): R's
    wilcox.test(exact = FALSE) and scipy's wilcoxon(method="asymptotic", correction=True). Where no
    difference is left there is no evidence, and both are 1.
    """
    nonzero = np.flatnonzero(differences)
    order = nonzero[np.argsort(np.abs(differences[nonzero]), kind="stable")]
    if order.size == 0:
        return np.ones(weights.shape[1]), np.ones(weights.shape[1])
    size = np.abs(differences[order])
    starts = np.flatnonzero(np.r_[True, size[1:] != size[:-1]])
    held = weights[order]
    positive = held * (differences[order] > 0)[:, None]
    if starts.size < size.size:
        held = np.add.reduceat(held, starts, axis=0)
        positive = np.add.reduceat(positive, starts, axis=0)
    n = held.sum(axis=0)
    mean_rank = np.cumsum(held, axis=0)
    mean_rank -= (held - 1) / 2
    rank_sum = np.einsum("ij,ij->j", positive, mean_rank)
    ties = np.einsum("ij,ij,ij->j", held, held, held) - n
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
    count = values.shape[1]
    p = np.ones((weights.shape[1], count, count))
    for a, b in itertools.combinations(range(count), 2):
        p[:, a, b], p[:, b, a] = signed_rank_p(signed[:, a] - signed[:, b], weights)
    return p


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
