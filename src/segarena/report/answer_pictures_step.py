"""Draw what one submission answered on every case, and where it is wrong."""

from pathlib import Path

import numpy as np

from segarena.case import ignored, read_answer, read_truth, spacing_of
from segarena.files import read_json
from segarena.report.orientation import orientation_of
from segarena.report.pictures import own_colours, view_of, write_answers, write_errors


def main(
    results: Path,
    outputs: dict[str, Path],
    *,
    protocol: str,
    submission: str,
    cases: list[str],
    interactions: int,
    keep_answers: str,
    colours: dict[str, str],
    ignore_label: int | None = None,
) -> None:
    """Write one layer per case into each of the folders `answers` and `errors`.

    results: the folder that holds prepare/ and the rest. keep_answers: which answers the config
    keeps; with `final` all but the last may be gone. colours: of labels that have their own,
    #rrggbb by id. ignore_label: the id that the protocol takes out.
    """
    numbers = range(1, interactions + 1)
    for case in cases:
        prepared = results / "prepare" / case
        answers = results / "predict" / protocol / submission / case
        prompts_folder = results / "prompt" / protocol / submission / case
        truth = read_truth(f"{prepared}.truth.npz")
        view = view_of(
            truth.gts,
            spacing_of(f"{prepared}.truth.npz", truth),
            own_colours(truth.ids, colours),
            truth.labels,
            orientation_of(truth),
        )
        segs = [
            _answer(answers / f"{k}.npz", may_be_gone=keep_answers == "final" and k < interactions)
            for k in numbers
        ]
        prompts = [read_json(prompts_folder / f"{k}.json") for k in numbers]
        write_answers(outputs["answers"] / f"{case}.png", view, segs, prompts)
        taken_out = ignored(truth, ignore_label)
        write_errors(outputs["errors"] / f"{case}.png", view, truth.gts, segs, taken_out)


def _answer(path: Path, *, may_be_gone: bool) -> np.ndarray | None:
    return None if may_be_gone and not path.exists() else read_answer(path)
