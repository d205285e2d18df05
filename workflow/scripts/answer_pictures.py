"""Draw what one submission answered on every case, and where it is wrong."""

from pathlib import Path

from segarena.errors import log_errors
from segarena.report.answer_pictures_step import main

with log_errors(snakemake.log[0]):
    main(
        Path("results"),
        {name: Path(folder) for name, folder in snakemake.output.items()},
        protocol=snakemake.wildcards.protocol,
        submission=snakemake.wildcards.submission,
        cases=snakemake.params.cases,
        interactions=snakemake.params.interactions,
        colours=snakemake.params.colours,
        ignore_label=snakemake.params.ignore_label,
        keep_answers=snakemake.config.get("answers", "all"),
    )
