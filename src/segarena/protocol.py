"""Protocols: how the user is played and what is measured, as versioned data.

A protocol is the content of config/protocols/NAME.yaml, checked against a strict schema and used as
a plain dict from then on, because that is what Snakemake can compare between runs: each rule is
given only the part it uses, so changing a metric rescores without running a container.
"""

from pathlib import Path
from typing import Any

import yaml

from segarena.errors import ConfigError

Protocol = dict[str, Any]
Step = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "workflow" / "schemas"


def load(name_or_path: str | Path) -> Protocol:
    """Return a protocol by its name in config/protocols, or by the path of its YAML file.

    Raises ConfigError with the file, the key and what to write instead.
    """
    path = Path(name_or_path)
    if path.suffix not in {".yaml", ".yml"}:
        path = ROOT / "config" / "protocols" / f"{name_or_path}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in (ROOT / "config" / "protocols").glob("*.yaml")))
        raise ConfigError(f"protocols: no protocol {str(name_or_path)!r}; known: {known}")
    protocol = read_yaml(path)
    validate(protocol, "protocol", path)
    if protocol["name"] != path.stem:
        raise ConfigError(f"{path}: name: is {protocol['name']!r}, but the file is {path.name}")
    return protocol


def steps(protocol: Protocol) -> list[Step]:
    """Return what the simulated user says at each interaction; interaction k is element k - 1."""
    return [step for step in protocol["user"] for _ in range(step["times"])]


def read_yaml(path: str | Path) -> Any:
    """Return what a YAML file holds; raises ConfigError where it is not YAML."""
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path}: not readable as YAML: {' '.join(str(error).split())}"
        ) from error


def validate(value: Any, schema: str, path: str | Path) -> None:
    """Check `value` against workflow/schemas/`schema`.schema.yaml.

    Raises ConfigError with a line for each problem: the file, the key and what is expected there.
    """
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(read_yaml(SCHEMAS / f"{schema}.schema.yaml"))
    problems = sorted(validator.iter_errors(value), key=lambda e: [str(p) for p in e.absolute_path])
    if problems:
        lines = (f"{path}: {_where(p.absolute_path)}: {p.message}" for p in problems)
        raise ConfigError("\n".join(lines))


def _where(keys: Any) -> str:
    return ".".join(str(key) for key in keys) or "top level"
