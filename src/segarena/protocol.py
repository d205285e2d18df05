"""Protocols: how the user is simulated and what is measured, as versioned data.

A protocol is the content of config/protocols/NAME.yaml, checked against a strict schema and used as
a plain dict from then on, because that is what Snakemake can compare between runs: each rule is
given only the part it uses, so changing a metric rescores without running a container.
"""

import math
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from segarena.errors import ConfigError
from segarena.untrusted import printable

Protocol = dict[str, Any]
Step = dict[str, Any]

DATA = Path(str(files("segarena"))) / "data"
"""The workflow as it is in the package: links in a checkout, files where it is installed."""
SCHEMAS = DATA / "workflow" / "schemas"
PROTOCOLS = Path("config", "protocols")

PROMPTED = frozenset({"Adherence", "Collateral"})
"""The metrics that need the prompts of a run, not only label maps."""

PROBABLE = frozenset({"Brier", "ECE", "NLL", "AUROC", "RPS"})
"""The metrics that need the probabilities that a submission may answer beside its label map."""

RATED = frozenset({"ConsensusDSC", "CRPS"})
"""The metrics that need the label maps of several raters."""

_MOST_SHOWN = 20


def load(name_or_path: str | Path) -> Protocol:
    """Return a protocol by the path of its YAML file, or by its name.

    A name is looked for in config/protocols of the working directory, then in the package.

    Raises ConfigError with the file, the key and what to write instead.
    """
    path = Path(name_or_path)
    if path.suffix not in {".yaml", ".yml"}:
        own = PROTOCOLS / f"{name_or_path}.yaml"
        path = own if own.is_file() else DATA / own
    if not path.is_file():
        known = {p.stem for place in (PROTOCOLS, DATA / PROTOCOLS) for p in place.glob("*.yaml")}
        raise ConfigError(
            f"protocols: no protocol {str(name_or_path)!r}; known: {', '.join(sorted(known))}"
        )
    protocol = read_yaml(path)
    validate(protocol, "protocol", path)
    if protocol["name"] != path.stem:
        raise ConfigError(f"{path}: name: is {protocol['name']!r}, but the file is {path.name}")
    return protocol


def steps(protocol: Protocol) -> list[Step]:
    """Return what the simulated user says at each interaction; interaction k is element k - 1."""
    return [step for step in protocol["user"] for _ in range(step["times"])]


def repetitions(protocol: Protocol) -> list[str]:
    """Return the names of a protocol's repetitions: NAME, then NAME.2 and so on."""
    name, times = protocol["name"], protocol.get("repeat", 1)
    return [name, *(f"{name}.{repetition}" for repetition in range(2, times + 1))]


def is_drawn(step: Step) -> bool:
    """Return whether prompts of a step differ between repetitions, by chance or by annotator."""
    drawn = step["prompt"] in {"scribble", "drawn"} or step.get("rule") in {
        "random",
        "center",
        "border",
    }
    return drawn or step.get("jitter_px", 0) > 0


def shared(protocol: Protocol) -> int:
    """Return how many interactions are the same in every repetition: those before a drawn one."""
    drawn = [is_drawn(step) for step in steps(protocol)]
    return drawn.index(True) if True in drawn else len(drawn)


def prompt_values(protocol: Protocol, k: int, repetition: int = 0) -> dict[str, Any]:
    """Return what the prompt stage needs at interaction `k` of a repetition; the first is 0."""
    passed = ("version", "seed", "stop_when", "ignore_label")
    values: dict[str, Any] = {"protocol": protocol["name"], "step": steps(protocol)[k - 1]}
    values |= {key: protocol[key] for key in passed if key in protocol}
    return values | ({"repetition": repetition} if repetition and k > shared(protocol) else {})


def wants_areas(protocol: Protocol) -> bool:
    """Return whether the sizes of the labels are needed beside the scores."""
    ruled = any(has_empty_rule(metric) for metric in protocol["metrics"])
    return ruled or "min_area_px" in protocol["series"].get("noc", {})


def expected_labels(protocols: Iterable[Protocol]) -> list[int] | None:
    """Return the ids that a case without foreground is asked for, sorted.

    They are those of the sheet of labels, or of the protocol, and the members of regions. None
    where no protocol says what such a case counts.
    """
    ruling = [one for one in protocols if any(map(counts_empty_truth, one["metrics"]))]
    if not ruling:
        return None
    ids = {
        label
        for protocol in ruling
        for key, about in protocol.get("labels", {}).items()
        for label in about.get("members", [key])
    }
    return sorted({int(label) for label in ids}.difference(ignored_labels(ruling)))


def ignored_labels(protocols: Iterable[Protocol]) -> list[int]:
    """Return the ids that protocols ignore, sorted."""
    return sorted({one["ignore_label"] for one in protocols if "ignore_label" in one})


def counts_empty_truth(metric: Mapping[str, Any]) -> bool:
    """Return whether a protocol's metric says what it counts where the truth has no voxel."""
    rule = metric.get("empty", {})
    return isinstance(rule, str) or "both" in rule or "truth" in rule


def wants_prompts(protocol: Protocol) -> bool:
    """Return whether the prompts are needed beside the answers."""
    return "effort" in protocol["series"] or any(map(needs_prompts, protocol["metrics"]))


def needs_prompts(metric: Mapping[str, Any]) -> bool:
    """Return whether a metric compares an answer with the prompts."""
    return metric["name"] in PROMPTED


def needs_probs(metric: Mapping[str, Any]) -> bool:
    """Return whether a metric compares probabilities with the ground truth."""
    return metric["name"] in PROBABLE or metric.get("volume") == "probs"


def wants_probs(protocol: Mapping[str, Any]) -> bool:
    """Return whether answers are asked for probabilities."""
    return any(map(needs_probs, protocol["metrics"]))


def wants_raters(protocol: Mapping[str, Any]) -> bool:
    """Return whether the label maps of several raters are needed."""
    return any(metric["name"] in RATED for metric in protocol["metrics"])


def of_labels_alone(metric: Mapping[str, Any]) -> bool:
    """Return whether a metric needs no more than two label maps."""
    return not needs_prompts(metric) and not needs_probs(metric) and metric["name"] not in RATED


def has_empty_rule(metric: Mapping[str, Any]) -> bool:
    """Return whether a metric has a rule of its own for labels without voxels."""
    return "empty" in metric or "worst_mm" in metric


def is_per_label(name: str, value: Any) -> bool:
    """Return whether a parameter of a metric has a value per label."""
    return isinstance(value, Mapping) and name not in {"empty", "zero_unless"}


def label_colours(labels: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the colours of a protocol's labels that have their own: #rrggbb by id."""
    return {label: about["colour"] for label, about in labels.items() if "colour" in about}


def labels_named(metrics: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    """Return the labels that metrics have values for, and the first key that names each."""
    named: dict[int, str] = {}
    for position, metric in enumerate(metrics):
        for name, value in metric.items():
            if is_per_label(name, value):
                labels = [int(label) for label in value if str(label).isdecimal()]
                named |= {n: f"metrics.{position}.{name}" for n in labels if n not in named}
    return named


def regions(protocol: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return the ids that each region is the union of, by the region's name."""
    labels = protocol.get("labels", {})
    return {name: about["members"] for name, about in labels.items() if "members" in about}


def read_yaml(path: str | Path) -> Any:
    """Return what a YAML file holds; raises ConfigError where it is not YAML."""
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path}: not readable as YAML: {' '.join(str(error).split())}"
        ) from error


def validate(value: Any, schema: str, path: str | Path) -> None:
    """Check `value` against the schema of this name, such as "protocol".

    Raises ConfigError with a line for each problem: the file, the key and what is expected there.
    Lines and their number are bounded: what is wrong may be a stranger's and of any size.
    """
    found = _validator(schema).iter_errors(value)
    problems = sorted(found, key=lambda e: [str(p) for p in e.absolute_path])
    if problems:
        lines = [
            f"{path}: {printable(_where(p.absolute_path))}: {printable(p.message)}"
            for p in problems[:_MOST_SHOWN]
        ]
        if len(problems) > _MOST_SHOWN:
            lines.append(f"{path}: {len(problems) - _MOST_SHOWN} more problems")
        raise ConfigError("\n".join(lines))


@cache
def _validator(schema: str) -> Any:
    """Return a validator for which NaN and infinity are no numbers, and 1.0 is no integer."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    types = Draft202012Validator.TYPE_CHECKER
    types = types.redefine("integer", lambda _, value: _is_int(value))
    types = types.redefine("number", lambda _, value: _is_int(value) or _is_finite_float(value))
    strict = extend(Draft202012Validator, type_checker=types)
    return strict(read_yaml(SCHEMAS / f"{schema}.schema.yaml"))


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite_float(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _where(keys: Any) -> str:
    return ".".join(str(key) for key in keys) or "top level"
