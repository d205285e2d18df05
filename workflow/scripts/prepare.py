"""Prepare one case."""

from pathlib import Path

from segarena.errors import log_errors
from segarena.prepare.step import main

with log_errors(snakemake.log[0]):
    main(
        {
            "image": Path(snakemake.input.image_file),
            "label": Path(snakemake.input.label_file),
            "raters": [Path(path) for path in snakemake.input.get("rater_files", ())],
        },
        dict(snakemake.output.items()),
        snakemake.wildcards.case,
        dict(snakemake.params["values"]),
    )
