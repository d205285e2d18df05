"""Draw the contact sheet of one case."""

from typing import Any

from segarena.case import read_answer, read_image, read_truth
from segarena.errors import told
from segarena.files import read_json
from segarena.report.sheet import draw


def main(files: dict[str, Any], output: str, *, case: str, submissions: list[str]) -> None:
    """Read what each submission was told and answered, and draw it."""
    each = len(files["answers"]) // len(submissions)
    answers = {
        name: [read_answer(path) for path in files["answers"][i * each : (i + 1) * each]]
        for i, name in enumerate(submissions)
    }
    said = {
        name: [read_json(path) for path in files["said"][i * each : (i + 1) * each]]
        for i, name in enumerate(submissions)
    }
    draw(
        output,
        case=case,
        image=read_image(files["image"]),
        gts=read_truth(files["truth"]).gts,
        answers=answers,
        said=said,
    )


if "snakemake" in globals():
    with told(snakemake.log[0]):
        main(
            dict(snakemake.input.items()),
            snakemake.output[0],
            case=snakemake.wildcards.case,
            submissions=snakemake.params.submissions,
        )
