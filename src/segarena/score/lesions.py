"""Metrics of instances: how many lesions or cells an answer finds, and how well.

All of them rest on one overlap table and one matching, which pairs with the same parameters share.
With `assign: many_to_one` the answers of a truth instance are merged before they are measured, and
so they are with `any`, where a pair counts whatever else its two instances are matched with.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from segarena.score import instances, surface
from segarena.score.instances import Table
from segarena.score.pair import Pair

TOUCHING: dict[str, Any] = {"match": "overlap", "at_least": 0.5, "strict": False, "assign": "any"}
"""The matching of lesions by any shared voxel."""


@dataclass(frozen=True)
class Matching:
    """Which instances of truth and answer belong together.

    of_truth, of_answer, common: the pairs that are matched, as the table has them. kept: which
    instances of the truth count; the smallest may be left out.
    """

    table: Table
    of_truth: np.ndarray
    of_answer: np.ndarray
    common: np.ndarray
    kept: np.ndarray
    assign: str

    @cached_property
    def found(self) -> np.ndarray:
        """The instances of the truth that count and have an answer, sorted."""
        return np.unique(self.of_truth[self.kept[self.of_truth]])

    @property
    def missed(self) -> np.ndarray:
        """The instances of the truth that count and have no answer (FN)."""
        return np.setdiff1d(np.flatnonzero(self.kept), self.found)

    @property
    def false(self) -> np.ndarray:
        """The instances of the answer that have no truth (FP)."""
        return np.setdiff1d(np.arange(self.table.answer.count), self.of_answer)

    @cached_property
    def right(self) -> int:
        """How many instances of the answer are right; merged ones count as one (TP)."""
        if self.assign != "any":
            return len(self.found)
        return len(np.unique(self.of_answer[self.kept[self.of_truth]]))

    @cached_property
    def sizes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Voxels of truth, of its answers, and of both, for each that was found."""
        count = self.table.truth.count
        answers = np.bincount(
            self.of_truth, self.table.answer.voxels[self.of_answer], minlength=count
        )
        common = np.bincount(self.of_truth, self.common, minlength=count)
        return self.table.truth.voxels[self.found], answers[self.found], common[self.found]

    @property
    def dsc(self) -> np.ndarray:
        """The Dice coefficient of each that was found."""
        truth, answer, common = self.sizes
        return 2 * common / (truth + answer)

    @property
    def iou(self) -> np.ndarray:
        """The IoU of each that was found."""
        truth, answer, common = self.sizes
        return common / (truth + answer - common)


def f1(pair: Pair, /, **parameters: Any) -> float | None:
    """Return the F1 of instances: the harmonic mean of their precision and recall."""
    made = matching(pair, **parameters)
    right, false, found, missed = _counts(made)
    if right + false + found + missed == 0:
        return None
    total = found * (right + false) + right * (found + missed)
    return 2 * right * found / total if total else 0.0


def precision(pair: Pair, /, **parameters: Any) -> float | None:
    """Return the share of the answer's instances that are right."""
    right, false, _, _ = _counts(matching(pair, **parameters))
    return right / (right + false) if right + false else None


def recall(pair: Pair, /, **parameters: Any) -> float | None:
    """Return the share of the truth's instances that are found."""
    _, _, found, missed = _counts(matching(pair, **parameters))
    return found / (found + missed) if found + missed else None


def quality(pair: Pair, /, *, quality: str, **parameters: Any) -> float:
    """Return the mean IoU, or Dice, of what was found (SQ); 0 where nothing was."""
    made = matching(pair, **parameters)
    return float(np.mean(getattr(made, quality))) if len(made.found) else 0.0


def panoptic(pair: Pair, /, **parameters: Any) -> float | None:
    """Return the panoptic quality PQ = SQ * F1 (Kirillov et al. 2019)."""
    by = parameters.pop("quality")
    detection = f1(pair, **parameters)
    return None if detection is None else quality(pair, quality=by, **parameters) * detection


def dsc_tp(pair: Pair, /, **parameters: Any) -> float:
    """Return the mean Dice coefficient of what was found; 0 where nothing was."""
    return quality(pair, quality="dsc", **parameters)


def nsd_tp(
    pair: Pair, /, *, tolerance_mm: float, points: str, dimensions: Any, **parameters: Any
) -> float:
    """Return the mean NSD of what was found; 0 where nothing was."""
    kind = surface.kind_for(pair, points, dimensions)
    found = _each_found(pair, parameters)
    values = [surface.nsd(one, kind, tolerance_mm=tolerance_mm) for one in found]
    return float(np.mean(values or [0.0]))


def masd_tp(pair: Pair, /, *, points: str, dimensions: Any, **parameters: Any) -> float:
    """Return the mean MASD of what was found; infinite where nothing was."""
    kind = surface.kind_for(pair, points, dimensions)
    both = [surface.distances(one, kind) for one in _each_found(pair, parameters)]
    return float(np.mean([(one.mean + other.mean) / 2 for one, other in both] or [math.inf]))


def false_positives(pair: Pair, /, **parameters: Any) -> float:
    """Return how many instances of the answer have no truth."""
    return float(len(matching(pair, **parameters).false))


def false_negatives(pair: Pair, /, **parameters: Any) -> float:
    """Return how many instances of the truth have no answer."""
    return float(len(matching(pair, **parameters).missed))


def false_positive_volume(pair: Pair, /, **parameters: Any) -> float:
    """Return the volume in ml of the answer's instances that share no voxel with the truth."""
    made = matching(pair, **parameters, **TOUCHING)
    return _millilitres(pair, made.table.answer.voxels[made.false])


def false_negative_volume(pair: Pair, /, **parameters: Any) -> float:
    """Return the volume in ml of the truth's instances that share no voxel with the answer."""
    made = matching(pair, **parameters, **TOUCHING)
    return _millilitres(pair, made.table.truth.voxels[made.missed])


def lesion_dsc(pair: Pair, /, **parameters: Any) -> float | None:
    """Return the lesion-wise Dice: the mean over lesions, where missed and false ones are 0.

    The answer of a lesion is all of its instances that touch the dilated lesion (BraTS 2023).
    """
    made = matching(pair, instances="components", **parameters, **TOUCHING)
    number = int(made.kept.sum()) + len(made.false)
    return float(made.dsc.sum() / number) if number else None


def lesion_hd95(pair: Pair, /, *, worst_mm: float, **parameters: Any) -> float | None:
    """Return the lesion-wise HD95 in mm: missed and false lesions are `worst_mm`, none is more."""
    given = {"instances": "components", **parameters, **TOUCHING}
    made = matching(pair, **given)
    number = int(made.kept.sum()) + len(made.false)
    if not number:
        return None
    kind = surface.kind_for(pair, "elements", "auto")
    total = worst_mm * (number - len(made.found))
    for one in _each_found(pair, given):
        both = surface.distances(one, kind)
        percentile = max(side.percentile(95, interpolation="none") for side in both)
        total += min(percentile, worst_mm)
    return total / number


def component_dsc(pair: Pair, /, *, connectivity: int) -> float:
    """Return the mean over the truth's components of the Dice in the region nearest to each."""
    found = instances.table(pair, instances="components", connectivity=connectivity)
    truth = found.truth
    common = np.bincount(found.of_truth, found.common, minlength=truth.count)
    answer = instances.voxels_by_region(pair, found)
    return float(np.mean(2 * common / (truth.voxels + answer)))


def component_nsd(
    pair: Pair, /, *, tolerance_mm: float, points: str, dimensions: Any, connectivity: int
) -> float:
    """Return the mean over the truth's components of the NSD in the region nearest to each."""
    found = instances.table(pair, instances="components", connectivity=connectivity)
    kind = surface.kind_for(pair, points, dimensions)
    values = [
        surface.nsd(one, kind, tolerance_mm=tolerance_mm) if one.answer_voxels else 0.0
        for one in instances.each_region(pair, found)
    ]
    return float(np.mean(values))


def matching(
    pair: Pair,
    *,
    instances: str,
    connectivity: int,
    match: str,
    at_least: float,
    strict: bool,
    assign: str,
    dilation: float = 0,
    smallest_mm3: float = 0,
) -> Matching:
    """Return which instances belong together.

    match: "iou", pairs with an IoU of `at_least`, or above it with `strict`; "overlap", pairs with
    a voxel in common, or that touch within `dilation`. assign: "one_to_one", as many pairs as there
    can be, then the largest sum of their IoU; "many_to_one", each answer to the truth of the
    largest IoU; "any", all of them. Instances of the truth of `smallest_mm3` or less do not count.
    """
    given = (instances, connectivity, match, at_least, strict, assign, dilation, smallest_mm3)
    key = ("matching", given)
    if key not in pair.cache:
        pair.cache[key] = _matching(pair, *given)
    return pair.cache[key]


def _matching(
    pair: Pair,
    kind: str,
    connectivity: int,
    match: str,
    at_least: float,
    strict: bool,
    assign: str,
    dilation: float,
    smallest_mm3: float,
) -> Matching:
    table = instances.table(pair, instances=kind, connectivity=connectivity, dilation=int(dilation))
    both = table.truth.voxels[table.of_truth] + table.answer.voxels[table.of_answer]
    iou = table.common / (both - table.common)
    if match == "overlap":
        chosen = np.arange(len(iou))
    else:
        chosen = np.flatnonzero(iou > at_least if strict else iou >= at_least)
    if assign == "one_to_one":
        chosen = chosen[_one_to_one(table.of_truth[chosen], table.of_answer[chosen], iou[chosen])]
    elif assign == "many_to_one":
        chosen = chosen[_best_truth(table.of_answer[chosen], iou[chosen])]
    of_truth, of_answer, common = (
        every[chosen] for every in (table.of_truth, table.of_answer, table.common)
    )
    kept = table.truth.voxels * math.prod(pair.spacing_mm) > smallest_mm3
    return Matching(table, of_truth, of_answer, common, kept, assign)


def _best_truth(of_answer: np.ndarray, iou: np.ndarray) -> np.ndarray:
    """Return for each answer the pair of its largest IoU, the first of several."""
    order = np.lexsort((-iou, of_answer))
    _, first = np.unique(of_answer[order], return_index=True)
    return np.sort(order[first])


def _one_to_one(of_truth: np.ndarray, of_answer: np.ndarray, iou: np.ndarray) -> np.ndarray:
    """Return the pairs of a one-to-one matching, see `matching`.

    Most pairs have no rival and are taken at once; only the rest is an assignment problem. It is
    kept sparse, since an answer of noise may have a million instances: an instance of the truth
    may also stay alone, at a cost above that of any pair.
    """
    rivals = (np.bincount(of_truth)[of_truth] > 1) | (np.bincount(of_answer)[of_answer] > 1)
    alone, contested = np.flatnonzero(~rivals), np.flatnonzero(rivals)
    if not len(contested):
        return alone
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    rows, row = np.unique(of_truth[contested], return_inverse=True)
    columns, column = np.unique(of_answer[contested], return_inverse=True)
    nobody = np.arange(len(rows))
    cost = 1 - iou[contested] / (2 * min(len(rows), len(columns)))
    costs = np.concatenate([cost, np.full(len(rows), 2.0)])
    places = np.concatenate([row, nobody]), np.concatenate([column, len(columns) + nobody])
    matched = min_weight_full_bipartite_matching(csr_matrix((costs, places)))
    chosen = matched[1] < len(columns)
    keys = matched[0][chosen] * len(columns) + matched[1][chosen]
    pairs = np.searchsorted(row * len(columns) + column, keys)  # pairs are sorted by both
    return np.sort(np.concatenate([alone, contested[pairs]]))


def _counts(made: Matching) -> tuple[int, int, int, int]:
    """Return right and false instances of the answer, found and missed ones of the truth."""
    return made.right, len(made.false), len(made.found), len(made.missed)


def _each_found(pair: Pair, parameters: Mapping[str, Any]) -> list[Pair]:
    """Return each instance of the truth that was found, with its answers, in a box of its own."""
    made = matching(pair, **parameters)
    return [
        instances.cropped(pair, made.table, int(truth), made.of_answer[made.of_truth == truth])
        for truth in made.found
    ]


def _millilitres(pair: Pair, voxels: np.ndarray) -> float:
    return float(voxels.sum() * math.prod(pair.spacing_mm) / 1000)
