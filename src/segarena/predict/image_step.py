"""Make a submission ready and write down what it is."""

from pathlib import Path

from segarena.errors import SubmissionError
from segarena.files import read_json, write_json
from segarena.predict.runners import bad_image, ready


def main(
    source: Path,
    output: str,
    *,
    runtime: str,
    base_image: str,
    base: str | None = None,
    sandbox: str = "",
) -> None:
    """Load the submission's image, or look at its folder, and describe it.

    base: the file that says which image base_image is. sandbox: the engine's runtime. A submission
    that cannot be used is a result like any other: its image.json says why, and the run goes on.
    """
    base_id = read_json(base)["image_id"] if base else ""
    try:
        image = ready(
            source, runtime=runtime, base_image=base_image, base_id=base_id, sandbox=sandbox
        )
    except SubmissionError as error:
        image = bad_image(source, str(error))
    write_json(output, image)
