"""Rank the submissions of one protocol, and say how far the ranking can be trusted."""

from pathlib import Path

from segarena.errors import log_errors
from segarena.rank.step import main

with log_errors(snakemake.log[0]):
    main(
        list(snakemake.input.tables),
        Path(snakemake.output.leaderboard).parent,
        groups=snakemake.params.groups,
        protocol=snakemake.params.protocol,
        left_out=snakemake.params.left_out,
    )
