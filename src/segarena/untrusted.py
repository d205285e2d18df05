"""Text that a stranger wrote: shown on one printable line, and read as JSON or YAML on a budget.

What is small as a file can be huge as a value (a YAML alias stands for all that it names), and what
is huge is read before it can be rejected. So sizes are looked at first, then nodes and depth, and
only then is anything built.
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import yaml

from segarena.errors import ConfigError, EngineError

LONGEST_MESSAGE = 300
LARGEST_YAML_BYTES = 256 << 10
_MOST_NODES, _DEEPEST = 2_000, 20
_LONGEST_NUMBER = 40
_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null")}


def printable(text: object, longest: int = LONGEST_MESSAGE) -> str:
    """Return text as one line that cannot steer a terminal, cut in the middle where it is long."""
    shown = str(text)
    if len(shown) > longest:
        shown = f"{shown[: longest * 2 // 3]} ... {shown[len(shown) - longest // 3 :]}"
    shown = " ".join(shown.split())
    return "".join(c if c.isprintable() else "?" for c in shown)


def json_value(content: bytes) -> Any:
    """Return what JSON text holds; raises ValueError where it is none, or nested too deeply."""
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def yaml_value(text: str, source: str | Path, *, most_nodes: int = _MOST_NODES) -> Any:
    """Return what YAML text holds: text, numbers, true, false, null, lists and maps of them.

    Raises ConfigError where it is not YAML, too large, nested too deeply, or has aliases or tags.
    """
    try:
        _check_budget(text, source, most_nodes)
        return yaml.load(text, Loader=_PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: not readable as YAML: {printable(error)}") from error


def read_yaml(path: Path, name: str) -> Any:
    """Return what a stranger's YAML file holds, as `yaml_value`; name: what messages call it."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_YAML_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {printable(error)}") from error
    return yaml_value(content.decode("utf-8", errors="replace"), name)


def _check_budget(text: str, source: str | Path, most_nodes: int) -> None:
    """Raise ConfigError for more than the budget, or an alias; nothing is built meanwhile."""
    if len(text) > LARGEST_YAML_BYTES:
        raise ConfigError(f"{source}: more than {LARGEST_YAML_BYTES >> 10} KiB of YAML")
    nodes = depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        nodes += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(
                f"{source}: YAML aliases (*{printable(event.anchor, 20)}) are not used"
            )
        if nodes > most_nodes or depth > _DEEPEST:
            raise ConfigError(
                f"{source}: more than {most_nodes} values, or nested more than {_DEEPEST} deep"
            )


class _PlainLoader(yaml.SafeLoader):
    """A loader of plain values alone: no dates, sets, bytes or merged maps, no endless numbers."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.ScalarNode):
            if node.tag not in _TAGS:
                raise yaml.YAMLError(f"{node.tag} is not used here; put text in quotes")
            if not node.tag.endswith(":str") and len(node.value) > _LONGEST_NUMBER:
                raise yaml.YAMLError("a number with very many digits")
        elif not node.tag.endswith((":seq", ":map")):
            raise yaml.YAMLError(f"{node.tag} is not used here")
        return super().construct_object(node, deep)


class CarefulFile(io.BufferedReader):
    """A stranger's file for a parser, which shows whose fault a failure is.

    An OSError while bytes are read is the disk's and becomes an EngineError; any other OSError,
    such as a seek to before the start, comes of what the file says. And nothing larger than
    `most_bytes` is read in one piece, as a zip file's directory is: millions of entries would fill
    the memory.
    """

    def __init__(self, file: int | str | Path, most_bytes: int) -> None:
        super().__init__(_OurDisk(file))
        self.most_bytes = most_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self.most_bytes + 1 if size is None or size < 0 else size
        if wanted > self.most_bytes + 1 or len(content := super().read(wanted)) > self.most_bytes:
            raise zipfile.BadZipFile("its directory of contents is too large")
        return content


def open_binary(path: Path) -> io.BufferedReader:
    """Open a stranger's file; an error of the disk while it is read is ours: an EngineError."""
    return io.BufferedReader(_OurDisk(path))


class _OurDisk(io.FileIO):
    def readinto(self, buffer: Any, /) -> int | None:
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise EngineError(
                f"{self.name}: the disk failed while it was read ({error})"
            ) from error
