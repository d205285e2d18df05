"""An archive as an engine gets it: a docker archive of the image alone, without any name.

`docker load` and its like give an image the names that the archive says, and take them from the
images that had them. So nothing that names an image gets through: the manifest is written again
without tags, and the other files that an engine might read names from are left out. An OCI layout,
which not every engine can load, becomes a docker archive in this way, too; layers that are packed
with zstd or xz, which not every engine can unpack, are unpacked here.
"""

import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from typing import Any

from segarena.errors import EngineError, SubmissionError
from segarena.predict.image import (
    LARGEST_BYTES,
    UNREADABLE,
    architecture,
    decompressed,
    is_json,
    json_of,
    packing,
    parts,
)
from segarena.predict.manifest import image_in
from segarena.predict.tarball import Budget

_CHUNK = 1 << 20
_MOST_MEMBERS = 10_000
_INDEXES = {"manifest.json", "index.json", "oci-layout"}
_NOT_EVERYWHERE = {"zst", "xz"}


def untagged(stream: Any) -> Iterator[bytes]:
    """Yield the bytes of a plain docker archive that holds the same image and no name for it.

    stream: a plain archive that `image_of_archive` has accepted. Raises EngineError where it
    is none any more.
    """
    try:
        yield from _untagged(stream)
    except (SubmissionError, *UNREADABLE) as error:
        raise EngineError(
            f"the archive cannot be read any more ({error}); put it back, run again"
        ) from error


def _untagged(stream: Any) -> Iterator[bytes]:
    jsons: dict[str, bytes] = {}
    budget = Budget(LARGEST_BYTES, _MOST_MEMBERS, "it holds more than before")
    for place, member in parts(stream, budget):
        if place == "repositories":  # names, as the oldest archives have them
            continue
        entry, size = tarfile.TarInfo(place), member.size  # which looking at it lessens
        entry.mode = 0o755
        if member.kind == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, member.target
            yield entry.tobuf(tarfile.GNU_FORMAT)
        elif is_json(member):
            jsons[place] = json_of(place, member)
            if place not in _INDEXES:
                yield from _file(entry, io.BytesIO(jsons[place]), len(jsons[place]))
        elif packing(member.content.peek(8)) in _NOT_EVERYWHERE:
            with tempfile.TemporaryFile() as plain:  # a tar tells a size before the content
                shutil.copyfileobj(decompressed(member.content), plain, _CHUNK)
                size = plain.tell()
                plain.seek(0)
                yield from _file(entry, plain, size)
        else:
            yield from _file(entry, member.content, size)
    if not _INDEXES.isdisjoint(jsons):
        config, layers = image_in(jsons, architecture())
        text = json.dumps([{"Config": config, "RepoTags": None, "Layers": layers}]).encode()
        yield from _file(tarfile.TarInfo("manifest.json"), io.BytesIO(text), len(text))
    yield bytes(2 * tarfile.BLOCKSIZE)


def _file(entry: tarfile.TarInfo, content: Any, size: int) -> Iterator[bytes]:
    entry.size = size
    yield entry.tobuf(tarfile.GNU_FORMAT)
    while chunk := content.read(_CHUNK):
        yield chunk
    yield bytes(-size % tarfile.BLOCKSIZE)
