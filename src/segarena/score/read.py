"""Two label maps to compare, from files or arrays, checked before anything is measured."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from segarena.case import Truth, read_answer, read_spacing, read_truth
from segarena.errors import CaseError
from segarena.prepare.nifti import label_maps
from segarena.score.pair import Spacing

Maps = tuple[np.ndarray, np.ndarray, Spacing | None, list[str]]
"""Truth and answer (D, H, W), the spacing (z, y, x) in mm where they know it, and warnings."""


def read_files(truth: Path, answer: Path, *, may_be_empty: bool = False) -> Maps:
    """Read two NIfTI files or pictures, or a truth and an answer as .npz (`gts` and `segs`).

    may_be_empty: whether the truth may be without any label. Raises CaseError with the file and the
    reason.
    """
    as_npz = [path.name.lower().endswith(".npz") for path in (truth, answer)]
    if not any(as_npz):
        return label_maps(truth, answer, may_be_empty=may_be_empty)
    if not all(as_npz):
        raise CaseError(
            f"{answer}: give truth and answer as the same kind of file; `segarena export` writes an"
            " answer of a run as NIfTI"
        )
    known = read_truth(truth)
    gts = check_labels(known.gts, f"{truth}: gts")
    segs = check_labels(read_answer(answer), f"{answer}: segs")
    if not (gts.any() or may_be_empty):
        raise CaseError(f"{truth}: the label map is empty")
    if gts.shape != segs.shape:
        raise CaseError(f"{answer}: its shape {segs.shape} is not the truth's, {gts.shape}")
    return gts, segs, _spacing(truth, known), []


def _spacing(path: Path, truth: Truth) -> Spacing | None:
    """Return the spacing of a truth file: a prepared case's, or a ready-made one's (z, y, x)."""
    if truth.spacing_mm is not None:
        return truth.spacing_mm
    with zipfile.ZipFile(path) as members:
        return read_spacing(path) if "spacing.npy" in members.namelist() else None


def check_labels(labels: Any, name: str) -> np.ndarray:
    """Return a label map (D, H, W) with an integer dtype; a 2D one becomes a single slice.

    Floats that are whole numbers are taken. name: what messages call it. Raises CaseError.
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "iufb":
        raise CaseError(f"{name} is {array.dtype}; a label map holds whole numbers from 0 on")
    if array.ndim not in {2, 3} or not array.size:
        raise CaseError(f"{name} has the shape {array.shape}; (D, H, W), or (H, W), is expected")
    if array.dtype.kind == "f":
        wrong = array[~(array == np.rint(array)) | np.isinf(array)]
        if wrong.size:
            raise CaseError(
                f"{name} is {array.dtype} and holds {wrong[0]:g}; a label map holds whole numbers: "
                "cut probabilities at a threshold, resample labels with nearest neighbour"
            )
    if array.dtype.kind != "b" and not (array.min() >= 0 and array.max() <= 65535):
        raise CaseError(
            f"{name} holds values from {array.min():g} to {array.max():g}; labels are 0 to 65535"
        )
    whole = array.astype(np.uint16) if array.dtype.kind in "fb" else array
    return whole[None] if whole.ndim == 2 else whole


def spacing_for(truth: np.ndarray, spacing_mm: Any) -> Any:
    """Return a spacing with a third number where truth is a 2D map and only two are given."""
    is_flat = np.ndim(truth) == 2 and np.ndim(spacing_mm) == 1
    return (1.0, *spacing_mm) if is_flat and len(spacing_mm) == 2 else spacing_mm
