"""Make a submission ready and write down what it is."""

from pathlib import Path

from segarena.errors import told
from segarena.files import write_json
from segarena.predict.runners import ready


def main(source: Path, output: str, *, runtime: str, base_image: str) -> None:
    """Load the submission's image, or look at its folder, and describe it."""
    write_json(output, ready(source, runtime=runtime, base_image=base_image))


if "snakemake" in globals():
    with told(snakemake.log[0]):
        main(
            Path(snakemake.input.source),
            snakemake.output[0],
            runtime=snakemake.params.runtime,
            base_image=snakemake.params.base_image,
        )
