"""Make a submission ready and write down what it is."""

from pathlib import Path

from segarena.errors import log_errors
from segarena.predict.image_step import main

with log_errors(snakemake.log[0]):
    main(
        Path(snakemake.input.source),
        snakemake.output[0],
        runtime=snakemake.params.runtime,
        base_image=snakemake.params.base_image,
        base=snakemake.input.get("base"),
        sandbox=snakemake.params.sandbox,
    )
