"""Prepare one case."""

from typing import Any

from segarena.case import write_image, write_truth
from segarena.files import write_json
from segarena.prepare.nifti import prepare_case
from segarena.prepare.slices import slice_case


def main(files: dict[str, Any], outputs: dict[str, str], case: str, values: dict[str, Any]) -> None:
    """Write the image, the truth, and what is to be known about the case."""
    slicing = values.pop("slice")
    volume = values.pop("slice_of") or case
    if "raters" in values:
        values["raters"] = dict(zip(values["raters"], files["raters"], strict=True))
    image, truth, warnings = prepare_case(files["image"], files["label"], case=volume, **values)
    if slicing:
        image, truth = slice_case(image, truth, case=volume, seed=values["seed"], **slicing)
    write_image(outputs["image"], image)
    write_truth(outputs["truth"], truth)
    about = {
        "case": case,
        "image_file": files["image"].name,
        "label_file": files["label"].name,
        "shape": list(image.imgs.shape),
        "spacing_mm": list(image.spacing_mm),
        "labels": truth.ids,  # number, as submissions see it: id, as everybody else does
        "box": image.boxes is not None,
        "warnings": warnings,
    }
    if truth.raters:
        about["raters"] = list(truth.raters)
    write_json(outputs["about"], about)
