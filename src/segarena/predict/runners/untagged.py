"""A docker archive as an engine gets it: the image alone, without any name.

`docker load` and its like give an image the names that the archive says, and take them from the
images that had them. So nothing that names an image gets through: the manifest is written again
without tags, and the other files that an engine might read names from are left out.
"""

import json
import posixpath
import tarfile
from collections.abc import Iterator
from typing import Any

from segarena.errors import EngineError
from segarena.predict.image import UNREADABLE

_CHUNK = 1 << 20
_LARGEST_MANIFEST = 1 << 20
# `docker save` writes its names here as well, as OCI layouts and the oldest archives have them.
_OTHER_NAMES = {"repositories", "index.json", "oci-layout"}
_KINDS = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE)


def untagged(stream: Any) -> Iterator[bytes]:
    """Yield the bytes of a plain docker archive that holds the same image and no name for it.

    stream: a plain docker archive that `image_of_archive` has accepted. Raises EngineError where it
    is none any more.
    """
    try:
        yield from _untagged(stream)
    except UNREADABLE as error:
        raise EngineError(
            f"the archive cannot be read any more ({error}); put it back, run again"
        ) from error


def _untagged(stream: Any) -> Iterator[bytes]:
    seen = set()
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            name = posixpath.normpath(member.name)
            if name in seen or name in _OTHER_NAMES or member.type not in _KINDS:
                continue
            seen.add(name)
            kept = tarfile.TarInfo(name)
            kept.type, kept.linkname, kept.mode = member.type, member.linkname, 0o755
            content: Any = archive.extractfile(member) if member.isfile() else None
            if name == "manifest.json":
                yield from _manifest(kept, content)
                continue
            kept.size = member.size if content else 0
            yield kept.tobuf(tarfile.GNU_FORMAT)
            if content:
                while chunk := content.read(_CHUNK):
                    yield chunk
                yield bytes(-kept.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _manifest(entry: tarfile.TarInfo, content: Any) -> Iterator[bytes]:
    [image] = json.loads(content.read(_LARGEST_MANIFEST))
    nameless = {"Config": image["Config"], "RepoTags": None, "Layers": image["Layers"]}
    text = json.dumps([nameless]).encode()
    entry.size = len(text)
    yield entry.tobuf(tarfile.GNU_FORMAT) + text + bytes(-len(text) % tarfile.BLOCKSIZE)
