"""What a submission is: read from its archive without any engine.

The image ID is the sha256 of the image's configuration, which the archive holds; so a submission
is recognised whatever its tag, and an archive packed anew with the same content costs nothing.
"""

import contextlib
import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from segarena.errors import SubmissionError
from segarena.files import read_json, write_json
from segarena.provenance import file_digest, folder_digest


def digest(source: Path, cache: Path) -> str:
    """Return the sha256 of a submission's archive or folder.

    An archive is read only when its size or modification time is not what `cache` (a JSON file)
    remembers, so that parsing the workflow does not read gigabytes.
    """
    if source.is_dir():
        return folder_digest(source)
    known: dict[str, Any] = read_json(cache) if cache.is_file() else {}
    stat = source.stat()
    mark = [stat.st_size, stat.st_mtime_ns]
    entry = known.get(str(source))
    if entry is None or entry["mark"] != mark:
        entry = {"mark": mark, "sha256": file_digest(source)}
        write_json(cache, {**known, str(source): entry})
    return entry["sha256"]


def image_of_archive(source: Path) -> dict[str, Any]:
    """Return sha256, image ID, size, architecture, user and command of a docker archive.

    Raises SubmissionError when it cannot be read, is no docker archive, or holds several images.
    """
    try:
        with opened_archive(source) as stream, tarfile.open(fileobj=stream, mode="r|*") as archive:
            manifest, configs = _small_members(archive)
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        raise SubmissionError(f"{source}: not a readable docker archive ({error})") from error
    if manifest is None:
        raise SubmissionError(f"{source}: no manifest.json in it; make it with `docker save`")
    if len(manifest) != 1:
        raise SubmissionError(f"{source}: {len(manifest)} images in one archive; save exactly one")
    raw = configs.get(manifest[0]["Config"])
    if raw is None:
        raise SubmissionError(f"{source}: the image's configuration is missing in the archive")
    config = json.loads(raw)
    settings = config.get("config") or {}
    return {
        "sha256": file_digest(source),
        "image_id": f"sha256:{hashlib.sha256(raw).hexdigest()}",
        "size_bytes": source.stat().st_size,
        "architecture": config.get("architecture"),
        "user": settings.get("User") or "",
        "entrypoint": settings.get("Entrypoint"),
        "command": settings.get("Cmd"),
    }


@contextlib.contextmanager
def opened_archive(source: Path) -> Iterator[IO[bytes]]:
    """Open an archive for reading; .zst is decompressed here, since no engine does it."""
    with source.open("rb") as file:
        if source.name.endswith(".zst"):
            import zstandard

            with zstandard.ZstdDecompressor().stream_reader(file) as stream:
                yield stream
        else:
            yield file


def _small_members(archive: tarfile.TarFile) -> tuple[list[Any] | None, dict[str, bytes]]:
    """Return the manifest and every member that may be the configuration, in one pass."""
    manifest = None
    configs = {}
    for member in archive:
        if member.isfile() and member.size < 4 << 20:
            file = archive.extractfile(member)
            content = file.read() if file else b""
            if member.name == "manifest.json":
                manifest = json.loads(content)
            elif content[:1] == b"{":
                configs[member.name] = content
    return manifest, configs
