"""What the rank stage leaves behind: tables with their origin inside, and figures for papers."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from segarena.files import atomic_write
from segarena.rank.by_label import View
from segarena.rank.leaderboard import (
    SMALLER_IS_BETTER,
    WORST,
    complete,
    final_ranks,
    leaderboard,
    metric_ranks,
    tidy,
    uncounted_in,
    worst_value,
)
from segarena.rank.significance import pairwise
from segarena.rank.stability import BOOTSTRAPS, FINAL, Stability, merge, score_stability
from segarena.rank.tables import about, write_table

EVERYTHING = "all"
FAILED = "failed call"
"""The policy that the table of missing values names for a time that counts as the worst."""


def rank_scores(
    scores: pd.DataFrame,
    out: str | Path,
    *,
    metrics: Sequence[str],
    deciding_scheme: str,
    protocol: str,
    protocol_version: int,
    seed: int,
    policy: str = "worst",
    ties: Sequence[str] = (),
    failed: pd.DataFrame | None = None,
    weights: Mapping[str, float] | None = None,
    smaller_is_better: Collection[str] = SMALLER_IS_BETTER,
    worst: Mapping[str, float] = WORST,
    subgroups: pd.DataFrame | None = None,
    views: Sequence[View] = (),
    uncounted: pd.DataFrame | None = None,
    bootstraps: int = BOOTSTRAPS,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Write every table of a protocol's ranking under `out`, and return the leaderboard.

    `scores` has the columns submission, case and `metrics`. `subgroups` has the columns case and
    subgroup ("modality: CT"), a row for each subgroup a case is in; each is ranked again, as "all"
    is, and each of `views`, which has scores of its own. uncounted: see `complete`. worst: a
    metric's worst value, where it has one. ties: the metrics that decide among equal final ranks,
    in turn. failed: the times of failed calls that were changed before (submission, case, metric,
    value), to be listed among the missing ones. Written are leaderboard, schemes, labels, missing,
    significance and stability/*, each as CSV and Parquet.
    """
    out = Path(out)
    facts = about(
        protocol=protocol, protocol_version=protocol_version, seed=seed, bootstraps=bootstraps
    )
    used = list(dict.fromkeys([*metrics, *ties]))
    known: dict[str, Any] = {"smaller_is_better": smaller_is_better, "worst": worst}
    scores, affected = complete(scores, metrics=used, policy=policy, uncounted=uncounted, **known)
    if failed is not None and len(failed):
        affected = pd.concat(
            [affected, failed.assign(policy=FAILED)[affected.columns]], ignore_index=True
        )
    options: dict[str, Any] = {"metrics": metrics, "alpha": alpha, **known}
    parts = dict(_subgroups(scores, subgroups))
    for view in views:
        gaps = uncounted_in(view.scores, used)
        parts[view.subgroup], _ = complete(
            view.scores, metrics=used, policy=policy, uncounted=gaps, **known
        )
    schemes, tests, assessed = [], [], []
    for name, part in parts.items():
        of_all = metric_ranks(part, **{**options, "metrics": used})
        by_metric = of_all[of_all["metric"].isin(metrics)]
        final = final_ranks(of_all, metrics=metrics, ties=ties, weights=weights)
        final = final.rename(columns={"mean_rank": "score"})
        found = pd.concat([by_metric, final.assign(metric=FINAL)], ignore_index=True)
        schemes.append(found.assign(subgroup=name))
        tests.append(_score_pairwise(part, **options).assign(subgroup=name))
        stable = score_stability(
            part, seed=seed, bootstraps=bootstraps, weights=weights, ties=ties, **options
        )
        assessed.append(stable.labelled("subgroup", name))
    board = leaderboard(
        scores, deciding_scheme=deciding_scheme, weights=weights, ties=ties, **options
    )
    write_table(board, out / "leaderboard", facts)
    boards = [
        leaderboard(
            parts[view.subgroup],
            deciding_scheme=deciding_scheme,
            weights=weights,
            ties=ties,
            **options,
        ).assign(subgroup=view.subgroup, label=view.label, name=view.name)
        for view in views
    ]
    firsts = ["subgroup", "label", "name"]
    empty = pd.DataFrame(columns=[*board.columns, *firsts])
    of_labels = pd.concat(boards, ignore_index=True) if boards else empty
    write_table(of_labels[[*firsts, *board.columns]], out / "labels", facts)
    columns = ["subgroup", "metric", "scheme", "submission", "score", "rank"]
    write_table(pd.concat(schemes, ignore_index=True)[columns], out / "schemes", facts)
    write_table(affected, out / "missing", facts)
    write_table(
        _first("subgroup", pd.concat(tests, ignore_index=True)), out / "significance", facts
    )
    write_stability(merge(assessed), out / "stability", facts)
    return board


def write_stability(stability: Stability, out: str | Path, facts: Mapping[str, str]) -> None:
    """Write the tables of a stability assessment under `out`, each as CSV and Parquet."""
    for field in fields(stability):
        write_table(getattr(stability, field.name), Path(out) / field.name, facts)


def write_figure(chart: Any, stem: str | Path) -> None:
    """Write an Altair chart or a matplotlib figure as `stem`.svg and `stem`.png (two-fold size)."""
    import altair as alt
    import matplotlib as mpl

    stem = Path(stem)
    for kind in ("svg", "png"):
        with atomic_write(stem.with_name(f"{stem.name}.{kind}")) as tmp:
            if isinstance(chart, alt.TopLevelMixin):
                # A figure may hold every case of every team: Altair's limit is for notebooks.
                with alt.data_transformers.enable("default", max_rows=None):
                    chart.save(tmp, format=kind, scale_factor=2 if kind == "png" else 1)
            else:
                # Without a date and with a fixed salt, the same figure is the same file.
                with mpl.rc_context({"svg.hashsalt": "segarena"}):
                    date = {"Date": None} if kind == "svg" else None
                    chart.savefig(tmp, format=kind, dpi=200, metadata=date, bbox_inches="tight")


def folder_names(names: Sequence[str]) -> dict[str, str]:
    """Return a folder name for each name, safe on any disk and different for different names."""
    safe: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:60] or "task"
        taken = {folder.lower() for folder in safe.values()}
        number = 1
        folder = plain
        while folder.lower() in taken:
            number += 1
            folder = f"{plain}_{number}"
        safe[name] = folder
    return safe


def _subgroups(
    scores: pd.DataFrame, subgroups: pd.DataFrame | None
) -> Iterator[tuple[str, pd.DataFrame]]:
    yield EVERYTHING, scores
    if subgroups is None:
        return
    for name, members in subgroups.groupby("subgroup", sort=True, observed=True):
        part = scores[scores["case"].isin(members["case"])]
        if len(part):
            yield str(name), part


def _score_pairwise(
    scores: pd.DataFrame,
    *,
    metrics: Sequence[str],
    smaller_is_better: Collection[str],
    worst: Mapping[str, float],
    alpha: float,
) -> pd.DataFrame:
    found = [
        pairwise(
            tidy(scores, metric, task=metric),
            larger_is_better=metric not in smaller_is_better,
            alpha=alpha,
            missing_counts_as=worst_value(
                scores[metric], metric, smaller_is_better=smaller_is_better, worst=worst
            ),
        )
        for metric in metrics
    ]
    return pd.concat(found, ignore_index=True)


def _first(column: str, table: pd.DataFrame) -> pd.DataFrame:
    return table[[column, *table.columns.drop(column)]]
