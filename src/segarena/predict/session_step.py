"""Run all interactions of one submission on one case in turn: the same functions, the same files.

One job instead of two per interaction: each costs half a second, on a cluster seconds of a held
GPU.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from segarena.predict import gpu
from segarena.predict.state import StateLost
from segarena.predict.step import main as predict
from segarena.predict.store import Store
from segarena.predict.warm import WarmContainer
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
    keys = {record["interaction"]: record["key"] for record in records if record["key"]}
    answers.keep_session(session, list(keys.values()))


def run_session(
    files: dict[str, str],
    outputs: list[str],
    *,
    case: str,
    steps: list[dict[str, Any]],
    values: dict[str, Any],
    store: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Do what `main` does, and yield the record of each interaction when its files are there.

    Where the files that an interaction has left are needed and gone, all is asked again from the
    first one on.
    """
    interactions = partial(
        _interactions, files, outputs, case=case, steps=steps, values=values, store=store
    )
    record: dict[str, Any] = {}
    keys = []
    try:
        for record in interactions():
            keys.append(record["key"])
            yield record
    except StateLost:
        if store is None:
            raise
        for key in filter(None, keys):
            Store(Path(store)).forget(key)
        for record in interactions():
            yield record
    if store and record.get("state"):
        Store(Path(store)).drop_state(record["state"])


def _interactions(
    files: dict[str, str],
    outputs: list[str],
    *,
    case: str,
    steps: list[dict[str, Any]],
    values: dict[str, Any],
    store: str | None,
) -> Iterator[dict[str, Any]]:
    before: dict[str, str] = {}
    ask = partial(predict, case=case, values=values, store=store)
    with WarmContainer() as warm:  # it is started where the protocol and the submission have one
        for k, step in enumerate(steps, start=1):
            prompts, answer, record_json = outputs[3 * k - 3 : 3 * k]
            prompt({**files, **before}, prompts, case, k, step)
            called = {**files, "prompts": prompts, "previous": before.get("answer")}
            record = ask(called, answer, record_json, warm=warm)
            before = {"prompts": prompts, "answer": answer}
            yield record
