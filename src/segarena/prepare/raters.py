"""One label map from those of several raters: what the user goes by and answers are ranked against.

`majority`: a voxel has a label that more than half of the raters gave it; a tie is background.
`staple`: each rater is believed as much as his or her labels agree with the others' (Warfield et
al. 2004; several labels as Rohlfing et al. 2004). Both look at which labels the raters gave a
voxel, not at where it is, so the work is done per combination of labels and not per voxel.
"""

from collections.abc import Sequence

import numpy as np

MAJORITY, STAPLE, GIVEN = "majority", "staple", "given"
WAYS = (MAJORITY, STAPLE, GIVEN)
"""How a consensus comes about; `given`: the data set has one."""

MARGIN = 20
"""Voxels around all that any rater marked that STAPLE sees: it believes what it sees most."""

_MOST_STEPS = 10_000
_SMALLEST_STEP = 1e-7
_AT_FIRST = 0.99999
"""How reliable each rater is taken to be at first, as in ITK."""


def majority(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Return the label that more than half of the raters give each voxel; background else.

    maps: label maps (D, H, W) of one shape, one per rater.
    """
    combinations, place = _combinations(maps)
    ids, votes = _votes(combinations)
    winners = np.where(2 * votes.max(axis=1) > len(maps), ids[votes.argmax(axis=1)], 0)
    return winners[place].reshape(maps[0].shape)


def staple(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Return the most probable label of each voxel by STAPLE; background where two are as probable.

    maps: see `majority`. The prior of a label is its share of all votes within the box of what
    anyone marked, with a margin of MARGIN voxels. At first all raters are taken to be right nearly
    always.
    """
    found = np.zeros_like(maps[0])
    box = _box(maps)
    if box is None:
        return found
    inside = [one[box] for one in maps]
    combinations, place = _combinations(inside)
    ids, votes = _votes(combinations)
    sizes = np.bincount(place, minlength=len(combinations)).astype(float)
    probable = _estimate(np.searchsorted(ids, combinations), votes, sizes)
    best = probable.max(axis=1, keepdims=True)
    is_tie = (probable == best).sum(axis=1) > 1
    winners = np.where(is_tie, 0, ids[probable.argmax(axis=1)])
    found[box] = winners[place].reshape(inside[0].shape)
    return found


def _estimate(given: np.ndarray, votes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return how probable each label is for each combination, by expectation maximisation.

    given: (combinations, raters), numbers of labels. votes: (combinations, labels). sizes: how many
    voxels have each combination.
    """
    raters, labels = given.shape[1], votes.shape[1]
    prior = sizes @ votes / (sizes.sum() * raters)
    # How often a rater gives each label (rows) where the truth is each label (columns).
    confusion = np.full((raters, labels, labels), (1 - _AT_FIRST) / max(labels - 1, 1))
    confusion[:, range(labels), range(labels)] = _AT_FIRST
    for _ in range(_MOST_STEPS):
        probable = np.broadcast_to(prior, votes.shape)
        for rater in range(raters):
            probable = probable * confusion[rater, given[:, rater]]
        probable = _shares(probable, axis=1)
        before, confusion = confusion, np.zeros_like(confusion)
        for rater in range(raters):
            np.add.at(confusion[rater], given[:, rater], probable * sizes[:, None])
        confusion = _shares(confusion, axis=1)
        if np.abs(confusion - before).max() < _SMALLEST_STEP:
            break
    return probable


def _shares(values: np.ndarray, *, axis: int) -> np.ndarray:
    total = values.sum(axis=axis, keepdims=True)
    return np.divide(values, total, out=np.zeros_like(values), where=total > 0)


def _combinations(maps: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the combinations of labels (n, raters) that occur, and the one of each voxel."""
    place = np.zeros(maps[0].size, np.int64)
    for one in maps:  # rater by rater: rows of all raters would be sorted for minutes
        _, number = np.unique(one, return_inverse=True)
        _, place = np.unique(place * (number.max() + 1) + number.ravel(), return_inverse=True)
    _, first = np.unique(place, return_index=True)
    return np.stack([one.ravel()[first] for one in maps], axis=1), place


def _votes(combinations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels, background first, and how many raters give each, per combination."""
    ids = np.unique(np.append(combinations, 0).astype(combinations.dtype))
    return ids, np.stack([(combinations == label).sum(axis=1) for label in ids], axis=1)


def _box(maps: Sequence[np.ndarray]) -> tuple[slice, ...] | None:
    """Return the box of all that is marked, with its margin; None where nothing is."""
    marked = np.any([one != 0 for one in maps], axis=0)
    if not marked.any():
        return None
    box = []
    for axis, size in enumerate(marked.shape):
        along = np.flatnonzero(marked.any(axis=tuple(a for a in range(marked.ndim) if a != axis)))
        box.append(slice(max(int(along[0]) - MARGIN, 0), min(int(along[-1]) + MARGIN + 1, size)))
    return tuple(box)
