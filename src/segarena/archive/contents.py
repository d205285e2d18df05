"""What is in an archive, and where: one list for those who write it and those who check it.

An archive is a project that could be run again: the code, the config and the protocols lie where
they lie in a project, and the results under results/. Two files say what that is: run.json, the
facts of the run, and sha256sums.txt, the digest of every other file.
"""

from pathlib import Path
from typing import Any

from segarena.errors import ConfigError
from segarena.protocol import Protocol, repetitions, steps, validate
from segarena.untrusted import json_value, printable, read_yaml

Facts = dict[str, Any]

FORMAT = 1
FACTS = "run.json"
SUMS = "sha256sums.txt"
CRATE = "ro-crate-metadata.json"
CONFIG = "config/config.yaml"

PROJECT = (
    "CITATION.cff",
    "LICENSE",
    "README.md",
    "Snakefile",
    "envs",
    "profiles/default",
    "pyproject.toml",
    "requirements.lock",
    "src/segarena",
    "workflow",
)
"""The project's own files and folders that an archive has."""

SHOWS_TRUTH, SHOWS_ANSWERS, ERRORS = ("cases", "sheets"), "answers", "errors"
"""Folders of a report (results/report/PROTOCOL/) whose pictures draw the truth, the answers, or
where they differ."""

VIEWER = "viewer"
"""The folder of a report with whole volumes."""

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
    """Return where a protocol is."""
    return f"config/protocols/{name}.yaml"


def read_facts(folder: Path) -> Facts:
    """Return the facts of an archive's folder; raises ConfigError where they break the schema."""
    facts = read_stranger_json(folder / FACTS, "archive", FACTS)
    return dict(facts)


def read_config(folder: Path) -> dict[str, Any]:
    """Return an archive's config; raises ConfigError where it breaks the schema."""
    config = read_yaml(folder / CONFIG, CONFIG)
    validate(config, "config", CONFIG)
    return dict(config)


def read_stranger_json(path: Path, schema: str, name: str) -> Any:
    """Return what a JSON file of an archive holds, checked against a schema.

    Raises ConfigError where it cannot be read or breaks the schema; name: what messages call it.
    """
    try:
        value = json_value(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name}: cannot be read: {printable(error)}") from error
    validate(value, schema, name)
    return value


def read_protocols(folder: Path, facts: Facts) -> dict[str, Protocol]:
    """Return the archived protocols by name; raises ConfigError where one breaks the schema."""
    protocols = {}
    for name in facts["protocols"]:
        protocol = read_yaml(folder / protocol_file(name), protocol_file(name))
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


def eligible_submissions(facts: Facts, protocol: str) -> list[str]:
    """Return the submissions that were run with a protocol."""
    left_out = facts["left_out"].get(protocol, {})
    return [name for name in facts["submissions"] if name not in left_out]


def sessions(facts: Facts, protocols: dict[str, Protocol]) -> list[tuple[str, str, str]]:
    """Return every (repetition, submission, case)."""
    return [
        (repetition, submission, case)
        for name, protocol in protocols.items()
        for repetition in repetitions(protocol)
        for submission in eligible_submissions(facts, name)
        for case in facts["cases"]
    ]


def protocol_of(repetition: str, protocols: dict[str, Protocol]) -> Protocol:
    """Return the protocol of a repetition."""
    return protocols[repetition.partition(".")[0]]


def result_files(facts: Facts, protocols: dict[str, Protocol]) -> list[str]:
    """Return every file under results/ whose name follows from the facts; rank and report apart."""
    files = ["prepare/cases.tsv"]
    files += [f"prepare/{case}.json" for case in facts["cases"]]
    files += [f"predict/{submission}/image.json" for submission in facts["submissions"]]
    for name, protocol in protocols.items():
        for repetition in repetitions(protocol):
            for one in eligible_submissions(facts, name):
                files += [f"score/{repetition}/{one}_{kind}.csv" for kind in ("metrics", "labels")]
    for repetition, submission, case in sessions(facts, protocols):
        protocol = protocol_of(repetition, protocols)
        place = f"{repetition}/{submission}/{case}"
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
    """Return the files of scribbles that people drew: one per case, where a protocol uses them."""
    kinds = {step["prompt"] for protocol in protocols.values() for step in protocol["user"]}
    return [drawn_file(case) for case in facts["cases"]] if "drawn" in kinds else []


def table_files(protocol: str, results: Path) -> list[str]:
    """Return the files of a protocol's ranking, as they lie under `results`."""
    found = files_under(results / "rank" / protocol)
    return [f"results/{path.relative_to(results).as_posix()}" for path in found]


def report_files(facts: Facts, protocol: str, results: Path) -> list[str]:
    """Return the files of a protocol's report that may be archived, as they are under `results`.

    Those that draw the ground truth may not; answers are those of the archive's own submissions
    and cases, whatever else is still there, and none where no answers are archived.
    """
    found = files_under(results / "report" / protocol)
    names = [path.relative_to(results).as_posix() for path in found]
    return [f"results/{name}" for name in names if _may_report(name, facts)]


def _may_report(name: str, facts: Facts) -> bool:
    """Return whether report/PROTOCOL/... follows from the facts and does not show the truth."""
    _, protocol, kind, *rest = Path(name).parts
    if kind in {*SHOWS_TRUTH, ERRORS}:
        return False
    if kind == VIEWER:  # its page says that the volumes are not there
        return rest == ["index.html"]
    if kind != SHOWS_ANSWERS:
        return True
    drawn = len(rest) == 2 and rest[0] in eligible_submissions(facts, protocol)
    return drawn and Path(rest[1]).stem in facts["cases"] and facts["answers"] != "none"


def has_place(name: str, facts: Facts) -> bool:
    """Return whether a file of an archive may be there, by its name and the facts.

    Of the stages whose files have names of their own `result_files` and `drawn_files` tell more.
    """
    first, *rest = Path(name).parts
    if first in {FACTS, SUMS, CRATE}:
        return not rest
    if first in {"config", "sheets", "scribbles"}:
        known = {CONFIG, *map(protocol_file, facts["protocols"])}
        return name in known or (first != "config" and len(rest) == 1)
    if first != "results":
        return is_code(name)
    stage, *rest = rest
    if stage == "report":
        return (
            len(rest) > 1
            and rest[0] in facts["protocols"]
            and _may_report(name.removeprefix("results/"), facts)
        )
    if stage == "rank":
        return len(rest) > 1 and rest[0] in facts["protocols"]
    return stage in {"prepare", "prompt", "predict", "score"}


def is_code(name: str) -> bool:
    """Return whether a file is part of the project as it is archived: no caches, no left-overs."""
    path = Path(name)
    listed = any(name == part or name.startswith(f"{part}/") for part in PROJECT)
    made = path.suffix in {".pyc", ".nbi", ".nbc"} or "__pycache__" in path.parts
    return listed and not made and not any(part.startswith(".") for part in path.parts)


def files_under(folder: Path) -> list[Path]:
    """Return every file under a folder, sorted, but the hidden ones (Snakemake's marks)."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
