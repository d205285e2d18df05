"""From the team CSVs to a leaderboard: one policy for what is missing, one rank per metric, one
place per submission.

The policy is applied before anything is ranked, and once, so that every scheme, every sample and
every picture sees the same numbers, and the list of what it touched is complete.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from segarena.errors import ConfigError
from segarena.rank.aggregate import SCHEMES, consensus, ranks
from segarena.rank.tables import LARGEST
from segarena.rank.ties import break_ties

SMALLER_IS_BETTER = frozenset({"TotalRunningTime"})
# The worst possible value where a metric has one; else the worst that was measured.
WORST = {"DSC_AUC": 0.0, "NSD_AUC": 0.0, "DSC_Final": 0.0, "NSD_Final": 0.0}
POLICIES = ("worst", "zero", "last")
AFFECTED_COLUMNS = ["submission", "case", "metric", "policy", "value"]


def complete(
    scores: pd.DataFrame,
    *,
    metrics: Sequence[str],
    policy: str = "worst",
    smaller_is_better: Collection[str] = SMALLER_IS_BETTER,
    worst: Mapping[str, float] = WORST,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Apply the protocol's policy for missing answers; return the scores and what was touched.

    `scores` has the columns submission, case and `metrics`. Missing is what is NaN, infinite or
    above 1e300, and each case that a submission has no row for although another one has. The
    policies: `worst` fills in the worst value (see `worst_value`); `zero` 0, but the worst value
    where 0 would be better than that; and `last` leaves NaN, which rank_then_mean and
    rank_then_median put last in its case and all other schemes count as the worst value. A
    submission without any value of a metric keeps NaN there, so that it is last. The second table
    has submission, case, metric, policy and the value counted. Raises ConfigError for an unknown
    policy, metric, or a repeated row.
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
        gaps = whole[metric].isna()
        zero = {metric: 0.0} if policy == "zero" and metric not in smaller_is_better else {}
        value = worst_value(
            whole[metric], metric, smaller_is_better=smaller_is_better, worst={**worst, **zero}
        )
        touched.append(
            whole.index[gaps]
            .to_frame(index=False)
            .assign(metric=metric, policy=policy, value=value)
        )
        if policy != "last":
            measured = whole[metric].groupby("submission").transform("count") > 0
            filled = whole[metric].fillna(value)
            whole[metric] = filled.where(measured) if measured.any() else filled
    affected = pd.concat(touched, ignore_index=True)[AFFECTED_COLUMNS]
    affected = affected.sort_values(["submission", "case"], kind="stable", ignore_index=True)
    return whole.reset_index(), affected


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
    rank, submission and mean_rank come METRIC_mean and METRIC_SCHEME, the rank under each scheme,
    for every metric.
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
    columns = [f"{metric}_{name}" for metric in metrics for name in ("mean", *SCHEMES)]
    board = final_ranks(found, metrics=metrics, ties=ties, weights=weights)
    board = board[board["scheme"] == deciding_scheme].set_index("submission")
    board = board[["rank", "mean_rank"]].join(means).join(places).reset_index()
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
    """Return one metric of the scores as a table of task, algorithm, case, value."""
    return pd.DataFrame(
        {
            "task": task,
            "algorithm": scores["submission"],
            "case": scores["case"],
            "value": scores[metric].astype(float),
        }
    )


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
            f"scores: {row['submission']}, {row['case']} stands twice; leave one row per case"
        )
