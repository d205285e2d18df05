"""List all cases in one table, with the warnings that their preparation gave."""

import csv

from segarena.files import atomic_write, read_json


def main(about_files: list[str], output: str) -> None:
    """Write one line a case."""
    with atomic_write(output) as tmp, tmp.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["case", "shape", "spacing_mm", "labels", "box", "warnings"])
        for about in map(read_json, about_files):
            shape = "x".join(str(n) for n in about["shape"])
            spacing = "x".join(f"{mm:g}" for mm in about["spacing_mm"])
            box = "yes" if about["box"] else "no"
            warnings = "; ".join(about["warnings"])
            table.writerow([about["case"], shape, spacing, len(about["labels"]), box, warnings])
