"""What a report tells of one protocol, read from a results folder once and handed on as tables.

The report looks at files alone, so it can be made again from a finished run without playing it.
Answers' records are found by their place, not named one by one: there may be 180,000 of them, and
the teams' tables are made anew whenever one changes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from segarena.files import read_json
from segarena.protocol import Protocol, steps
from segarena.rank.columns import directions
from segarena.rank.outputs import EVERYTHING
from segarena.rank.stability import FINAL

FINE = frozenset({"ok", "not_asked"})


@dataclass(frozen=True)
class Results:
    """One protocol's results.

    names: submission -> the name to show, best first. scores: the teams' tables, one below the
    other, with the columns submission and case; where the protocol is repeated, a case's mean over
    the repetitions. first: the same of the first repetition, whose answers are shown. groups:
    case -> {column: value} of the cases sheet. left_out: the name to show -> why it does not play.
    The other tables are those of the rank stage (docs/ranking.md).
    """

    protocol: Protocol
    names: dict[str, str]
    scores: pd.DataFrame
    first: pd.DataFrame
    groups: dict[str, dict[str, str]]
    schemes: pd.DataFrame
    intervals: pd.DataFrame
    frequencies: pd.DataFrame
    taus: pd.DataFrame
    significance: pd.DataFrame
    missing: pd.DataFrame
    spread: pd.DataFrame
    left_out: dict[str, str]

    @property
    def metrics(self) -> list[str]:
        """The metrics that the ranking is made of, the first one first."""
        return list(self.protocol["ranking"]["metrics"])

    @property
    def scheme(self) -> str:
        """The scheme that decides."""
        return str(self.protocol["ranking"]["scheme"])

    @property
    def interactions(self) -> range:
        """The numbers of the interactions."""
        return range(1, len(steps(self.protocol)) + 1)

    @property
    def measured(self) -> list[str]:
        """The metrics that are measured after every interaction."""
        named = [metric.get("as", metric["name"]) for metric in self.protocol["metrics"]]
        return [name for name in named if f"{name}_{self.interactions[-1]}" in self.scores]

    def larger_is_better(self, metric: str) -> bool:
        """Return whether more of a metric of the ranking is better."""
        smaller, _ = directions(
            [metric], self.protocol["metrics"], interactions=len(self.interactions)
        )
        return metric not in smaller

    @property
    def cases(self) -> list[str]:
        """The cases, sorted."""
        return sorted(self.scores["case"].unique())


def read(
    tables: Iterable[str | Path],
    rank_folder: str | Path,
    *,
    protocol: Protocol,
    names: Mapping[str, str],
    groups: Mapping[str, Mapping[str, str]],
) -> Results:
    """Read the teams' tables, PLAY/SUBMISSION_metrics.csv, and the rank stage's.

    tables: of every repetition.
    """
    frames = []
    for path in map(Path, tables):
        submission = path.name.removesuffix("_metrics.csv")
        frames.append(pd.read_csv(path).assign(submission=submission, play=path.parent.name))
    played = pd.concat(frames, ignore_index=True)
    played["case"] = played["CaseName"].str.removesuffix(".npz")
    rank = Path(rank_folder)
    schemes = pd.read_parquet(rank / "schemes.parquet")
    everything = [("subgroup", "==", EVERYTHING)]
    stability = rank / "stability"
    players = _best_first(schemes, protocol)
    left_out = pd.read_parquet(rank / "left_out.parquet")
    everyone = [*players, *left_out["submission"]]
    shown = _told_apart({name: names.get(name, name) for name in everyone})
    return Results(
        protocol=protocol,
        names={name: shown[name] for name in players},
        scores=played.groupby(["submission", "case"], as_index=False).mean(numeric_only=True),
        first=played[played["play"] == protocol["name"]],
        groups={case: dict(values) for case, values in groups.items()},
        schemes=schemes,
        intervals=pd.read_parquet(stability / "intervals.parquet"),
        frequencies=pd.read_parquet(stability / "frequencies.parquet", filters=everything),
        taus=pd.read_parquet(stability / "taus.parquet", filters=everything),
        significance=pd.read_parquet(rank / "significance.parquet", filters=everything),
        missing=pd.read_parquet(rank / "missing.parquet"),
        spread=pd.read_parquet(rank / "spread.parquet"),
        left_out={
            shown[name]: reason
            for name, reason in zip(left_out["submission"], left_out["reason"], strict=True)
        },
    )


def failures(predict_folder: str | Path, results: Results) -> pd.DataFrame:
    """Return the answers that failed: submission, case, interaction, status, message.

    predict_folder: results/predict/PROTOCOL. A record that is not there is no failure.
    """
    rows: list[dict[str, Any]] = []
    for submission in results.names:
        for case in results.cases:
            folder = Path(predict_folder) / submission / case
            for k in results.interactions:
                path = folder / f"{k}.json"
                if path.is_file():
                    record = read_json(path)
                    if record["status"] not in FINE:
                        rows.append({"submission": submission, "interaction": k, **record})
    columns = ["submission", "case", "interaction", "status", "message"]
    return pd.DataFrame(rows, columns=columns)


def _told_apart(names: dict[str, str]) -> dict[str, str]:
    """Return the names to show; where two submissions share one, it says which is which."""
    shared = {name for name, times in Counter(names.values()).items() if times > 1}
    return {
        submission: f"{name} ({submission})" if name in shared else name
        for submission, name in names.items()
    }


def _best_first(schemes: pd.DataFrame, protocol: Protocol) -> list[str]:
    found = schemes[
        (schemes["subgroup"] == EVERYTHING)
        & (schemes["metric"] == FINAL)
        & (schemes["scheme"] == protocol["ranking"]["scheme"])
    ]
    return found.sort_values(["rank", "submission"])["submission"].tolist()
