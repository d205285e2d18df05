"""Draw one case: its middle slices, the truth as a tint per label, and where they are."""

from segarena.errors import log_errors
from segarena.report.case_picture_step import main

with log_errors(snakemake.log[0]):
    main(
        dict(snakemake.input.items()),
        dict(snakemake.output.items()),
        case=snakemake.wildcards.case,
        colours=snakemake.params.colours,
    )
