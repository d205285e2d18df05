"""From the team CSVs to a leaderboard: one policy for what is missing, one rank per metric, one
place per submission.

The policy is applied before anything is ranked, and once, so that every scheme, every sample and
every picture sees the same numbers, and the list of what it touched is complete.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from segarena.errors import ConfigError
from segarena.rank.aggregate import SCHEMES, consensus, ranks
from segarena.rank.columns import is_time
from segarena.rank.tables import LARGEST
from segarena.rank.ties import break_ties

SMALLER_IS_BETTER = frozenset({"TotalRunningTime"})
# The worst possible value where a metric has one; else the worst that was measured.
WORST = {"DSC_AUC": 0.0, "NSD_AUC": 0.0, "DSC_Final": 0.0, "NSD_Final": 0.0}
POLICIES = ("worst", "zero", "last")
NOT_COUNTED = "not counted"
"""What the table of missing values says of a value that there is none of, by no fault of a team."""
AFFECTED_COLUMNS = ["submission", "case", "metric", "policy", "value"]


def complete(
    scores: pd.DataFrame,
    *,
    metrics: Sequence[str],
    policy: str = "worst",
    smaller_is_better: Collection[str] = SMALLER_IS_BETTER,
    worst: Mapping[str, float] = WORST,
    uncounted: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Apply the protocol's policy for missing answers; return the scores and what was touched.

    `scores` has the columns submission, case and `metrics`. Missing is what is NaN, infinite or
    above 1e300, and each case that a submission has no row for although another one has. The
    policies: `worst` fills in the worst value (see `worst_value`); `zero` 0, but the worst value
    where 0 would be better than that; and `last` leaves NaN, which rank_then_mean and
    rank_then_median put last in its case and all other schemes count as the worst value. A
    submission without any value of a metric keeps NaN there, so that it is last.

    uncounted: values (submission, case, metric) that do not count, by no fault of an answer. Where
    a case has no other value of a metric, all keep NaN there, and the case is not counted; where
    others have one, a submission gets the mean of its other cases, which leaves its mean as it is.

    The second table has submission, case, metric, policy and the value counted. Raises ConfigError
    for an unknown policy, metric, or a repeated row.
    """
    if policy not in POLICIES:
        raise ConfigError(f"missing answers: {policy!r} is no policy; use {', '.join(POLICIES)}")
    _check_columns(scores, metrics)
    everyone = pd.MultiIndex.from_product(
        [sorted(scores["submission"].unique()), sorted(scores["case"].unique())],
        names=["submission", "case"],
    )
    whole = scores.set_index(["submission", "case"])[list(metrics)].astype(float)
    whole = whole.reindex(everyone)
    whole = whole.where(whole.abs() <= LARGEST)
    touched = []
    for metric in metrics:
        out = _is_listed(whole.index, uncounted, metric)
        gaps = whole[metric].isna() & ~out
        zero = {metric: 0.0} if policy == "zero" and metric not in smaller_is_better else {}
        value = worst_value(
            whole[metric], metric, smaller_is_better=smaller_is_better, worst={**worst, **zero}
        )
        touched.append(
            whole.index[gaps]
            .to_frame(index=False)
            .assign(metric=metric, policy=policy, value=value)
        )
        nobody = gaps.groupby("case").transform("all")  # all alike, so it may as well be a value
        if policy != "last":
            measured = whole[metric].groupby("submission").transform("count") > 0
            filled = whole[metric].where(~gaps, value)
            whole[metric] = filled.where(measured) if measured.any() else filled
        else:
            whole[metric] = whole[metric].where(~nobody, value)
        if out.any():
            listed = whole.index[out].to_frame(index=False)
            touched.append(listed.assign(metric=metric, policy=NOT_COUNTED, value=np.nan))
            own = whole[metric].where(~out).groupby("submission").transform("mean")
            partly = out & ~out.groupby("case").transform("all")
            whole[metric] = whole[metric].where(~out).where(~partly, own.fillna(value))
    affected = pd.concat(touched, ignore_index=True)[AFFECTED_COLUMNS]
    affected = affected.sort_values(["submission", "case"], kind="stable", ignore_index=True)
    return whole.reset_index(), affected


def uncounted_in(scores: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Return the values that are no answer's fault: submission, case, metric.

    They are NaN, as no value of an answer is (an infinite distance is infinite), but for means over
    the labels that are large enough, where an answer may be to blame, and times.
    """
    found = [
        scores.loc[scores[metric].isna(), ["submission", "case"]].assign(metric=metric)
        for metric in metrics
        if not is_time(metric) and "_Final_min" not in metric
    ]
    columns = ["submission", "case", "metric"]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)


def _is_listed(index: "pd.Index[Any]", uncounted: pd.DataFrame | None, metric: str) -> pd.Series:
    """Return, for each submission and case, whether a metric's value is among the uncounted."""
    if uncounted is None:
        return pd.Series(False, index=index)
    rows = uncounted.loc[uncounted["metric"] == metric, ["submission", "case"]]
    return pd.Series(index.isin(pd.MultiIndex.from_frame(rows)), index=index)


def metric_ranks(
    scores: pd.DataFrame,
    *,
    metrics: Sequence[str],
    smaller_is_better: Collection[str] = SMALLER_IS_BETTER,
    worst: Mapping[str, float] = WORST,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Return score and rank of every submission by every metric under every scheme.

    The answer has the columns metric, scheme, submission, score, rank.
    """
    parts = []
    for metric in metrics:
        larger = metric not in smaller_is_better
        found = ranks(
            tidy(scores, metric),
            larger_is_better=larger,
            alpha=alpha,
            missing_counts_as=worst_value(
                scores[metric], metric, smaller_is_better=smaller_is_better, worst=worst
            ),
        )
        if counted_cases(scores, metric) == 0:
            found["score"] = found["score"].where(found["scheme"].str.startswith("test_"))
        found = found.rename(columns={"algorithm": "submission"})
        parts.append(found.assign(metric=metric))
    columns = ["metric", "scheme", "submission", "score", "rank"]
    return pd.concat(parts, ignore_index=True)[columns]


def leaderboard(
    scores: pd.DataFrame,
    *,
    metrics: Sequence[str],
    deciding_scheme: str,
    weights: Mapping[str, float] | None = None,
    ties: Sequence[str] = (),
    smaller_is_better: Collection[str] = SMALLER_IS_BETTER,
    worst: Mapping[str, float] = WORST,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Return one row per submission, sorted by its final rank and then by name.

    `scores` has the columns submission, case and `metrics`, as `complete` returns it. The final
    rank is the rank of `mean_rank`, the (weighted) mean over the metrics of the ranks under
    `deciding_scheme`; the first of `ties` that tells equal ones apart decides among them. After
    rank, submission and mean_rank come, for every metric, METRIC_mean, METRIC_cases, the number of
    cases that count for it, and METRIC_SCHEME, the rank under each scheme.
    """
    found = metric_ranks(
        scores,
        metrics=list(dict.fromkeys([*metrics, *ties])),
        smaller_is_better=smaller_is_better,
        worst=worst,
        alpha=alpha,
    )
    means = found[found["scheme"] == "mean_then_rank"]
    means = means.pivot(index="submission", columns="metric", values="score").add_suffix("_mean")
    places = found.assign(column=found["metric"] + "_" + found["scheme"])
    places = places.pivot(index="submission", columns="column", values="rank")
    counted = {f"{metric}_cases": counted_cases(scores, metric) for metric in metrics}
    columns = [f"{metric}_{name}" for metric in metrics for name in ("mean", "cases", *SCHEMES)]
    board = final_ranks(found, metrics=metrics, ties=ties, weights=weights)
    board = board[board["scheme"] == deciding_scheme].set_index("submission")
    board = board[["rank", "mean_rank"]].join(means).join(places).reset_index().assign(**counted)
    board = board.sort_values(["rank", "submission"], ignore_index=True)
    return board[["rank", "submission", "mean_rank", *columns]]


def final_ranks(
    by_metric: pd.DataFrame,
    *,
    metrics: Sequence[str],
    ties: Sequence[str] = (),
    weights: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return the consensus over the metrics under each scheme: scheme, submission, mean_rank, rank.

    `by_metric` is what `metric_ranks` returns, of `metrics` and `ties`.
    """
    renamed = by_metric.rename(columns={"submission": "algorithm"})
    found = consensus(
        renamed[renamed["metric"].isin(metrics)], over="metric", weights=weights
    ).rename(columns={"algorithm": "submission", "score": "mean_rank"})
    places = by_metric.set_index(["metric", "scheme", "submission"])["rank"].sort_index()
    for scheme, rows in found.groupby("scheme", sort=False):
        by_tie = [places.loc[tie, scheme].loc[rows["submission"]].to_numpy() for tie in ties]
        broken = break_ties(rows["rank"].to_numpy()[None], [rank[None] for rank in by_tie])
        found.loc[rows.index, "rank"] = broken[0]
    return found


def tidy(scores: pd.DataFrame, metric: str, *, task: str = "all") -> pd.DataFrame:
    """Return one metric of the scores as a table of task, algorithm, case, value.

    Cases in which nobody has a value do not count and are left out, unless that is all of them.
    """
    table = pd.DataFrame(
        {
            "task": task,
            "algorithm": scores["submission"],
            "case": scores["case"],
            "value": scores[metric].astype(float),
        }
    )
    counts = table["value"].notna().groupby(table["case"]).transform("any")
    return table[counts] if counts.any() else table


def counted_cases(scores: pd.DataFrame, metric: str) -> int:
    """Return how many cases count for a metric: those in which anybody has a value."""
    return int(scores.loc[scores[metric].notna(), "case"].nunique())


def worst_value(
    values: pd.Series,
    metric: str,
    *,
    smaller_is_better: Collection[str] = SMALLER_IS_BETTER,
    worst: Mapping[str, float] = WORST,
) -> float:
    """Return what a missing value counts as: the metric's worst or, if worse, the worst measured.

    0 where neither is known.
    """
    known = [*values[np.isfinite(values)], *([worst[metric]] if metric in worst else [])]
    if not known:
        return 0.0
    return float(max(known) if metric in smaller_is_better else min(known))


def _check_columns(scores: pd.DataFrame, metrics: Sequence[str]) -> None:
    for column in ["submission", "case", *metrics]:
        if column not in scores.columns:
            raise ConfigError(
                f"scores: no column {column!r}; add it, or take it out of the ranking"
            )
    repeated = scores.duplicated(["submission", "case"])
    if repeated.any():
        row = scores[repeated].iloc[0]
        raise ConfigError(
            f"scores: {row['submission']}, {row['case']} is there twice; leave one row per case"
        )
