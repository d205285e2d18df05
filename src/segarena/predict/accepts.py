"""What kinds of prompts a submission can use, as it says itself.

A submission may hold a segarena.yaml, `accepts: [boxes, clicks]`: a folder beside its predict.sh,
an image at /workspace/segarena.yaml. It is then left out of the protocols that say more than that,
and nobody scores it zero for it. A submission without the file takes everything.

It has to be known before any job is planned, so it is read from the archive's layers as they lie in
it, without an engine. Nothing in it is trusted: it is a small YAML file or it is not usable, and
then the submission plays nothing, with that as the reason. An archive that cannot be read at all
says nothing here; the predict stage tells what is wrong with it.
"""

import contextlib
import io
import json
import posixpath
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from segarena.errors import ConfigError, SubmissionError
from segarena.files import remembered
from segarena.predict.image import UNREADABLE, opened_archive
from segarena.protocol import validate

FILE = "segarena.yaml"
NEEDS = {"box": "boxes", "click": "clicks", "scribble": "scribbles", "drawn": "scribbles"}
"""What a protocol's kind of prompt is called in a submission's file."""

_LARGEST = 64 << 10
_CHUNK = 64 << 10
_MOST_BYTES = 200 << 30
"""What an archive and its layers may hold unpacked; one that holds more is not read on."""


def refusal(source: Path, kinds: Collection[str], cache: Path) -> str | None:
    """Return why a submission cannot be told these kinds of prompts, or None where it can.

    kinds: of a protocol's steps. cache: a JSON file, for archives.
    """
    if source.is_dir():
        text = _text_of_folder(source)
    else:
        text = remembered(source, cache, _text_of_archive)
    if text is None:
        return None
    try:
        accepts = accepted(text, FILE)
    except ConfigError as error:
        return " ".join(str(error).split())
    lacking = sorted({NEEDS[kind] for kind in kinds} - set(accepts))
    return f"it does not accept {' and '.join(lacking)} ({FILE})" if lacking else None


def accepted(text: str, source: str | Path) -> list[str]:
    """Return the kinds of prompts that a segarena.yaml names; ConfigError where it is none."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: not readable as YAML") from error
    validate(value, "submission", source)
    return list(value["accepts"])


def _text_of_folder(source: Path) -> str | None:
    path = source / FILE
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return _text(file)


def _text_of_archive(source: Path) -> str | None:
    """Return the text of the file as the image has it, or None: the last layer to say so rules."""
    by_layer: dict[str, str | None] = {}
    links: dict[str, str] = {}
    order: list[str] = []
    try:
        with (
            opened_archive(source) as stream,
            tarfile.open(fileobj=stream, mode="r|") as archive,
        ):
            budget = _Budget(_MOST_BYTES)
            for member in budget.members(archive):
                if member.issym():
                    links[member.name] = _beside(member.name, member.linkname)
                file = archive.extractfile(member) if member.isfile() else None
                if file is None:
                    continue
                if member.name == "manifest.json":
                    order = json.loads(file.read())[0]["Layers"]
                for text in _texts_of_layer(file, budget):
                    by_layer[member.name] = text
    except (*UNREADABLE, SubmissionError):
        return None
    texts = [by_layer[name] for name in (links.get(n, n) for n in order) if name in by_layer]
    return texts[-1] if texts else None


@dataclass
class _Budget:
    """How many bytes may still be unpacked: an archive of megabytes can hold terabytes."""

    left: int

    def members(self, archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
        """Yield the members; raises SubmissionError when they are too large together."""
        for member in archive:
            self.left -= tarfile.BLOCKSIZE + member.size
            if self.left < 0:
                raise SubmissionError("it holds too much")
            yield member


def _texts_of_layer(file: Any, budget: _Budget) -> Iterator[str | None]:
    """Yield the file's text where a layer writes it, None where it takes it away."""
    with (
        contextlib.suppress(tarfile.ReadError),
        tarfile.open(fileobj=io.BufferedReader(file, _CHUNK), mode="r|*") as layer,
    ):
        for member in budget.members(layer):
            path = member.name.removeprefix("./").removeprefix("/")
            if path == f"workspace/{FILE}" and member.isfile():
                content = layer.extractfile(member)
                yield None if content is None else _text(content)
            elif path in {f"workspace/.wh.{FILE}", "workspace/.wh..wh..opq", ".wh.workspace"}:
                yield None


def _text(file: IO[bytes]) -> str:
    return file.read(_LARGEST).decode("utf-8", errors="replace")


def _beside(name: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), link))
