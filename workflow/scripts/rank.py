"""Rank the submissions of one protocol, with all that says how far the ranking can be trusted."""

from pathlib import Path
from typing import Any

import pandas as pd

from segarena.errors import told
from segarena.rank.outputs import rank_scores
from segarena.rank.tables import about, write_table


def main(
    tables: list[str],
    leaderboard: str,
    *,
    names: dict[str, str],
    groups: list[tuple[str, str]],
    protocol: dict[str, Any],
) -> None:
    """Write the leaderboard and its tables. groups: (case, "column: value") pairs."""
    frames = []
    for path in tables:
        submission = Path(path).name.removesuffix("_metrics.csv")
        frames.append(pd.read_csv(path).assign(submission=submission))
    scores = pd.concat(frames, ignore_index=True)
    scores["case"] = scores["CaseName"].str.removesuffix(".npz")
    out = Path(leaderboard).parent
    board = rank_scores(
        scores,
        out,
        metrics=protocol["ranking"]["metrics"],
        deciding_scheme=protocol["ranking"]["scheme"],
        protocol=protocol["name"],
        protocol_version=protocol["version"],
        seed=protocol["seed"],
        subgroups=pd.DataFrame(groups, columns=["case", "subgroup"]),
    )
    board.insert(2, "name", board["submission"].map(names))
    facts = about(protocol=protocol["name"], protocol_version=protocol["version"])
    write_table(board, out / "leaderboard", facts)


if "snakemake" in globals():
    with told(snakemake.log[0]):
        main(
            list(snakemake.input.tables),
            snakemake.output.leaderboard,
            names=snakemake.params.names,
            groups=snakemake.params.groups,
            protocol=snakemake.params.protocol,
        )
