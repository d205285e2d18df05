"""Lay a case's pictures over each other: the contact sheet to check a run by eye."""

from segarena.errors import log_errors
from segarena.report.sheet_step import main

with log_errors(snakemake.log[0]):
    main(
        dict(snakemake.input.items()),
        snakemake.output[0],
        case=snakemake.wildcards.case,
        labels=snakemake.params.labels,
    )
