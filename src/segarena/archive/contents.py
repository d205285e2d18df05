"""What lies in an archive, and where: one list for those who write it and those who check it.

An archive is a project that could be run again: the code, the config and the protocols lie where
they lie in a project, and the results under results/. Two files say what that is: run.json, the
facts of the run, and sha256sums.txt, the digest of every other file.
"""

import json
from pathlib import Path
from typing import Any

from segarena.protocol import Protocol, plays, read_yaml, steps, validate

Facts = dict[str, Any]

FORMAT = 1
FACTS = "run.json"
SUMS = "sha256sums.txt"
CRATE = "ro-crate-metadata.json"
CONFIG = "config/config.yaml"

STEPS = {
    "prepare": "prepare.step",
    "image": "predict.image_step",
    "prompt": "prompt.step",
    "predict": "predict.step",
    "score": "score.step",
    "metrics": "score.metrics_step",
    "rank": "rank.step",
}
"""The module of each rule whose code the facts of a run name by its digest."""


def protocol_file(name: str) -> str:
    """Return where a protocol lies."""
    return f"config/protocols/{name}.yaml"


def read_facts(folder: Path) -> Facts:
    """Return the facts of an archive's folder; raises ConfigError where they break the schema."""
    path = folder / FACTS
    facts = json.loads(path.read_text(encoding="utf-8"))
    validate(facts, "archive", FACTS)
    return facts


def read_protocols(folder: Path, facts: Facts) -> dict[str, Protocol]:
    """Return the archived protocols by name; raises ConfigError where one breaks the schema."""
    protocols = {}
    for name in facts["protocols"]:
        protocol = read_yaml(folder / protocol_file(name))
        validate(protocol, "protocol", protocol_file(name))
        protocols[name] = protocol
    return protocols


def interactions(protocol: Protocol) -> range:
    """Return the numbers of a protocol's interactions, from 1."""
    return range(1, len(steps(protocol)) + 1)


def answered(protocol: Protocol, answers: str) -> list[int]:
    """Return the interactions whose answers are archived; answers: none, final or all."""
    numbers = list(interactions(protocol))
    return {"none": [], "final": numbers[-1:], "all": numbers}[answers]


def players(facts: Facts, protocol: str) -> list[str]:
    """Return the submissions that a protocol was played with."""
    left_out = facts["left_out"].get(protocol, {})
    return [name for name in facts["submissions"] if name not in left_out]


def played(facts: Facts, protocols: dict[str, Protocol]) -> list[tuple[str, str, str]]:
    """Return every (play, submission, case)."""
    return [
        (play, submission, case)
        for name, protocol in protocols.items()
        for play in plays(protocol)
        for submission in players(facts, name)
        for case in facts["cases"]
    ]


def protocol_of(play: str, protocols: dict[str, Protocol]) -> Protocol:
    """Return the protocol of a play."""
    return protocols[play.partition(".")[0]]


def result_files(facts: Facts, protocols: dict[str, Protocol]) -> list[str]:
    """Return every file under results/ whose name follows from the facts; rank and report apart."""
    files = ["prepare/cases.tsv"]
    files += [f"prepare/{case}.json" for case in facts["cases"]]
    files += [f"predict/{submission}/image.json" for submission in facts["submissions"]]
    for name, protocol in protocols.items():
        for play in plays(protocol):
            files += [f"score/{play}/{one}_metrics.csv" for one in players(facts, name)]
    for play, submission, case in played(facts, protocols):
        protocol = protocol_of(play, protocols)
        place = f"{play}/{submission}/{case}"
        files.append(f"score/{place}.csv")
        for k in interactions(protocol):
            files += [f"prompt/{place}/{k}.json", f"predict/{place}/{k}.json"]
        for k in answered(protocol, facts["answers"]):
            files.append(f"predict/{place}/{k}.npz")
    return [f"results/{file}" for file in files]


def drawn_file(case: str) -> str:
    """Return where the scribbles lie that people drew on a case."""
    return f"scribbles/{case}.npz"


def drawn_files(facts: Facts, protocols: dict[str, Protocol]) -> list[str]:
    """Return the files of scribbles that people drew: one a case, where a protocol plays them."""
    played = {step["prompt"] for protocol in protocols.values() for step in protocol["user"]}
    return [drawn_file(case) for case in facts["cases"]] if "drawn" in played else []


def table_files(protocol: str, results: Path) -> list[str]:
    """Return the files of a protocol's ranking, as they lie under `results`."""
    found = files_under(results / "rank" / protocol)
    return [f"results/{path.relative_to(results).as_posix()}" for path in found]


def files_under(folder: Path) -> list[Path]:
    """Return every file under a folder, sorted, but the hidden ones (Snakemake's marks)."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
