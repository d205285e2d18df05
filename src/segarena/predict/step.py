"""Let a submission answer one interaction."""

import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

from segarena.files import read_json
from segarena.predict import gpu, kept
from segarena.predict.session import answer


def main(
    files: dict[str, Any], answer_npz: str, record_json: str, *, case: str, values: dict[str, Any]
) -> None:
    """Run the call and write the answer in force after it, and the record.

    files: `same` is the answer of another repetition in which the same was said so far.
    """
    signal.signal(signal.SIGTERM, _leave)
    previous = files.get("previous")
    image = read_json(files["submission"])
    call = partial(
        answer,
        image=image,
        case=case,
        image_npz=Path(files["image"]),
        said_json=Path(files["said"]),
        previous_npz=Path(previous) if previous else None,
        rules=values["rules"],
        answer_npz=Path(answer_npz),
        record_json=Path(record_json),
    )
    read = [files["image"], files["said"]]
    if previous:
        read += [previous, Path(previous).with_suffix(".json")]
    mark = kept.made_from(image=image, files=read, values=values)
    same = Path(files["same"]) if files.get("same") else None
    kept.once(Path(answer_npz), Path(record_json), mark, call, same=same, gpu=gpu.described())


def _leave(*_: object) -> None:
    """End by an exception, so that the container is removed on the way out."""
    sys.exit(128 + signal.SIGTERM)
