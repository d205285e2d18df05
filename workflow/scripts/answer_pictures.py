"""Draw what one submission answered on every case."""

from pathlib import Path

from segarena.errors import log_errors
from segarena.report.answer_pictures_step import main

with log_errors(snakemake.log[0]):
    main(
        Path("results"),
        Path(snakemake.output[0]),
        protocol=snakemake.wildcards.protocol,
        submission=snakemake.wildcards.submission,
        cases=snakemake.params.cases,
        interactions=snakemake.params.interactions,
        colours=snakemake.params.colours,
        keep_answers=snakemake.config.get("answers", "all"),
    )
