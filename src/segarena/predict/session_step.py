"""Run all interactions of one submission on one case in turn: the same functions, the same files.

One job instead of two per interaction: each costs half a second, on a cluster seconds of a held
GPU.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segarena.predict import gpu
from segarena.predict.step import main as predict
from segarena.predict.store import Store
from segarena.prompt.step import main as prompt


def main(
    files: dict[str, str],
    outputs: list[str],
    *,
    case: str,
    steps: list[dict[str, Any]],
    values: dict[str, Any],
    store: str,
    session: str,
) -> None:
    """Prompt, predict, and again; outputs: prompts, answer and record of each interaction in turn.

    store: see `segarena.predict.step`. session: the digest under which the store notes all answers
    of a session, so that the next run knows without a plan that it needs no device for them.
    """
    answers = Store(Path(store))
    if values["gpu"] and not gpu.assigned():
        answers.forget_session(session)  # noted again below, if all answers are still there
    records = run_session(files, outputs, case=case, steps=steps, values=values, store=store)
    answers.keep_session(session, [record["key"] for record in records if record["key"]])


def run_session(
    files: dict[str, str],
    outputs: list[str],
    *,
    case: str,
    steps: list[dict[str, Any]],
    values: dict[str, Any],
    store: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Do what `main` does, and yield the record of each interaction when its files are there."""
    before: dict[str, str] = {}
    for k, step in enumerate(steps, start=1):
        prompts, answer, record_json = outputs[3 * k - 3 : 3 * k]
        prompt({**files, **before}, prompts, case, k, step)
        called = {**files, "prompts": prompts, "previous": before.get("answer")}
        record = predict(called, answer, record_json, case=case, values=values, store=store)
        before = {"prompts": prompts, "answer": answer}
        yield record
