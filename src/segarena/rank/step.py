"""Rank the submissions of one protocol, and say how far the ranking can be trusted."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segarena.errors import ConfigError, EngineError
from segarena.files import read_lines
from segarena.rank.by_label import views
from segarena.rank.calls import count_failed, read_calls, without_unasked
from segarena.rank.columns import directions, is_numbered, is_time
from segarena.rank.leaderboard import uncounted_in
from segarena.rank.outputs import rank_scores
from segarena.rank.stability import BOOTSTRAPS
from segarena.rank.tables import about, write_table


def main(
    tables: list[str],
    out: Path,
    *,
    groups: dict[str, dict[str, str]],
    protocol: dict[str, Any],
    left_out: dict[str, str] | None = None,
) -> None:
    """Write the leaderboard and every table behind it under `out`.

    tables: of every submission, and of every repetition where the protocol has several;
    a case then counts with its mean. Where time counts, the answers' records are read beside them.
    groups: what the sheet says of each case, by case. left_out: why a submission was not run.
    """
    ranking = protocol["ranking"]
    metrics = ranking["metrics"]
    frames = [_table(Path(path), cases=len(groups)) for path in tables]
    per_repetition = pd.concat(frames, ignore_index=True)
    ties = [metric for metric in ranking.get("ties", ()) if metric not in metrics]
    for metric in [*metrics, *ties]:
        if metric not in per_repetition:
            raise ConfigError(
                f"{protocol['name']}: ranking.{'metrics' if metric in metrics else 'ties'}: "
                f"no column {metric!r}; choose among "
                f"{', '.join(per_repetition.columns.drop(['submission', 'case', 'repetition']))}"
            )
    interactions = sum(step["times"] for step in protocol["user"])
    times = [metric for metric in [*metrics, *ties] if is_time(metric)]
    worst_times = times if protocol["time"].get("failed", "worst") == "worst" else []
    numbered = [metric for metric in [*metrics, *ties] if is_numbered(metric)]
    failed = calls = None
    if worst_times or numbered or "by" in ranking:
        calls = read_calls(tables, list(groups), interactions=interactions)
        per_repetition = without_unasked(per_repetition, calls, numbered)
        if worst_times:
            per_repetition, failed = count_failed(
                per_repetition, calls, worst_times, time=protocol["time"]
            )
    scores = per_repetition.groupby(["submission", "case"], as_index=False)[
        [*metrics, *ties]
    ].mean()
    smaller, worst = directions([*metrics, *ties], protocol["metrics"], interactions=interactions)
    facts = about(
        protocol=protocol["name"],
        protocol_version=protocol["version"],
        seed=protocol["seed"],
        bootstraps=ranking.get("bootstraps", BOOTSTRAPS),
    )
    write_table(_spread(per_repetition, metrics), out / "spread", facts)
    reasons = pd.DataFrame(list((left_out or {}).items()), columns=["submission", "reason"])
    write_table(reasons, out / "left_out", facts)
    rank_scores(
        scores,
        out,
        metrics=metrics,
        deciding_scheme=ranking["scheme"],
        protocol=protocol["name"],
        protocol_version=protocol["version"],
        seed=protocol["seed"],
        policy=ranking.get("missing", "worst"),
        ties=ranking.get("ties", ()),
        failed=failed,
        weights=_weights(ranking),
        smaller_is_better=smaller,
        worst=worst,
        bootstraps=ranking.get("bootstraps", BOOTSTRAPS),
        subgroups=_subgroups(groups),
        views=[]
        if calls is None
        else views(tables, per_repetition, calls, [*metrics, *ties], protocol),
        uncounted=uncounted_in(scores, [*metrics, *ties]),
    )


def _weights(ranking: dict[str, Any]) -> dict[str, float] | None:
    """Return a weight per metric where the protocol gives any; 1 where it does not name it."""
    given = ranking.get("weights")
    return None if given is None else {name: given.get(name, 1.0) for name in ranking["metrics"]}


def _table(path: Path, *, cases: int) -> pd.DataFrame:
    """Return a submission's table, with what its path says of it."""
    submission = path.name.removesuffix("_metrics.csv")
    table = pd.read_csv(io.StringIO("".join(read_lines(path))))
    if len(table) != cases:
        raise EngineError(f"{path}: {len(table)} of {cases} cases; delete it, run again")
    table = table.rename(columns={"CaseName": "case"})
    table["case"] = table["case"].str.removesuffix(".npz")
    where = {"submission": submission, "repetition": path.parent.name}
    return pd.concat([table, pd.DataFrame(where, index=table.index)], axis=1)


def _spread(per_repetition: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    """Return mean and standard deviation of the repetitions' means, by submission and metric."""
    finite = per_repetition.replace([np.inf, -np.inf], np.nan)
    means = finite.groupby(["submission", "repetition"])[metrics].mean()
    long = means.melt(var_name="metric", ignore_index=False).reset_index()
    found = long.groupby(["submission", "metric"])["value"].agg(
        mean="mean", standard_deviation="std", repetitions="count"
    )
    return found.reset_index()


def _subgroups(groups: dict[str, dict[str, str]]) -> pd.DataFrame | None:
    rows = [
        {"case": case, "subgroup": f"{key}: {value}"}
        for case, described in groups.items()
        for key, value in described.items()
    ]
    return pd.DataFrame(rows) if rows else None
