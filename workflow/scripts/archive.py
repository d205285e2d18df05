"""Bundle a finished run as one archive."""

from pathlib import Path

from segarena.archive.step import main
from segarena.errors import log_errors

with log_errors(snakemake.log[0]):
    main(
        Path(snakemake.params.project),
        Path("results"),
        Path(snakemake.output[0]),
        snakemake.params["values"],
    )
