"""A docker archive as an engine gets it: the image alone, without any name.

`docker load` and its like give an image the names that the archive says, and take them from the
images that had them. So nothing that names an image gets through: the manifest is written again
without tags, and the other files that an engine might read names from are left out.
"""

import json
import tarfile
from collections.abc import Iterator
from typing import Any

from segarena.errors import EngineError, SubmissionError
from segarena.predict.image import LARGEST_BYTES, UNREADABLE, parts
from segarena.predict.manifest import image_of
from segarena.predict.tarball import Budget

_CHUNK = 1 << 20
_LARGEST_MANIFEST = 1 << 20
_MOST_MEMBERS = 10_000
# `docker save` writes its names here as well, as OCI layouts and the oldest archives have them.
_OTHER_NAMES = {"repositories", "index.json", "oci-layout"}


def untagged(stream: Any) -> Iterator[bytes]:
    """Yield the bytes of a plain docker archive that holds the same image and no name for it.

    stream: a plain docker archive that `image_of_archive` has accepted. Raises EngineError where it
    is none any more.
    """
    try:
        yield from _untagged(stream)
    except (SubmissionError, *UNREADABLE) as error:
        raise EngineError(
            f"the archive cannot be read any more ({error}); put it back, run again"
        ) from error


def _untagged(stream: Any) -> Iterator[bytes]:
    budget = Budget(LARGEST_BYTES, _MOST_MEMBERS, "it holds more than before")
    for place, member in parts(stream, budget):
        if place in _OTHER_NAMES:
            continue
        entry = tarfile.TarInfo(place)
        entry.mode = 0o755
        if place == "manifest.json":
            yield from _manifest(entry, member.content.read(_LARGEST_MANIFEST))
            continue
        if member.kind == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, member.target
        entry.size = member.size
        yield entry.tobuf(tarfile.GNU_FORMAT)
        while chunk := member.content.read(_CHUNK):
            yield chunk
        yield bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _manifest(entry: tarfile.TarInfo, manifest: bytes) -> Iterator[bytes]:
    config, layers = image_of(manifest)
    text = json.dumps([{"Config": config, "RepoTags": None, "Layers": layers}]).encode()
    entry.size = len(text)
    yield entry.tobuf(tarfile.GNU_FORMAT) + text + bytes(-len(text) % tarfile.BLOCKSIZE)
