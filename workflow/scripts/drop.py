"""Remove the answers of one submission that `answers: final` does not keep."""

from pathlib import Path

from segarena.errors import told
from segarena.predict.drop_step import main

with told(snakemake.log[0]):
    main(
        Path("results/predict"),
        snakemake.output[0],
        submission=snakemake.wildcards.submission,
        plays=snakemake.params.plays,
        cases=snakemake.params.cases,
        interactions=snakemake.params.interactions,
        store=snakemake.config.get("store", "store"),
    )
