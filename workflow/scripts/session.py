"""Run all interactions of one submission on one case in turn."""

from segarena.errors import log_errors
from segarena.predict import gpu
from segarena.predict.session_step import main

with (
    log_errors(snakemake.log[0]),
    gpu.taken(snakemake.config.get("gpus", 0) if snakemake.resources.gpu else 0),
):
    main(
        dict(snakemake.input.items()),
        list(snakemake.output),
        case=snakemake.wildcards.case,
        steps=snakemake.params.steps,
        values=snakemake.params["values"],
        store=snakemake.config.get("store", "store"),
        session=snakemake.params.session,
    )
