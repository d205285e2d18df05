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
from segarena.rank.ties import TOLERANCE


def better_p(values: np.ndarray, weights: np.ndarray, *, larger_is_better: bool) -> np.ndarray:
    """Return p (samples, algorithms, algorithms): is the row's algorithm better than the column's?

    `values` is (cases, algorithms) without gaps, `weights` (cases, samples): how often a sample
    holds each case. The one-sided signed-rank test by the normal approximation with continuity and
    tie correction, zeros dropped (Wilcoxon 1945): R's wilcox.test(exact = FALSE) and scipy's
    wilcoxon(method="asymptotic", correction=True). Where no difference is left there is no
    evidence, and p is 1, as on the diagonal.
    """
    signed = np.ascontiguousarray((values if larger_is_better else -values).T, dtype=float)
    held = np.ascontiguousarray(weights, dtype=np.int32)
    count = len(signed)
    p = np.ones((held.shape[1], count, count))
    for a, b in itertools.combinations(range(count), 2):
        n, rank_sum, ties = _rank_sums(signed[a], signed[b], TOLERANCE, held)
        middle = n * (n + 1) * 0.25
        spread = np.sqrt((n * (n + 1) * (2 * n + 1) - ties / 2) / 24)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (rank_sum - middle) / spread
            above, below = ndtr(-(z - 0.5 / spread)), ndtr(z + 0.5 / spread)
        p[:, a, b], p[:, b, a] = np.where(n > 0, above, 1.0), np.where(n > 0, below, 1.0)
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
    a: np.ndarray, b: np.ndarray, tolerance: float, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each sample's number of differences, rank sum above zero and sum of t^3 - t over ties.

    a, b: (cases,). weights: whole numbers (cases, samples). Which differences tie, and which are
    none, is what `ties.differences` says. All sums are of halves, so they are exact.
    """
    cases, samples = weights.shape
    n, rank_sum, ties = np.zeros(samples), np.zeros(samples), np.zeros(samples)
    held, above = np.zeros(samples), np.zeros(samples)
    found = a - b
    size, scale = np.abs(found), np.maximum(np.abs(a), np.abs(b))
    order = np.argsort(size, kind="mergesort")
    scale = np.maximum(scale, min(1.0, scale.max())) * tolerance
    start = 0
    while start < cases:
        stop = start + 1
        while stop < cases:
            before, after = order[stop - 1], order[stop]
            if size[after] - size[before] > max(scale[after], scale[before]):
                break
            stop += 1
        first = order[start]
        if size[first] == 0.0:
            pass  # no differences
        elif stop == start + 1:
            is_above = 1.0 if found[first] > 0 else 0.0
            row = weights[first]
            for s in range(samples):
                t = float(row[s])
                rank_sum[s] += is_above * t * (n[s] + (t + 1) * 0.5)
                ties[s] += t * t * t - t
                n[s] += t
        else:
            held[:] = 0.0
            above[:] = 0.0
            for i in range(start, stop):
                row = weights[order[i]]
                is_above = 1.0 if found[order[i]] > 0 else 0.0
                for s in range(samples):
                    held[s] += row[s]
                    above[s] += is_above * row[s]
            for s in range(samples):
                rank_sum[s] += above[s] * (n[s] + (held[s] + 1) * 0.5)
                ties[s] += held[s] * held[s] * held[s] - held[s]
                n[s] += held[s]
        start = stop
    return n, rank_sum, ties
