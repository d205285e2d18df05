"""What a submission is: read from its archive without any engine.

The image ID is the sha256 of the image's configuration, which the archive holds; so a submission
is recognised whatever its tag, and an archive packed again with the same content costs nothing.

The archive is read to its last byte, on a budget (segarena.predict.tarball), every layer is
compared with the digest that the configuration gives, and what the configuration asks for with what
an engine can do (segarena.predict.manifest). Whatever fails here is therefore the archive's fault
and a result (`bad_image`); whatever fails later, while an engine loads it, is ours and stops the
job.
"""

import contextlib
import hashlib
import io
import lzma
import platform
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isal import igzip, isal_zlib

from segarena.errors import ConfigError, EngineError, SubmissionError
from segarena.files import remembered
from segarena.predict.layers import Layer, read_layer
from segarena.predict.manifest import checked_configuration, image_in
from segarena.predict.tarball import Budget, Member, NoTar, members
from segarena.provenance import file_digest, folder_digest, json_digest
from segarena.untrusted import open_binary, printable

LARGEST_BYTES = 200 * 2**30
"""What an archive may hold unpacked, whatever its size."""

_UNPACKED_BYTES, _MOST_TIMES = 2**30, 100
"""A small archive may unpack to so much, a large one to so many times its size: an archive of
kilobytes can unpack to terabytes, and what images hold does not shrink to a hundredth."""

_LARGEST_JSON, _MOST_JSON = 1 << 20, 16 << 20
_MOST_MEMBERS, _MOST_FILES = 5_000, 1_000_000
_MOST_XZ_BYTES = 256 << 20
_CHUNK = 1 << 20
UNREADABLE: tuple[Any, ...] = (
    *(OSError, EOFError, MemoryError, isal_zlib.error, lzma.LZMAError),
    *(ValueError, TypeError, LookupError, AttributeError, RecursionError),
)
"""What reading a broken archive may raise; an error of the disk is none of them (`open_binary`)."""


def digest(source: Path, cache: Path) -> str:
    """Return the sha256 of a submission's archive or folder.

    An archive is read only when its size or modification time is not what `cache` (a JSON file)
    remembers, so that parsing the workflow does not read gigabytes.
    """
    if source.is_dir():
        return folder_digest(source)
    return remembered(source, cache, file_digest)


def image_of_archive(source: Path) -> dict[str, Any]:
    """Return sha256, image ID, sizes, architecture, user and command of a docker archive.

    unpacked_bytes: what an engine needs to hold it. Raises SubmissionError when it cannot be read,
    is no docker archive, holds several images, or its layers are not those that its configuration
    names; EngineError when the disk fails.
    """
    try:
        with _our_file(source) as file:
            hashing = _Hashing(file)
            try:
                found = _contents(hashing, budget_of(source))
                config_name, layers = image_in(found.jsons, architecture())
                raw = found.jsons.get(config_name)
                if raw is None:
                    raise SubmissionError("the image's configuration is missing in the archive")
                config, digests, settings = checked_configuration(raw)
                size = _check_layers(layers, digests, found.layers)
            finally:
                sha256 = hashing.to_the_end()
    except (NoTar, *UNREADABLE) as error:
        raise SubmissionError(
            f"{source.name}: not a readable docker archive ({_why(error)}); "
            "make it again with `docker save IMAGE | gzip`, and compare checksums after the upload"
        ) from error
    except SubmissionError as error:
        raise SubmissionError(f"{source.name}: {printable(error)}") from error
    return {
        "sha256": sha256,
        "image_id": f"sha256:{hashlib.sha256(raw).hexdigest()}",
        "size_bytes": source.stat().st_size,
        "unpacked_bytes": size,
        "architecture": config.get("architecture"),
        "system": config.get("os"),
        "user": settings.get("User") or "",
        "entrypoint": settings.get("Entrypoint"),
        "command": settings.get("Cmd"),
        "workdir": settings.get("WorkingDir") or "/",
        "serves": any(_serves(found.layers[name], settings) for name in layers),
        "content": content(digests, settings),
    }


def content(layers: list[str], settings: dict[str, Any]) -> str:
    """Return a digest of all of an image that makes a difference to what runs in it.

    Engines that keep images in containerd's store have an ID of their own for every image.
    """
    chosen = {
        key: settings.get(key) or None
        for key in ("User", "Env", "Entrypoint", "Volumes", "WorkingDir")
    }
    return f"sha256:{json_digest([layers, chosen])}"


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
    serves = (source / "serve.sh").is_file()
    return {"sha256": folder_digest(source), "mounted": True, "serves": serves}


@contextlib.contextmanager
def open_archive(source: Path) -> Iterator[Any]:
    """Open an archive as a plain one, whatever packs it."""
    with _our_file(source) as file:
        yield _PlainStream(decompressed(file)) if packing(file.peek(8)) else file


def budget_of(source: Path) -> Budget:
    """Return what an archive may unpack to, its layers once more included."""
    most = min(LARGEST_BYTES, max(_UNPACKED_BYTES, _MOST_TIMES * source.stat().st_size))
    why = f"it holds more than {most / 2**30:.3g} GiB, or more than {_MOST_FILES:,} files"
    return Budget(2 * most, _MOST_FILES, why)


def parts(stream: Any, budget: Budget) -> Iterator[tuple[str, Member]]:
    """Yield the files and links of a docker archive by their place in it, as engines find them.

    Raises SubmissionError where a place is taken twice, however it is written, or holds what no
    docker archive does.
    """
    seen: set[str] = set()
    folders: set[str] = set()
    for number, member in enumerate(members(stream, budget)):
        place, above = member.path, set(_folders_of(member.path))
        if not place.isprintable():
            raise SubmissionError(f"a member with a name of control characters: {place!r}")
        if number >= _MOST_MEMBERS:
            raise SubmissionError(f"it holds more than {_MOST_MEMBERS:,} members")
        if member.kind not in {"file", "folder", "link"}:
            raise SubmissionError(f"{place} is a {member.kind}, which no docker archive holds")
        file = member.kind != "folder"
        if place in seen or above & seen or (file and place in folders):
            raise SubmissionError(f"{place} is in the archive twice, or below another file")
        folders |= above if file else above | {place}
        if file:
            seen.add(place)
            yield place, member


def _folders_of(place: str) -> Iterator[str]:
    while place := posixpath.dirname(place):
        yield place


def link_target(place: str, member: Member) -> str:
    """Return where a link of the archive leads."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(place), member.target))


def is_json(member: Member) -> bool:
    """Return whether a member is one of the small JSON files that describe an image."""
    return member.content.peek(1)[:1] in (b"{", b"[")


def json_of(place: str, member: Member) -> bytes:
    """Return a JSON member; raises SubmissionError where it is larger than any image needs."""
    content = member.content.read(_LARGEST_JSON + 1)
    if len(content) > _LARGEST_JSON:
        raise SubmissionError(f"{place}: more JSON than any image needs")
    return content


@dataclass(frozen=True)
class _Contents:
    jsons: dict[str, bytes]
    layers: dict[str, Layer]


def _contents(file: "_Hashing", budget: Budget) -> _Contents:
    """Return every small JSON member, and what every other is as a layer, in one pass."""
    packed = io.BufferedReader(file, _CHUNK)
    if not packed.peek(1):
        raise NoTar("it is empty")
    stream = decompressed(packed)
    found = _Contents({}, {})
    links: dict[str, str] = {}
    chosen = 0
    for place, member in parts(stream, budget):
        if member.kind == "link":
            links[place] = link_target(place, member)
        elif is_json(member):
            found.jsons[place] = json_of(place, member)
            chosen += len(found.jsons[place])
            if chosen > _MOST_JSON:
                raise SubmissionError(f"{place}: more JSON than any image needs")
        else:
            found.layers[place] = read_layer(decompressed(member.content), budget)
    while stream.read(_CHUNK):  # a packed file's checksum is at its end
        budget.spend(_CHUNK)
    found.layers.update({name: found.layers[t] for name, t in links.items() if t in found.layers})
    return found


def architecture() -> str:
    """Return what images call the processor of this machine."""
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _serves(layer: Layer, settings: dict[str, Any]) -> bool:
    """Return whether a layer has a serve.sh where the image's programs start."""
    workdir = posixpath.normpath(f"/{settings.get('WorkingDir') or ''}").lstrip("/")
    return workdir in layer.serving_folders


def _check_layers(names: list[str], expected: list[str], layers: dict[str, Layer]) -> int:
    """Raise SubmissionError unless the layers are those expected; return their size unpacked."""
    if len(names) != len(expected):
        raise SubmissionError(f"{len(names)} layers where the configuration names {len(expected)}")
    for name, diff_id in zip(names, expected, strict=True):
        if name not in layers:
            raise SubmissionError(f"layer {name} is missing in the archive")
        if layers[name].digest != diff_id:
            raise SubmissionError(f"layer {name} is damaged: it is not what its digest says")
        if layers[name].problem:
            raise SubmissionError(f"layer {name} cannot be unpacked: {layers[name].problem}")
    return sum(layers[name].bytes for name in set(names))


def _why(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    return printable(error) or type(error).__name__


def decompressed(file: Any) -> Any:
    """Return the content of a buffered file, unpacked in whatever way it is packed."""
    packed = packing(file.peek(8))
    if packed == "gz":
        return igzip.IGzipFile(fileobj=file)
    if packed == "xz":
        return io.BufferedReader(_Xz(file), _CHUNK)
    if packed == "zst":
        return _unpacked_zst(file)
    return file


def _unpacked_zst(file: Any) -> Any:
    import zstandard

    reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    return _PlainStream(reader, zstandard.ZstdError)


def packing(start: bytes) -> str:
    """Say how a file is packed, from its first bytes: names may lie."""
    signatures = {b"\x1f\x8b": "gz", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zst"}
    for signature, name in signatures.items():
        if start.startswith(signature):
            return name
    return ""


@contextlib.contextmanager
def _our_file(source: Path) -> Iterator[io.BufferedReader]:
    try:
        file = open_binary(source)
    except OSError as error:
        raise EngineError(f"{source}: cannot be opened ({error}); put it back") from error
    with file:
        yield file


class _Xz(io.RawIOBase):
    """The content of an .xz file, which may ask for gigabytes of memory: as much as xz -9 does."""

    def __init__(self, file: Any) -> None:
        self.file, self.decompressor = file, self._new()

    def _new(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_XZ_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = b""
        while not chunk:
            if self.decompressor.eof:
                packed = self._next_stream()
                if not packed:
                    return 0
                self.decompressor = self._new()
            elif self.decompressor.needs_input:
                packed = self.file.read(_CHUNK)
                if not packed:
                    raise EOFError("it is cut off")
            else:
                packed = b""
            chunk = self.decompressor.decompress(packed, len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def _next_stream(self) -> bytes:
        """Return the start of what follows a stream and its padding; nothing at the file's end."""
        packed = self.decompressor.unused_data.lstrip(b"\0")
        while not packed and (more := self.file.read(_CHUNK)):
            packed = more.lstrip(b"\0")
        return packed


class _PlainStream:
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
    """A file that hashes what is read of it."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.file, self.hashed = file, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self.file.read(len(buffer))
        self.hashed.update(chunk)
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def to_the_end(self) -> str:
        """Read the rest and return the sha256 of the whole file."""
        buffer = memoryview(bytearray(_CHUNK))
        while self.readinto(buffer):
            pass
        return self.hashed.hexdigest()
