"""What a submission is: read from its archive without any engine.

The image ID is the sha256 of the image's configuration, which the archive holds; so a submission
is recognised whatever its tag, and an archive packed anew with the same content costs nothing.

The archive is read to its last byte and every layer is compared with the digest that the
configuration gives. Whatever fails here is therefore the archive's fault and a result
(`bad_image`); whatever fails later, while an engine loads it, is ours and stops the job.
"""

import contextlib
import hashlib
import io
import json
import lzma
import posixpath
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from isal import igzip, isal_zlib

from segarena.errors import ConfigError, EngineError, SubmissionError
from segarena.files import remembered
from segarena.provenance import file_digest, folder_digest, json_digest

LARGEST_BYTES = 200 * 2**30
"""What an archive may hold unpacked: an archive of a few megabytes can unpack to terabytes."""

_LARGEST_JSON = 1 << 20
_MOST_MEMBERS = 5_000
_CHUNK = 1 << 20
UNREADABLE: tuple[Any, ...] = (
    OSError,
    EOFError,
    tarfile.TarError,
    isal_zlib.error,
    lzma.LZMAError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
)
"""What reading a broken archive may raise."""


def digest(source: Path, cache: Path) -> str:
    """Return the sha256 of a submission's archive or folder.

    An archive is read only when its size or modification time is not what `cache` (a JSON file)
    remembers, so that parsing the workflow does not read gigabytes.
    """
    if source.is_dir():
        return folder_digest(source)
    return remembered(source, cache, file_digest)


def image_of_archive(source: Path) -> dict[str, Any]:
    """Return sha256, image ID, size, architecture, user and command of a docker archive.

    Raises SubmissionError when it cannot be read, is no docker archive, holds several images, or
    its layers are not those that its configuration names; EngineError when the disk fails.
    """
    try:
        with _our_file(source) as file:
            hashing = _Hashing(file)
            try:
                manifest, jsons, layers = _contents(hashing)
                raw, config = _configuration(manifest, jsons)
                _check_layers(manifest[0]["Layers"], config["rootfs"]["diff_ids"], layers)
            finally:
                sha256 = hashing.to_the_end()
    except SubmissionError as error:
        raise SubmissionError(f"{source.name}: {error}") from error
    except UNREADABLE as error:
        reason = str(error) or type(error).__name__
        raise SubmissionError(
            f"{source.name}: not a readable docker archive ({reason}); "
            "make it again with `docker save IMAGE | gzip`, and compare checksums after the upload"
        ) from error
    settings = config.get("config") or {}
    return {
        "sha256": sha256,
        "image_id": f"sha256:{hashlib.sha256(raw).hexdigest()}",
        "size_bytes": source.stat().st_size,
        "architecture": config.get("architecture"),
        "system": config.get("os"),
        "user": settings.get("User") or "",
        "entrypoint": settings.get("Entrypoint"),
        "command": settings.get("Cmd"),
        "content": content(config["rootfs"]["diff_ids"], settings),
    }


def content(layers: list[str], settings: dict[str, Any]) -> str:
    """Return a digest of all of an image that makes a difference to what runs in it.

    Engines that keep images in containerd's store have an ID of their own for every image.
    """
    kept = {key: settings.get(key) or None for key in ("User", "Env", "Entrypoint", "Volumes")}
    return f"sha256:{json_digest([layers, kept])}"


def image_of_folder(source: Path, base_image: str) -> dict[str, Any]:
    """Return what is known of a folder that runs in a base image: its sha256.

    Raises ConfigError without a base image; SubmissionError where there is no predict.sh, or a link
    that leaves the folder, with which a submission would mount what it may not see.
    """
    if not base_image:
        raise ConfigError(
            f"{source}: a folder runs in a container only with the config key base_image; "
            "set it, or give the submission as a docker archive, or use runtime: process"
        )
    if not (source / "predict.sh").is_file():
        raise SubmissionError(f"{source.name}: there is no predict.sh in it")
    for path in source.iterdir():
        if not path.resolve().is_relative_to(source.resolve()):
            raise SubmissionError(f"{source.name}: {path.name} is a link that leaves the folder")
    return {"sha256": folder_digest(source), "mounted": True}


@contextlib.contextmanager
def opened_archive(source: Path) -> Iterator[Any]:
    """Open an archive as a plain one, whatever packs it."""
    with _our_file(source) as file:
        yield _Telling(_unpacked(file)) if _packing(file.peek(8)) else file


def _contents(file: "_Hashing") -> tuple[Any, dict[str, bytes], dict[str, str]]:
    """Return the manifest, every small JSON member, and the digest of every other, in one pass."""
    buffered: Any = io.BufferedReader(file, _CHUNK)
    stream = _unpacked(buffered)
    jsons: dict[str, bytes] = {}
    digests: dict[str, str] = {}
    links: dict[str, str] = {}
    size = 0
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for number, member in enumerate(archive):
            size += member.size
            if number >= _MOST_MEMBERS or size > LARGEST_BYTES:
                raise SubmissionError(f"it holds more than {LARGEST_BYTES >> 30} GiB, or too much")
            if member.issym():
                links[member.name] = posixpath.normpath(
                    posixpath.join(posixpath.dirname(member.name), member.linkname)
                )
            elif member.isfile():
                content: Any = archive.extractfile(member)
                start: Any = io.BufferedReader(content, _CHUNK)
                if member.size < _LARGEST_JSON and start.peek(1)[:1] in (b"{", b"["):
                    jsons[member.name] = start.read()
                else:
                    digests[member.name] = _unpacked_digest(start)
    while stream.read(_CHUNK):  # a packed file's checksum stands at its end
        pass
    digests.update({name: digests[target] for name, target in links.items() if target in digests})
    if "manifest.json" not in jsons:
        oci = "index.json" in jsons or "oci-layout" in jsons
        kind = "an OCI layout, not a docker archive" if oci else "no docker archive"
        raise SubmissionError(
            f"{kind}: there is no manifest.json in it; make it with `docker save`"
        )
    return json.loads(jsons["manifest.json"]), jsons, digests


def _configuration(manifest: Any, jsons: dict[str, bytes]) -> tuple[bytes, dict[str, Any]]:
    if len(manifest) != 1:
        raise SubmissionError(f"{len(manifest)} images in one archive; save exactly one")
    raw = jsons.get(manifest[0]["Config"])
    if raw is None:
        raise SubmissionError("the image's configuration is missing in the archive")
    return raw, json.loads(raw)


def _check_layers(names: list[str], expected: list[str], digests: dict[str, str]) -> None:
    if len(names) != len(expected):
        raise SubmissionError(f"{len(names)} layers where the configuration names {len(expected)}")
    for name, diff_id in zip(names, expected, strict=True):
        if name not in digests:
            raise SubmissionError(f"layer {name} is missing in the archive")
        if digests[name] != diff_id:
            raise SubmissionError(f"layer {name} is damaged: it is not what its digest says")


def _unpacked_digest(file: Any) -> str:
    """Return the sha256 of a layer as it is unpacked; how it was packed does not count."""
    hashed, size = hashlib.sha256(), 0
    stream = _unpacked(file)
    while chunk := stream.read(_CHUNK):
        hashed.update(chunk)
        size += len(chunk)
        if size > LARGEST_BYTES:
            raise SubmissionError(f"it unpacks to more than {LARGEST_BYTES >> 30} GiB")
    return f"sha256:{hashed.hexdigest()}"


def _unpacked(file: Any) -> Any:
    packed = _packing(file.peek(8))
    if packed == "gz":
        return igzip.IGzipFile(fileobj=file)
    if packed == "xz":
        return lzma.LZMAFile(file)
    if packed == "zst":
        return _unpacked_zst(file)
    return file


def _unpacked_zst(file: Any) -> Any:
    import zstandard

    reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    return _Telling(reader, zstandard.ZstdError)


def _packing(start: bytes) -> str:
    """Say how a file is packed, from its first bytes: names may lie."""
    signatures = {b"\x1f\x8b": "gz", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zst"}
    for signature, name in signatures.items():
        if start.startswith(signature):
            return name
    return ""


@contextlib.contextmanager
def _our_file(source: Path) -> Iterator[io.BufferedReader]:
    try:
        file = source.open("rb")
    except OSError as error:
        raise EngineError(f"{source}: cannot be opened ({error}); put it back") from error
    with file:
        yield file


class _Telling:
    """A stream that can be read and nothing else; its own kind of error becomes a ValueError.

    (An HTTP client would take the length of the packed file for that of the stream.)
    """

    def __init__(self, stream: Any, *error: type[Exception]) -> None:
        self.stream, self.error = stream, error

    def read(self, size: int = -1) -> bytes:
        try:
            return self.stream.read(size)
        except self.error as error:
            raise ValueError(str(error)) from error


class _Hashing(io.RawIOBase):
    """A file that hashes what is read of it; its failures are the disk's, not the archive's."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.hashed = file, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            chunk = self.file.read(len(buffer))
        except OSError as error:
            raise EngineError(f"{self.file.name}: cannot be read ({error})") from error
        self.hashed.update(chunk)
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def to_the_end(self) -> str:
        """Read the rest and return the sha256 of the whole file."""
        buffer = memoryview(bytearray(_CHUNK))
        while self.readinto(buffer):
            pass
        return self.hashed.hexdigest()
