"""Write what the viewer shows of one case."""

from segarena.errors import log_errors
from segarena.report.viewer_case_step import main

with log_errors(snakemake.log[0]):
    main(
        dict(snakemake.input.items()),
        dict(snakemake.output.items()),
        labels=snakemake.params.labels,
    )
