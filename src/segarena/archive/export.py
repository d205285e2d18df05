"""An answer as NIfTI, in the grid of the image that it belongs to, for any viewer."""

from pathlib import Path

import nibabel

from segarena.archive.contents import files_under
from segarena.case import read_answer, read_truth
from segarena.errors import ConfigError
from segarena.prepare.nifti import answer_to_nifti


def export(
    results: Path,
    submission: str,
    case: str,
    *,
    out: Path,
    protocol: str | None = None,
    interaction: int | None = None,
) -> Path:
    """Write SUBMISSION_CASE_K.nii.gz into the folder `out` and return its path.

    results: the folder of a run's results. protocol: needed where several were run. interaction:
    the last one unless given. Grid, affine and label ids are those of the case's label map.
    Raises ConfigError where there is no such answer.
    """
    repetitions = sorted(p.parents[1].name for p in results.glob(f"predict/*/{submission}/{case}"))
    if protocol is None and len(repetitions) > 1:
        raise ConfigError(f"{results}: choose one with --protocol: {', '.join(repetitions)}")
    if not repetitions or (protocol is not None and protocol not in repetitions):
        under = f" under {protocol}" if protocol else ""
        raise ConfigError(f"{results}: no answers of {submission} on {case}{under}")
    folder = results / "predict" / (protocol or repetitions[0]) / submission / case
    answers = {int(path.stem): path for path in folder.glob("*.npz") if path.stem.isdecimal()}
    if not answers or (interaction is not None and interaction not in answers):
        there = ", ".join(str(k) for k in sorted(answers)) or "none"
        raise ConfigError(f"{folder}: no answer to interaction {interaction}; there are: {there}")
    k = interaction or max(answers)
    truth = results / "prepare" / f"{case}.truth.npz"
    if not truth.is_file():
        known = ", ".join(p.name for p in files_under(results / "prepare")[:5])
        raise ConfigError(f"{truth}: not there, and it knows grid and label ids (found: {known})")
    path = out / f"{submission}_{case}_{k}.nii.gz"
    out.mkdir(parents=True, exist_ok=True)
    nibabel.save(answer_to_nifti(read_answer(answers[k]), read_truth(truth)), path)
    return path
