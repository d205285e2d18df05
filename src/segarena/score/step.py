"""Score every answer of a submission on one case."""

import csv
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segarena import masks
from segarena.case import (
    asked_labels,
    has_probs,
    ignored,
    probs_of,
    read_answer,
    read_raters,
    read_truth,
    spacing_of,
)
from segarena.files import atomic_write, read_json
from segarena.protocol import RATED, counts_empty_truth, needs_probs
from segarena.score import probabilities, prompted, reuse
from segarena.score.metrics import METRICS, column, score
from segarena.score.noc import AREAS
from segarena.score.raters import Rated, rated, without_ignored
from segarena.score.table import INVENTED


def main(
    files: dict[str, Any],
    output: str,
    metrics: list[dict[str, Any]],
    *,
    ignore_label: int | None = None,
    areas: bool = False,
    regions: Mapping[str, list[int]] | None = None,
    code: str = "",
) -> None:
    """Write one row per interaction, label (by its id) and metric; with `areas`, the sizes too.

    files: the truth, the answers, and where a protocol measures them, the prompts of each
    interaction; what the user gave so far has rows then, too (segarena.score.prompted.COUNTS).

    Labels that an answer has and the truth does not have get a row each, with their voxels, by the
    number that the answer gave them. regions: ids of labels whose unions are measured as well, by
    name; their rows come last. One of which the truth has no label is left out. In a case without
    foreground a metric that no rule (`empty`) gives a value has none (nan).

    What was measured before from the same files, by the same `code`, is not measured again.
    """
    table = Path(output)
    read = [files["truth"], *files["answers"], *files.get("prompts", ())]
    asked = dict(regions or {})
    made_from = reuse.made_from(read, ignore_label=ignore_label, regions=asked, code=code)
    columns = {column(metric): metric for metric in metrics} | dict.fromkeys(AREAS if areas else ())
    columns |= dict.fromkeys(prompted.COUNTS if files.get("prompts") else ())
    columns |= {INVENTED: None}
    values, known = reuse.values_of(table, made_from, columns)
    missing = [metric for metric in metrics if column(metric) not in known]
    if missing or not known.issuperset(columns):
        values |= _measured(files, missing, ignore_label, areas, asked)
    with atomic_write(table) as tmp, tmp.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["interaction", "label", "metric", "value"])
        for k, label in sorted({(k, label) for k, label, _ in values}, key=_place_among([*asked])):
            names = [name for name in columns if (k, label, name) in values]
            lines.writerows([k, label, name, values[k, label, name]] for name in names)
    reuse.remember(table, made_from, columns)


def _place_among(regions: list[str]) -> Callable[[tuple[int, str]], tuple[int, int, int]]:
    """Return the key that sorts rows: by interaction, labels by id, then regions as listed."""

    def place(row: tuple[int, str]) -> tuple[int, int, int]:
        k, label = row
        return (k, 1, regions.index(label)) if label in regions else (k, 0, int(label))

    return place


def _measured(
    files: dict[str, Any],
    metrics: list[dict[str, Any]],
    ignore_label: int | None,
    areas: bool,
    regions: Mapping[str, list[int]],
) -> reuse.Values:
    """Return the values of these metrics, and of the labels' and invented labels' voxels."""
    values: reuse.Values = {}
    truth = read_truth(files["truth"])
    spacing_mm = spacing_of(files["truth"], truth)
    outside = ignored(truth, ignore_label)
    gts = truth.gts if outside is None else np.where(outside, 0, truth.gts)
    asked, truth_ids = asked_labels(truth, ignore_label), truth.ids
    uncounted = set() if gts.any() else _uncounted(metrics)
    prompts = [read_json(path) for path in files.get("prompts", ())]
    has_rated = any(metric["name"] in RATED for metric in metrics)
    maps = without_ignored(read_raters(files["truth"]), outside) if has_rated else {}
    of_raters = rated(maps.values(), asked) if maps else {}
    places = probabilities.Places(gts, asked, spacing_mm, outside)
    before = None
    for k, answer in enumerate(files["answers"], start=1):
        segs = read_answer(answer)
        if outside is not None:
            segs = np.where(outside, 0, segs)
        now, probs = None, None
        if any(map(needs_probs, metrics)) and has_probs(answer):
            probs = probabilities.count(partial(probs_of, answer), places, metrics)
        if prompts:
            earlier = prompts[k - 2] if k > 1 else None
            now = prompted.interaction(prompts[k - 1], earlier, before)
            values |= _given(prompts[k - 1], k, truth.ids, regions)
        before = segs
        for label, voxels in masks.invented(gts, segs).items():
            if label not in asked:
                values[k, str(label), INVENTED] = repr(float(voxels))
        for one, other, ids, labels in _all_maps(gts, segs, truth_ids, regions, asked):
            for name_or_id, metric, value in score(
                one,
                other,
                spacing_mm,
                metrics,
                labels=labels,
                ids=ids,
                regions=regions,
                interaction=now,
                rated=of_raters if ids is truth_ids else _united(maps, ids, truth_ids, regions),
                probs=probs,
                of_run=True,
            ):
                counted = math.nan if metric in uncounted else float(value)
                values[k, str(name_or_id), metric] = repr(counted)
            for number in labels if areas else ():
                for name, label_map in zip(AREAS, (one, other), strict=True):
                    size = float(np.count_nonzero(label_map == number))
                    values[k, str(ids[number]), name] = repr(size)
    return values


def _united(
    maps: Mapping[str, np.ndarray],
    ids: Mapping[int, int | str],
    label_ids: Mapping[int, int],
    regions: Mapping[str, list[int]],
) -> dict[int, Rated]:
    """Return what the raters have of a region, which is label 1 of its maps."""
    members = [number for number, one in label_ids.items() if one in regions[str(ids[1])]]
    return rated((np.isin(one, members) for one in maps.values()), [1]) if maps else {}


def _uncounted(metrics: list[dict[str, Any]]) -> set[str]:
    """Return the metrics that a case without foreground has no value of: no rule gives them one."""
    return {
        column(metric)
        for metric in metrics
        if not counts_empty_truth(metric) and METRICS[metric["name"]].both_empty is not None
    }


def _given(
    prompts: Mapping[str, Any], k: int, ids: Mapping[int, int], regions: Mapping[str, list[int]]
) -> reuse.Values:
    """Return what the user gave for each label up to an interaction, and for regions the sums."""
    by_id = {ids[number]: given for number, given in prompted.counts(prompts).items()}
    groups = {str(label): [label] for label in by_id}
    groups |= {
        name: [label for label in members if label in by_id] for name, members in regions.items()
    }
    return {
        (k, group, name): repr(float(sum(by_id[label][name] for label in labels)))
        for group, labels in groups.items()
        if labels
        for name in prompted.COUNTS
    }


def _all_maps(
    gts: np.ndarray,
    segs: np.ndarray,
    ids: Mapping[int, int],
    regions: Mapping[str, list[int]],
    asked: list[int],
) -> Iterator[tuple[np.ndarray, np.ndarray, Mapping[int, int | str], list[int]]]:
    """Yield truth, answer, what labels are called, and those to score: all, then each region.

    A region is label 1 of its maps. One of which no label is asked for is left out.
    """
    yield gts, segs, ids, asked
    for name, members in regions.items():
        numbers = [number for number in asked if ids[number] in members]
        if numbers:
            one, other = (np.isin(labels, numbers).astype(np.uint8) for labels in (gts, segs))
            yield one, other, {1: name}, [1]
