"""The same question again: does a submission answer the same?"""

from functools import partial
from pathlib import Path
from typing import Any

from segarena.check.judge import FAILED, LOG_LINES, PASSED, WARNING, Finding
from segarena.check.sessions import Call, ask_again
from segarena.protocol import Protocol

OTHER_NAME = "renamed-x7"
_CALLS = 2


def behaviour(
    folder: Path, calls: list[Call], image: dict[str, Any], protocol: Protocol, *, gpu: bool
) -> list[Finding]:
    """Ask the first calls of a case again, after all others and under another name.

    folder: a new one for the answers. calls: of the whole check.
    """
    name = calls[0]["case"]
    good = (call for call in calls if call["case"] == name and call["status"] == "ok")
    # What was asked after an answer that we made perfect cannot be asked again.
    first = [call for call in good if not call["perfect_label"]][:_CALLS]
    if not first:
        return []
    known = [call["answer_sha256"] for call in first]
    ask = partial(ask_again, calls=first, image=image, protocol=protocol, gpu=gpu)
    later = ask(folder / "later", name)
    if later != known:
        if ask(folder / "third", name) != later:
            cure = "set all seeds, or know that scores differ from run to run"
            detail = "the same input gives another answer each time"
            return [Finding("deterministic", WARNING, detail, cure)]
        cure = "keep nothing between cases: no file beside the code, nothing in a cache"
        detail = "the same input gives another answer after other cases"
        return [Finding("order of the cases", WARNING, detail, cure)]
    found = [Finding("deterministic", PASSED, "the same input gives the same answer, also later")]
    if ask(folder / "renamed", OTHER_NAME) != known:
        detail = f"another answer where the file is called {OTHER_NAME}.npz"
        cure = "use the file's name for the answer's name alone: names differ in the challenge"
        return [*found, Finding("name of the case", WARNING, detail, cure)]
    return [*found, Finding("name of the case", PASSED, "the file's name makes no difference")]


def compared(calls: list[Call], others: list[Call], container: str) -> Finding:
    """Say whether a submission that can stay answers the same with the other kind of container.

    calls: of the usual kind. others: of some of the same cases, of the other kind.
    """
    what = f"container: {container}"
    known = {(call["case"], call["interaction"]): call for call in calls}
    for call in others:
        if call["status"] not in {"ok", "not_asked"}:
            log = call["printed"].splitlines()[-LOG_LINES:]
            where = f"{call['case']}, interaction {call['interaction']}"
            return Finding(what, FAILED, f"{where}: {call['message']}", "see its log", log)
    pairs = [(known[call["case"], call["interaction"]], call) for call in others]
    differ = sum(one["answer_sha256"] != other["answer_sha256"] for one, other in pairs)
    starts = [call["start_seconds"] for pair in pairs for call in pair if call.get("start_seconds")]
    ready = f"ready after {max(starts):.1f} s at most" if starts else "never started"
    if differ:
        detail = f"{differ} of {len(pairs)} answers differ from those of the other kind; {ready}"
        return Finding(what, WARNING, detail, "keep nothing that changes an answer")
    return Finding(what, PASSED, f"the answers are the same; {ready}")
