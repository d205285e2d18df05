"""When two numbers count as equal: the last bits of a number are noise and never decide a place.

Two values tie where they differ by at most 1e-12 of the larger one. Near zero, where such a share
is nothing, it is 1e-12 of the largest value of the table, or of 1 if that is smaller. Each pair is
held against its own size, so a penalty of 1e18 in one case does not make all others equal.
"""

from collections.abc import Sequence

import numpy as np

TOLERANCE = 1e-12


def settled(values: np.ndarray, size: np.ndarray | None = None) -> np.ndarray:
    """Return `values` with each group of tied ones replaced by its smallest; NaN stays.

    size: how large the numbers were that each value was computed from, where a difference of large
    numbers is small; else the values' own.
    """
    flat = np.asarray(values, dtype=float).ravel() + 0.0  # no negative zero
    known = np.flatnonzero(~np.isnan(flat))
    if known.size == 0:
        return flat.reshape(values.shape)
    sizes = np.abs(flat) if size is None else np.asarray(size, dtype=float).ravel()
    order = known[np.argsort(flat[known], kind="stable")]
    least = min(1.0, float(sizes[known].max()))
    first = np.r_[True, _apart(flat[order], np.maximum(sizes[order], least))]
    starts = np.maximum.accumulate(np.where(first, np.arange(order.size), 0))
    flat[order] = flat[order[starts]]
    return flat.reshape(values.shape)


def differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a - b, where differences of the same size but for noise have exactly the same."""
    found = a - b
    sizes = settled(np.abs(found), np.maximum(np.abs(a), np.abs(b)))
    return np.sign(found) * sizes


def ranks(
    scores: np.ndarray, size: np.ndarray | None = None, *, last: np.ndarray | None = None
) -> np.ndarray:
    """Return the ranks of each row of `scores` (rows, columns), smallest first.

    Ties share the smallest rank. size: as for `settled`. last: bool (rows, columns), what comes
    after all others, whatever its score, and shares that place.
    """
    size = np.abs(scores) if size is None else size
    order = np.argsort(scores, axis=1, kind="stable")
    if last is not None:
        behind = np.argsort(np.take_along_axis(last, order, axis=1), axis=1, kind="stable")
        order = np.take_along_axis(order, behind, axis=1)
    new = _apart(np.take_along_axis(scores, order, axis=1), np.take_along_axis(size, order, axis=1))
    if last is not None:
        put = np.take_along_axis(last, order, axis=1)
        new = np.where(put[:, 1:], ~put[:, :-1], new)
    places = np.zeros(scores.shape, dtype=int)
    places[:, 1:] = np.where(new, np.arange(1, scores.shape[1]), 0)
    found = np.empty_like(places)
    np.put_along_axis(found, order, 1 + np.maximum.accumulate(places, axis=1), axis=1)
    return found


def break_ties(found: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """Return ranks (rows, columns) in which ties are broken by other ranks, in turn."""
    for other in others:
        found = ranks((found * (found.shape[1] + 1) + other).astype(float))
    return found


def _apart(ordered: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Say of each number after the first whether it is more than noise above the one before it."""
    larger = np.maximum(size[..., 1:], size[..., :-1])
    return ordered[..., 1:] - ordered[..., :-1] > TOLERANCE * larger
