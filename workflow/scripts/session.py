"""Play all interactions of one submission on one case in turn: the same functions, the same files.

One job instead of two an interaction: each costs half a second, on a cluster seconds of a held GPU.
"""

from typing import Any

from predict import main as predict
from prompt import main as prompt

from segarena.errors import told
from segarena.predict import gpu


def main(
    files: dict[str, str],
    outputs: list[str],
    *,
    case: str,
    steps: list[dict[str, Any]],
    values: dict[str, Any],
) -> None:
    """Prompt, predict, and again; outputs: said, answer and record of each interaction in turn."""
    before: dict[str, str] = {}
    same = dict(enumerate(files.get("same", ()), start=1))
    for k, step in enumerate(steps, start=1):
        said, answer, record = outputs[3 * k - 3 : 3 * k]
        prompt({**files, **before}, said, case, k, step)
        called = {**files, "said": said, "previous": before.get("answer"), "same": same.get(k)}
        predict(called, answer, record, case=case, values=values)
        before = {"said": said, "answer": answer}


if "snakemake" in globals():
    with told(snakemake.log[0]), gpu.taken(snakemake.config.get("gpus", 0)):
        main(
            dict(snakemake.input.items()),
            list(snakemake.output),
            case=snakemake.wildcards.case,
            steps=snakemake.params.steps,
            values=snakemake.params["values"],
        )
