"""Rank the submissions of one protocol, and say how far the ranking can be trusted."""

from pathlib import Path
from typing import Any

import pandas as pd

from segarena.errors import told
from segarena.rank.outputs import rank_scores


def main(
    tables: list[str],
    out: Path,
    *,
    names: dict[str, str],
    groups: dict[str, dict[str, str]],
    protocol: dict[str, Any],
) -> None:
    """Write the leaderboard and every table behind it under `out`.

    names: display name by submission. groups: what the sheet says of each case, by case.
    """
    frames = []
    for path in tables:
        submission = Path(path).name.removesuffix("_metrics.csv")
        name = names[submission]
        frames.append(pd.read_csv(path).assign(submission=submission, name=name))
    scores = pd.concat(frames, ignore_index=True).rename(columns={"CaseName": "case"})
    scores["case"] = scores["case"].str.removesuffix(".npz")
    ranking = protocol["ranking"]
    rank_scores(
        scores,
        out,
        metrics=ranking["metrics"],
        deciding_scheme=ranking["scheme"],
        protocol=protocol["name"],
        protocol_version=protocol["version"],
        seed=protocol["seed"],
        policy=ranking.get("missing", "worst"),
        weights=ranking.get("weights"),
        bootstraps=ranking.get("bootstraps", 1000),
        subgroups=_subgroups(groups),
    )


def _subgroups(groups: dict[str, dict[str, str]]) -> pd.DataFrame | None:
    rows = [
        {"case": case, "subgroup": f"{key}: {value}"}
        for case, said in groups.items()
        for key, value in said.items()
    ]
    return pd.DataFrame(rows) if rows else None


if "snakemake" in globals():
    with told(snakemake.log[0]):
        main(
            list(snakemake.input.tables),
            Path(snakemake.output.leaderboard).parent,
            names=snakemake.params.names,
            groups=snakemake.params.groups,
            protocol=snakemake.params.protocol,
        )
