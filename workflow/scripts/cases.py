"""List all cases in one table, with the warnings that their preparation gave."""

from segarena.errors import log_errors
from segarena.prepare.cases_step import main

with log_errors(snakemake.log[0]):
    main(list(snakemake.input.about), snakemake.output[0])
