"""Say what the simulated user says at one interaction."""

from typing import Any

from segarena.case import read_answer, read_boxes, read_truth
from segarena.errors import told
from segarena.files import read_json, write_json
from segarena.prompt.user import first_words, say_box, say_clicks


def main(files: dict[str, str], output: str, case: str, k: int, values: dict[str, Any]) -> None:
    """Write everything that has been said up to interaction `k`."""
    truth = read_truth(files["truth"])
    said = read_json(files["said"]) if "said" in files else first_words(truth.labels)
    step = values["step"]
    if step["prompt"] == "box":
        said = say_box(said, read_boxes(files["image"]))
    else:
        segs = read_answer(files["answer"]) if "answer" in files else 0 * truth.gts
        said = say_clicks(said, step, truth.gts, segs, seed=values["seed"])
    head = {
        "case": case,
        "protocol": values["protocol"],
        "version": values["version"],
        "interaction": k,
        "prompt": step["prompt"],
        "seed": values["seed"],
    }
    write_json(output, {**said, **head})


if "snakemake" in globals():
    with told(snakemake.log[0]):
        main(
            dict(snakemake.input.items()),
            snakemake.output[0],
            snakemake.wildcards.case,
            int(snakemake.wildcards.k),
            snakemake.params["values"],
        )
