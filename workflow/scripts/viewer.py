"""Write the viewer's page."""

from pathlib import Path

from segarena.errors import log_errors
from segarena.report.viewer_step import main

with log_errors(snakemake.log[0]):
    main(
        Path(snakemake.output.page).parent,
        protocol=snakemake.wildcards.protocol,
        names=snakemake.params.names,
        cases=snakemake.params.cases,
        interactions=snakemake.params.interactions,
    )
