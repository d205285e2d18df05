"""Write a submission's table: one row a case, in the reference evaluation's columns."""

from segarena.errors import log_errors
from segarena.score.metrics_step import main

with log_errors(snakemake.log[0]):
    main(
        list(snakemake.input.scores),
        list(snakemake.input.records),
        snakemake.output.table,
        cases=snakemake.params.cases,
        values=snakemake.params["values"],
        labels_output=snakemake.output.labels,
    )
