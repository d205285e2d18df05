"""Bundle a finished run as one archive."""

from pathlib import Path
from typing import Any

from segarena.archive.bundle import write
from segarena.errors import told


def main(project: Path, results: Path, receipt: Path, values: dict[str, Any]) -> None:
    """Write the archive beside `receipt`, and its name and sha256 into it."""
    print(write(project, results, receipt, values))


if "snakemake" in globals():
    with told(snakemake.log[0]):
        main(
            Path(snakemake.params.project),
            Path("results"),
            Path(snakemake.output[0]),
            snakemake.params["values"],
        )
