"""Lay a case's pictures over each other: the contact sheet to check a run by eye."""

from pathlib import Path
from typing import Any

from segarena.case import read_truth
from segarena.protocol import label_colours
from segarena.report.pictures import convention, shown_colours, write_sheet
from segarena.report.prepared import case_view


def main(files: dict[str, Any], output: str, *, case: str, labels: dict[str, Any]) -> None:
    """Write the sheet of all submissions. labels: names and colours of the protocol, by id."""
    truth = read_truth(files["prepared"])
    view = case_view(files["prepared"], truth, label_colours(labels))
    legend = [
        (f"{truth.ids[label]} {labels.get(str(truth.ids[label]), {}).get('name', '')}", colour)
        for label, colour in shown_colours(view).items()
    ]
    answers = {Path(folder).name: Path(folder) / f"{case}.png" for folder in files["answers"]}
    note = f"tint: ground truth; line: answer; {convention(view.orientation)}"
    write_sheet(output, files["image"], files["truth"], answers, legend, note)
