"""Let a submission answer one interaction."""

import contextlib
import signal
import sys
from pathlib import Path
from typing import Any

from segarena.files import read_json
from segarena.predict.session import answer
from segarena.predict.store import Store
from segarena.predict.warm import WarmContainer


def main(
    files: dict[str, Any],
    answer_npz: str,
    record_json: str,
    *,
    case: str,
    values: dict[str, Any],
    store: str | None = None,
    warm: WarmContainer | None = None,
) -> dict[str, Any]:
    """Write the answer in force and the record, which is returned; run the call if it must be.

    store: the folder of answers that need not be asked for again. Where the protocol says
    `reuse: never` an answer is only found in its own place. warm: the container of the case, where
    the protocol has one; without it, it is started for this interaction alone.
    """
    signal.signal(signal.SIGTERM, _leave)
    previous = files.get("previous")
    rules = values["rules"]
    alone = rules.get("reuse") == "never"
    with contextlib.ExitStack() as stack:
        return answer(
            image=read_json(files["submission"]),
            case=case,
            image_npz=Path(files["image"]),
            prompts_json=Path(files["prompts"]),
            previous_npz=Path(previous) if previous else None,
            rules=rules,
            answer_npz=Path(answer_npz),
            record_json=Path(record_json),
            store=Store(Path(store)) if store else None,
            with_gpu=values.get("gpu", False),
            origin=(str(Path(answer_npz).absolute()),) if alone else (),
            warm=warm or stack.enter_context(WarmContainer()),
        )


def _leave(*_: object) -> None:
    """End by an exception, so that the container is removed on the way out."""
    sys.exit(128 + signal.SIGTERM)
