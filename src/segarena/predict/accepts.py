"""What kinds of prompts a submission can use, as it says itself.

A submission may hold a segarena.yaml, `accepts: [boxes, clicks]`: a folder beside its predict.sh,
an image at /workspace/segarena.yaml. It is then left out of the protocols that say more than that,
and nobody scores it zero for it. A submission without the file takes everything.

It has to be known before any job is planned, so it is read from the archive's layers as they lie in
it, without an engine. Nothing in it is trusted: it is a small YAML file or it is not usable, and
then the submission is not run, with that as the reason. An archive that cannot be read at all
is no reason here; the predict stage reports what is wrong with it.
"""

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

from segarena.errors import ConfigError, SubmissionError
from segarena.files import remembered
from segarena.predict.image import (
    UNREADABLE,
    architecture,
    budget_of,
    decompressed,
    is_json,
    json_of,
    link_target,
    open_archive,
    parts,
)
from segarena.predict.manifest import image_in
from segarena.predict.tarball import Budget, NoTar, members
from segarena.protocol import validate
from segarena.untrusted import yaml_value

FILE = "segarena.yaml"
NEEDS = {"box": "boxes", "click": "clicks", "scribble": "scribbles", "drawn": "scribbles"}
"""What a protocol's kind of prompt is called in a submission's file."""

_LARGEST = 64 << 10
_MOST_VALUES = 200


def refusal(source: Path, kinds: Collection[str], cache: Path) -> str | None:
    """Return why a submission cannot use these kinds of prompts, or None where it can.

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
    if len(text) > _LARGEST:
        raise ConfigError(f"{source}: more than {_LARGEST >> 10} KiB")
    value = yaml_value(text, source, most_nodes=_MOST_VALUES)
    validate(value, "submission", source)
    return list(value["accepts"])


def _text_of_folder(source: Path) -> str | None:
    """Return the text of a folder's file; a link is not followed, it may lead to anything."""
    path = source / FILE
    if path.is_symlink() or not path.is_file():
        return None
    with open(path, "rb", opener=_without_links) as file:
        return _text(file)


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _text_of_archive(source: Path) -> str | None:
    """Return the text of the file as the image has it, or None: the last layer to say so rules."""
    by_layer: dict[str, str | None] = {}
    links: dict[str, str] = {}
    jsons: dict[str, bytes] = {}
    try:
        with open_archive(source) as stream:
            budget = budget_of(source)
            for place, member in parts(stream, budget):
                if member.kind == "link":
                    links[place] = link_target(place, member)
                elif is_json(member):
                    jsons[place] = json_of(place, member)
                else:
                    for text in _texts_of_layer(member.content, budget):
                        by_layer[place] = text
        _, order = image_in(jsons, architecture())
    except (*UNREADABLE, SubmissionError):
        return None
    texts = [by_layer[name] for name in (links.get(n, n) for n in order) if name in by_layer]
    return texts[-1] if texts else None


def _texts_of_layer(file: Any, budget: Budget) -> Iterator[str | None]:
    """Yield the file's text where a layer writes it, None where it takes it away."""
    with contextlib.suppress(NoTar):
        for member in members(decompressed(file), budget):
            if member.path == f"workspace/{FILE}" and member.kind == "file":
                yield _text(member.content)
            elif member.path in {
                f"workspace/.wh.{FILE}",
                "workspace/.wh..wh..opq",
                ".wh.workspace",
            }:
                yield None


def _text(file: IO[bytes]) -> str:
    return file.read(_LARGEST + 1).decode("utf-8", errors="replace")
