"""Draw what one submission answered on every case, and where it is wrong."""

from pathlib import Path

from segarena.case import ignored, read_truth
from segarena.files import read_json
from segarena.report.pictures import write_answers, write_errors
from segarena.report.prepared import answers_of, case_view


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
    for case in cases:
        prepared = results / "prepare" / case
        answers = results / "predict" / protocol / submission / case
        prompts_folder = results / "prompt" / protocol / submission / case
        truth = read_truth(f"{prepared}.truth.npz")
        view = case_view(f"{prepared}.truth.npz", truth, colours)
        segs = answers_of(answers, interactions, keep_answers)
        prompts = [read_json(prompts_folder / f"{k}.json") for k in range(1, interactions + 1)]
        write_answers(outputs["answers"] / f"{case}.png", view, segs, prompts)
        taken_out = ignored(truth, ignore_label)
        write_errors(outputs["errors"] / f"{case}.png", view, truth.gts, segs, taken_out)
