"""Summarise what submissions reach against each rater, and the raters against each other."""

from segarena.errors import log_errors
from segarena.score.raters_table_step import main

with log_errors(snakemake.log[0]):
    main(list(snakemake.input), snakemake.output[0])
