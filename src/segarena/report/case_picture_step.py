"""Draw one case: its middle slices, the truth's outlines, and where they lie."""

from typing import Any

from segarena.case import read_image, read_truth, spacing_of
from segarena.report.pictures import describe, view_of, write_case, write_truth
from segarena.report.script import write_script


def main(files: dict[str, str], outputs: dict[str, Any], *, case: str) -> None:
    """Write the picture, the layer and the description."""
    image = read_image(files["image"])
    truth = read_truth(files["truth"])
    view = view_of(truth.gts, spacing_of(files["truth"], truth), labels=truth.labels)
    write_case(outputs["image"], view, image)
    write_truth(outputs["truth"], view, truth.gts)
    write_script(outputs["about"], "segarena.picture", [case, describe(view, truth.ids)])
