"""Write down which image the config's base_image is."""

from segarena.errors import log_errors
from segarena.predict.base_image_step import main

with log_errors(snakemake.log[0]):
    main(
        snakemake.output[0],
        runtime=snakemake.params.runtime,
        base_image=snakemake.params.base_image,
    )
