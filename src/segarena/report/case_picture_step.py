"""Draw one case: its middle slices, the truth as a tint per label, and where they are."""

from typing import Any

from segarena.case import read_image, read_truth
from segarena.report.pictures import describe, write_case, write_truth
from segarena.report.prepared import case_view
from segarena.report.script import write_script


def main(
    files: dict[str, str], outputs: dict[str, Any], *, case: str, colours: dict[str, str]
) -> None:
    """Write the picture, the layer and the description.

    colours: of labels that have their own, #rrggbb by id.
    """
    image = read_image(files["image"])
    truth = read_truth(files["truth"])
    view = case_view(files["truth"], truth, colours)
    write_case(outputs["image"], view, image)
    write_truth(outputs["truth"], view, truth.gts)
    write_script(outputs["about"], "segarena.picture", [case, describe(view, truth.ids)])
