"""Write what the viewer shows of one submission: its answers and prompts on every case."""

from pathlib import Path

import numpy as np

from segarena.case import read_image, read_truth
from segarena.files import read_json
from segarena.report.prepared import answers_of, case_grid
from segarena.report.volumes import prompts_volume, write_labels


def main(
    results: Path,
    outputs: dict[str, Path],
    *,
    protocol: str,
    submission: str,
    cases: list[str],
    interactions: int,
    keep_answers: str,
) -> None:
    """Write one file per case into each of the folders `answers` and `prompts`.

    results: the folder that holds prepare/ and the rest. keep_answers: which answers the config
    keeps; with `final` all but the last may be gone, and are empty in the viewer.
    """
    numbers = range(1, interactions + 1)
    for case in cases:
        prepared = results / "prepare" / case
        truth = read_truth(f"{prepared}.truth.npz")
        imgs = read_image(f"{prepared}.image.npz").imgs
        grid = case_grid(f"{prepared}.truth.npz", truth, imgs)
        answers = results / "predict" / protocol / submission / case
        found = answers_of(answers, interactions, keep_answers)
        segs = [np.zeros_like(truth.gts) if one is None else one for one in found]
        write_labels(outputs["answers"] / f"{case}.nii.gz", grid, segs)
        folder = results / "prompt" / protocol / submission / case
        prompts = (read_json(folder / f"{k}.json") for k in numbers)
        volumes = [prompts_volume(grid, truth.gts.shape, so_far) for so_far in prompts]
        write_labels(outputs["prompts"] / f"{case}.nii.gz", grid, volumes)
