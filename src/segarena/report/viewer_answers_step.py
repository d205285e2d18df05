"""Write what the viewer shows of one submission: its answers and prompts on every case."""

from pathlib import Path

import numpy as np

from segarena.case import read_answer, read_image, read_truth, spacing_of
from segarena.files import read_json
from segarena.report.orientation import orientation_of
from segarena.report.volumes import grid_of, prompts_volume, write_labels


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
        grid = grid_of(
            truth,
            spacing_of(f"{prepared}.truth.npz", truth),
            is_placed=orientation_of(truth).letters is not None,
            channels=3 if imgs.ndim == 4 else 1,
        )
        answers = results / "predict" / protocol / submission / case
        segs = []
        for k in numbers:
            path = answers / f"{k}.npz"
            gone = keep_answers == "final" and k < interactions and not path.exists()
            segs.append(np.zeros_like(truth.gts) if gone else read_answer(path))
        write_labels(outputs["answers"] / f"{case}.nii.gz", grid, segs)
        folder = results / "prompt" / protocol / submission / case
        prompts = (read_json(folder / f"{k}.json") for k in numbers)
        volumes = [prompts_volume(grid, truth.gts.shape, so_far) for so_far in prompts]
        write_labels(outputs["prompts"] / f"{case}.nii.gz", grid, volumes)
