"""Remove the answers of one submission that `answers: final` does not keep."""

from pathlib import Path

from segarena.errors import log_errors
from segarena.predict.drop_step import main

with log_errors(snakemake.log[0]):
    main(
        Path("results/predict"),
        snakemake.output[0],
        submission=snakemake.wildcards.submission,
        repetitions=snakemake.params.repetitions,
        cases=snakemake.params.cases,
        interactions=snakemake.params.interactions,
        store=snakemake.config.get("store", "store"),
    )
