"""Draw the figures of one protocol and write its page."""

from pathlib import Path

from segarena.errors import log_errors
from segarena.report.step import main

with log_errors(snakemake.log[0]):
    main(
        list(snakemake.input.tables),
        Path("results"),
        protocol=snakemake.params.protocol,
        names=snakemake.params.names,
        groups=snakemake.params.groups,
        public=snakemake.params.public,
        viewer=snakemake.params.viewer,
    )
