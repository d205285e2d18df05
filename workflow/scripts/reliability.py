"""The numbers of a reliability diagram: how often a label is there, by its probability."""

from segarena.errors import log_errors
from segarena.score.reliability_step import main

with log_errors(snakemake.log[0]):
    main(
        list(snakemake.input.truths),
        list(snakemake.input.answers),
        snakemake.output[0],
        ignore_label=snakemake.params.ignore_label,
    )
