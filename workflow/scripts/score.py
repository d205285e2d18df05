"""Score every answer of a submission on one case."""

from segarena.errors import log_errors
from segarena.score.step import main

with log_errors(snakemake.log[0]):
    main(
        dict(snakemake.input.items()),
        snakemake.output[0],
        metrics=snakemake.params.metrics,
        ignore_label=snakemake.params.ignore_label,
        areas=snakemake.params.areas,
        regions=snakemake.params.regions,
        code=snakemake.params.code,
    )
