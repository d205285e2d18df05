"""Let a submission answer one interaction."""

from pathlib import Path
from typing import Any

from segarena.errors import told
from segarena.files import read_json
from segarena.predict.session import answer


def main(
    files: dict[str, Any], answer_npz: str, record_json: str, *, case: str, rules: dict[str, Any]
) -> None:
    """Run the call and write the answer in force after it, and the record."""
    previous = files["previous"]
    answer(
        image=read_json(files["submission"]),
        case=case,
        image_npz=Path(files["image"]),
        said_json=Path(files["said"]),
        previous_npz=Path(previous) if previous else None,
        rules=rules,
        answer_npz=Path(answer_npz),
        record_json=Path(record_json),
    )


if "snakemake" in globals():
    with told(snakemake.log[0]):
        main(
            dict(snakemake.input.items()),
            snakemake.output.answer,
            snakemake.output.record,
            case=snakemake.wildcards.case,
            rules=snakemake.params["rules"],
        )
