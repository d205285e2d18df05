"""What a report shows of one protocol, read from a results folder once and handed on as tables.

The report looks at files alone, so it can be made again from a finished run without running it.
Answers' records are found by their place, not named one by one: there may be 180,000 of them, and
the teams' tables are made again whenever one changes.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from segarena.files import read_lines
from segarena.protocol import Protocol, steps
from segarena.rank.calls import FINE, read_calls, without_unasked
from segarena.rank.columns import directions
from segarena.rank.outputs import EVERYTHING
from segarena.rank.stability import FINAL
from segarena.score.table import INVENTED

# With more different values of tau than this a figure shows them in bins.
MOST_TAUS = 40


@dataclass(frozen=True)
class Results:
    """One protocol's results.

    names: submission -> the name to show, best first. scores: the teams' tables, one below the
    other, with the columns submission and case; where the protocol is repeated, a case's mean over
    the repetitions. first: the same of the first repetition, whose answers are shown. Scores before
    anything was asked for are NaN in both. calls: what became of each interaction
    (segarena.rank.calls). groups: case -> {column: value} of the cases sheet. left_out: the name to
    show -> why it was left out.
    labels: the teams' tables of labels, with the column submission, and invented: how many labels
    that were not asked for an answer has (submission, case, interaction, labels), both of the first
    repetition. by_label: the leaderboards of single labels and regions.
    taus: the share of the bootstrap samples at each tau. The other tables are those of the rank
    stage (docs/ranking.md).
    """

    protocol: Protocol
    names: dict[str, str]
    scores: pd.DataFrame
    first: pd.DataFrame
    calls: pd.DataFrame
    groups: dict[str, dict[str, str]]
    schemes: pd.DataFrame
    intervals: pd.DataFrame
    frequencies: pd.DataFrame
    taus: pd.DataFrame
    significance: pd.DataFrame
    missing: pd.DataFrame
    by_label: pd.DataFrame
    labels: pd.DataFrame
    invented: pd.DataFrame
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

    @functools.cached_property
    def members(self) -> dict[str, set[str]]:
        """The cases of each group of the sheet, "modality: CT"; first all of them."""
        found = {EVERYTHING: set(self.cases)}
        for case in self.cases:
            for column, value in self.groups.get(case, {}).items():
                found.setdefault(f"{column}: {value}", set()).add(case)
        return {name: found[name] for name in [EVERYTHING, *sorted(found.keys() - {EVERYTHING})]}

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
    """Read the teams' tables, REPETITION/SUBMISSION_metrics.csv, and the rank stage's.

    tables: of every repetition; the answers' records are read beside them.
    """
    tables = list(tables)
    frames = []
    for path in map(Path, tables):
        submission = path.name.removesuffix("_metrics.csv")
        frames.append(pd.read_csv(path).assign(submission=submission, repetition=path.parent.name))
    per_repetition = pd.concat(frames, ignore_index=True)
    per_repetition["case"] = per_repetition["CaseName"].str.removesuffix(".npz")
    calls = read_calls(
        tables, sorted(per_repetition["case"].unique()), interactions=len(steps(protocol))
    )
    named = [metric.get("as", metric["name"]) for metric in protocol["metrics"]]
    numbered = {f"{name}_{k}" for name in named for k in range(1, len(steps(protocol)) + 1)}
    per_repetition = without_unasked(per_repetition, calls, numbered.intersection(per_repetition))
    firsts = [path for path in map(Path, tables) if path.parent.name == protocol["name"]]
    rank = Path(rank_folder)
    schemes = pd.read_parquet(rank / "schemes.parquet")
    stability = rank / "stability"
    ranked = _best_first(schemes, protocol)
    left_out = pd.read_parquet(rank / "left_out.parquet")
    everyone = [*ranked, *left_out["submission"]]
    shown = _distinct_names({name: names.get(name, name) for name in everyone})
    return Results(
        protocol=protocol,
        names={name: shown[name] for name in ranked},
        scores=per_repetition.groupby(["submission", "case"], as_index=False).mean(
            numeric_only=True
        ),
        first=per_repetition[per_repetition["repetition"] == protocol["name"]],
        calls=calls,
        groups={case: dict(values) for case, values in groups.items()},
        schemes=schemes,
        intervals=pd.read_parquet(stability / "intervals.parquet"),
        frequencies=pd.read_parquet(stability / "frequencies.parquet"),
        taus=_binned(pd.read_parquet(stability / "taus.parquet")),
        significance=pd.read_parquet(rank / "significance.parquet"),
        missing=pd.read_parquet(rank / "missing.parquet"),
        by_label=pd.read_parquet(rank / "labels.parquet"),
        labels=_labels(firsts),
        invented=_invented(firsts),
        spread=pd.read_parquet(rank / "spread.parquet"),
        left_out={
            shown[name]: reason
            for name, reason in zip(left_out["submission"], left_out["reason"], strict=True)
        },
    )


def _binned(taus: pd.DataFrame) -> pd.DataFrame:
    """Return the share of the bootstrap samples at each tau: subgroup, task, scheme, tau, share.

    With few submissions tau takes few values; with many they are put into bins of 0.02.
    """
    if taus["tau"].round(6).nunique() > MOST_TAUS:
        taus = taus.assign(tau=(taus["tau"] / 0.02).round() * 0.02)
    keys = ["subgroup", "task", "scheme"]
    counts = taus.assign(tau=taus["tau"].round(4)).groupby([*keys, "tau"], observed=True).size()
    shares = counts / counts.groupby(level=keys, observed=True).transform("sum")
    return shares.rename("share").reset_index()


def _labels(tables: Iterable[Path]) -> pd.DataFrame:
    """Return SUBMISSION_labels.csv of each team's table, one below the other."""
    found = []
    for path in tables:
        submission = path.name.removesuffix("_metrics.csv")
        table = pd.read_csv(path.with_name(f"{submission}_labels.csv"), dtype={"label": str})
        found.append(table.assign(submission=submission))
    return pd.concat(found, ignore_index=True)


def _invented(tables: Iterable[Path]) -> pd.DataFrame:
    """Return the labels that were not asked for, from the scores of each case beside the tables."""
    counts: Counter[tuple[str, str, int]] = Counter()
    mark = f",{INVENTED},"
    for path in tables:
        submission = path.name.removesuffix("_metrics.csv")
        for scores in sorted((path.parent / submission).glob("*.csv")):
            lines = (line for line in read_lines(scores) if mark in line)
            counts.update((submission, scores.stem, int(line.partition(",")[0])) for line in lines)
    rows = [(*key, labels) for key, labels in counts.items()]
    return pd.DataFrame(rows, columns=["submission", "case", "interaction", "labels"])


def failures(results: Results) -> pd.DataFrame:
    """Return the answers that failed, of the first repetition, the best submission's first.

    Columns: submission, case, interaction, status, message.
    """
    calls = results.calls
    failed = calls[(calls["repetition"] == results.protocol["name"]) & ~calls["status"].isin(FINE)]
    order = {name: i for i, name in enumerate(results.names)}
    failed = failed.sort_values(
        ["submission", "case", "interaction"],
        key=lambda column: column.map(order) if column.name == "submission" else column,
        ignore_index=True,
    )
    return failed[["submission", "case", "interaction", "status", "message"]]


def _distinct_names(names: dict[str, str]) -> dict[str, str]:
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
