"""Say what the simulated user says at one interaction."""

from segarena.errors import log_errors
from segarena.prompt.step import main

with log_errors(snakemake.log[0]):
    main(
        dict(snakemake.input.items()),
        snakemake.output[0],
        snakemake.wildcards.case,
        int(snakemake.wildcards.k),
        snakemake.params["values"],
    )
