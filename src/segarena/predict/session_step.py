"""Play all interactions of one submission on one case in turn: the same functions, the same files.

One job instead of two an interaction: each costs half a second, on a cluster seconds of a held GPU.
"""

from collections.abc import Iterator
from typing import Any

from segarena.predict.step import main as predict
from segarena.prompt.step import main as prompt


def main(
    files: dict[str, str],
    outputs: list[str],
    *,
    case: str,
    steps: list[dict[str, Any]],
    values: dict[str, Any],
) -> None:
    """Prompt, predict, and again; outputs: said, answer and record of each interaction in turn."""
    for _ in play(files, outputs, case=case, steps=steps, values=values):
        pass


def play(
    files: dict[str, str],
    outputs: list[str],
    *,
    case: str,
    steps: list[dict[str, Any]],
    values: dict[str, Any],
) -> Iterator[int]:
    """Do what `main` does, and yield the number of each interaction when its files are there."""
    before: dict[str, str] = {}
    same = dict(enumerate(files.get("same", ()), start=1))
    for k, step in enumerate(steps, start=1):
        said, answer, record = outputs[3 * k - 3 : 3 * k]
        prompt({**files, **before}, said, case, k, step)
        called = {**files, "said": said, "previous": before.get("answer"), "same": same.get(k)}
        predict(called, answer, record, case=case, values=values)
        before = {"said": said, "answer": answer}
        yield k
