"""Lay a case's pictures over each other: the contact sheet to check a run by eye."""

from pathlib import Path
from typing import Any

from segarena.case import read_truth, spacing_of
from segarena.report.orientation import orientation_of
from segarena.report.pictures import convention, own_colours, shown_colours, view_of, write_sheet


def main(files: dict[str, Any], output: str, *, case: str, labels: dict[str, Any]) -> None:
    """Write the sheet of all submissions. labels: names and colours of the protocol, by id."""
    truth = read_truth(files["prepared"])
    orientation = orientation_of(truth)
    colours = {label: about["colour"] for label, about in labels.items() if "colour" in about}
    own = own_colours(truth.ids, colours)
    spacing_mm = spacing_of(files["prepared"], truth)
    view = view_of(truth.gts, spacing_mm, own, truth.labels, orientation)
    legend = [
        (f"{truth.ids[label]} {labels.get(str(truth.ids[label]), {}).get('name', '')}", colour)
        for label, colour in shown_colours(view).items()
    ]
    answers = {Path(folder).name: Path(folder) / f"{case}.png" for folder in files["answers"]}
    note = f"tint: ground truth; line: answer; {convention(orientation)}"
    write_sheet(output, files["image"], files["truth"], answers, legend, note)
