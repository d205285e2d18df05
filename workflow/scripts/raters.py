"""Score several raters of a case: each against the others, or an answer against each of them."""

from segarena.errors import log_errors
from segarena.score.raters_step import main

with log_errors(snakemake.log[0]):
    main(
        dict(snakemake.input.items()),
        snakemake.output[0],
        metrics=snakemake.params.metrics,
        consensus=snakemake.params.consensus,
        ignore_label=snakemake.params.ignore_label,
    )
