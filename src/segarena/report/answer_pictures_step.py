"""Draw what one submission answered on every case."""

from pathlib import Path

import numpy as np
from PIL import ImageColor

from segarena.case import read_answer, read_truth, spacing_of
from segarena.files import read_json
from segarena.report.pictures import view_of, write_answers


def main(
    results: Path,
    output: Path,
    *,
    protocol: str,
    submission: str,
    cases: list[str],
    interactions: int,
    keep_answers: str,
    colours: dict[str, str],
) -> None:
    """Write one layer per case under `output`.

    results: the folder that holds prepare/ and the rest. keep_answers: which answers the config
    keeps; with `final` all but the last may be gone. colours: of labels that have their own,
    #rrggbb by id.
    """
    numbers = range(1, interactions + 1)
    for case in cases:
        prepared = results / "prepare" / case
        answers = results / "predict" / protocol / submission / case
        prompts_folder = results / "prompt" / protocol / submission / case
        truth = read_truth(f"{prepared}.truth.npz")
        own = {
            number: ImageColor.getrgb(colours[str(label_id)])[:3]
            for number, label_id in truth.ids.items()
            if str(label_id) in colours
        }
        spacing_mm = spacing_of(f"{prepared}.truth.npz", truth)
        view = view_of(truth.gts, spacing_mm, own, truth.labels)
        write_answers(
            output / f"{case}.png",
            view,
            [
                _answer(
                    answers / f"{k}.npz", may_be_gone=keep_answers == "final" and k < interactions
                )
                for k in numbers
            ],
            [read_json(prompts_folder / f"{k}.json") for k in numbers],
        )


def _answer(path: Path, *, may_be_gone: bool) -> np.ndarray | None:
    return None if may_be_gone and not path.exists() else read_answer(path)
