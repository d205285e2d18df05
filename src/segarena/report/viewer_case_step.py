"""Write what the viewer shows of one case: image, truth, and the names of its labels."""

from typing import Any

from segarena.case import read_image, read_truth
from segarena.files import write_json
from segarena.protocol import label_colours
from segarena.report.pictures import convention
from segarena.report.prepared import case_grid, case_view
from segarena.report.volumes import write_image, write_labels


def main(files: dict[str, str], outputs: dict[str, Any], *, labels: dict[str, Any]) -> None:
    """Write the two volumes and the description. labels: names and colours, by id."""
    image = read_image(files["image"])
    truth = read_truth(files["truth"])
    grid = case_grid(files["truth"], truth, image.imgs)
    write_image(outputs["image"], grid, image.imgs)
    write_labels(outputs["truth"], grid, [truth.gts])
    view = case_view(files["truth"], truth, label_colours(labels))
    about = {
        "labels": [
            {
                "label": label,
                "id": truth.ids[label],
                "name": labels.get(str(truth.ids[label]), {}).get("name", ""),
                "colour": view.palette[place],
            }
            for label, place in view.colours.items()
        ],
        "plane": view.planes[0].axis if len(view.planes) == 1 else None,
        "shape": list(truth.gts.shape),
        "order": view.orientation.order,
        "letters": view.orientation.letters is not None,
        "convention": convention(view.orientation),
        "left_out": grid.note(),
    }
    write_json(outputs["about"], about)
