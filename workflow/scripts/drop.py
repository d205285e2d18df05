"""Remove the answers of one submission that `answers: final` does not keep."""

from pathlib import Path

from segarena.errors import told
from segarena.files import write_json
from segarena.predict.kept import drop


def main(answers: list[str], output: str) -> None:
    """Remove the answers that are there and write how many and how many bytes went."""
    freed = [drop(Path(answer)) for answer in answers]
    write_json(output, {"answers": sum(size > 0 for size in freed), "bytes": sum(freed)})


if "snakemake" in globals():
    with told(snakemake.log[0]):
        main(snakemake.params.answers, snakemake.output[0])
