"""Lay a case's pictures over each other: the contact sheet to check a run by eye."""

from pathlib import Path
from typing import Any

from segarena.report.pictures import write_sheet


def main(files: dict[str, Any], output: str, *, case: str) -> None:
    """Write the sheet of all submissions."""
    answers = {Path(folder).name: Path(folder) / f"{case}.png" for folder in files["answers"]}
    write_sheet(output, files["image"], files["truth"], answers)
