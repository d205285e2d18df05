"""Rank the submissions of one protocol."""

from pathlib import Path
from typing import Any

import pandas as pd

from segarena.errors import told
from segarena.files import whole
from segarena.rank.leaderboard import leaderboard


def main(tables: list[str], output: str, *, names: dict[str, str], ranking: dict[str, Any]) -> None:
    """Write the leaderboard."""
    frames = []
    for path in tables:
        submission = Path(path).name.removesuffix("_metrics.csv")
        frames.append(pd.read_csv(path).assign(submission=submission))
    scores = pd.concat(frames, ignore_index=True).rename(columns={"CaseName": "case"})
    board = leaderboard(scores, metrics=ranking["metrics"], deciding_scheme=ranking["scheme"])
    board.insert(2, "name", board["submission"].map(names))
    with whole(output) as aside:
        board.to_csv(aside, index=False)


if "snakemake" in globals():
    with told(snakemake.log[0]):
        main(
            list(snakemake.input.tables),
            snakemake.output[0],
            names=snakemake.params.names,
            ranking=snakemake.params.ranking,
        )
