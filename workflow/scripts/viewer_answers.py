"""Write what the viewer shows of one submission."""

from pathlib import Path

from segarena.errors import log_errors
from segarena.report.viewer_answers_step import main

with log_errors(snakemake.log[0]):
    main(
        Path("results"),
        {name: Path(folder) for name, folder in snakemake.output.items()},
        protocol=snakemake.wildcards.protocol,
        submission=snakemake.wildcards.submission,
        cases=snakemake.params.cases,
        interactions=snakemake.params.interactions,
        keep_answers=snakemake.config.get("answers", "all"),
    )
