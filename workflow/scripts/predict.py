"""Let a submission answer one interaction."""

import signal
import sys
from pathlib import Path
from typing import Any

from segarena.errors import told
from segarena.files import read_json
from segarena.predict.session import answer


def main(
    files: dict[str, Any], outputs: dict[str, str], *, case: str, rules: dict[str, Any]
) -> None:
    """Run the call and write the answer in force after it, the record, and the team's log."""
    signal.signal(signal.SIGTERM, _leave)
    previous = files["previous"]
    answer(
        image=read_json(files["submission"]),
        case=case,
        image_npz=Path(files["image"]),
        said_json=Path(files["said"]),
        previous_npz=Path(previous) if previous else None,
        rules=rules,
        answer_npz=Path(outputs["answer"]),
        record_json=Path(outputs["record"]),
        printed_log=Path(outputs["printed"]),
    )


def _leave(*_: object) -> None:
    """End by an exception, so that the container is removed on the way out."""
    sys.exit(128 + signal.SIGTERM)


if "snakemake" in globals():
    with told(snakemake.log[0]):
        main(
            dict(snakemake.input.items()),
            dict(snakemake.output.items()),
            case=snakemake.wildcards.case,
            rules=snakemake.params["rules"],
        )
