"""Write what the viewer shows of one case: image, truth, and the names of its labels."""

from typing import Any

from segarena.case import read_image, read_truth, spacing_of
from segarena.files import write_json
from segarena.report.orientation import orientation_of
from segarena.report.pictures import convention, own_colours, view_of
from segarena.report.volumes import grid_of, write_image, write_labels


def main(files: dict[str, str], outputs: dict[str, Any], *, labels: dict[str, Any]) -> None:
    """Write the two volumes and the description. labels: names and colours, by id."""
    image = read_image(files["image"])
    truth = read_truth(files["truth"])
    spacing_mm = spacing_of(files["truth"], truth)
    orientation = orientation_of(truth)
    grid = grid_of(
        truth,
        spacing_mm,
        is_placed=orientation.letters is not None,
        channels=3 if image.imgs.ndim == 4 else 1,
    )
    write_image(outputs["image"], grid, image.imgs)
    write_labels(outputs["truth"], grid, [truth.gts])
    colours = {label: about["colour"] for label, about in labels.items() if "colour" in about}
    own = own_colours(truth.ids, colours)
    view = view_of(truth.gts, spacing_mm, own, truth.labels, orientation)
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
        "order": orientation.order,
        "letters": orientation.letters is not None,
        "convention": convention(orientation),
        "left_out": grid.note(),
    }
    write_json(outputs["about"], about)
