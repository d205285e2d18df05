"""Let a submission answer one interaction."""

from segarena.errors import log_errors
from segarena.predict import gpu
from segarena.predict.step import main

with log_errors(snakemake.log[0]), gpu.taken(snakemake.config.get("gpus", 0)):
    main(
        dict(snakemake.input.items()),
        snakemake.output.answer,
        snakemake.output.record,
        case=snakemake.wildcards.case,
        values=snakemake.params["values"],
        store=snakemake.config.get("store", "store"),
    )
