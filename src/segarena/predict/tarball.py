"""Walking through a tar archive that a stranger made, one member after the other.

Python's tarfile reads a member's long name, its extended header and its map of holes whole before
anybody can look at their size, and keeps every member that it has seen; a file of kilobytes fills
all memory with that. Here nothing is kept, a name has a bound, and whatever two readers could
understand differently (a name given twice, a global header that renames members) is rejected: what
is checked here is what an engine unpacks.
"""

import io
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from segarena.errors import SubmissionError

BLOCK = 512

_LARGEST_HEADER_BYTES = 1 << 20
_MOST_HEADERS, _MOST_HOLES = 8, 1000
_LONGEST_PATH, _LONGEST_NAME = 4096, 255
_CHUNK = 1 << 20
_KINDS = {
    **dict.fromkeys((b"0", b"\0", b"7"), "file"),
    b"1": "hard link",
    b"2": "link",
    b"3": "device",
    b"4": "device",
    b"5": "folder",
    b"6": "fifo",
    b"S": "file with holes",
}
_WITH_CONTENT = {"file", "file with holes"}


class NoTar(SubmissionError):
    """The bytes are no whole tar archive; the text says why."""


@dataclass
class Budget:
    """What may still be unpacked of an archive, all its layers included."""

    bytes: int
    members: int
    why: str = ""

    def spend(self, size: int, members: int = 0) -> None:
        """Count what comes next; raises SubmissionError where it is too much."""
        self.bytes -= size
        self.members -= members
        if self.bytes < 0 or self.members < 0:
            raise SubmissionError(self.why)


@dataclass
class Member:
    """A member: its path without "./" and "/" before it, what it is, and where a link leads."""

    path: str
    kind: str
    target: str
    size: int
    stream: Any

    @cached_property
    def content(self) -> io.BufferedReader:
        """The member's bytes, to be read before the next member is asked for."""
        return io.BufferedReader(_Content(self), _CHUNK)


def members(stream: Any, budget: Budget) -> Iterator[Member]:
    """Yield the members of a tar archive; raises NoTar where it is none, or a name is too long.

    stream: anything with `read`, here unpacked already. Hard links, devices and unknown kinds are
    for the caller to judge.
    """
    while member := _next(stream, budget):
        padding = -member.size % BLOCK
        yield member
        _skip(stream, member.size + padding)  # what is left of the size


def _next(stream: Any, budget: Budget) -> Member | None:
    """Return the next member, with what extended headers say of it; None at the end."""
    extended: dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        block = _exactly(stream, BLOCK, may_end=True)
        if not block.strip(b"\0"):
            return None
        kind, size = block[156:157], _number(block[124:136])
        _check_sum(block)
        if kind not in b"xgLK" or not kind:
            member = _merged(block, kind, size, extended, stream)
            budget.spend(BLOCK + member.size, 1)
            return member
        budget.spend(BLOCK + size)
        if size > _LARGEST_HEADER_BYTES:
            raise NoTar(f"an extended header of {size:,} bytes")
        text = _exactly(stream, size)
        _skip(stream, -size % BLOCK)
        for key, value in _extensions(kind, text).items():
            if key in extended:
                raise NoTar(f"a member whose {key} is given twice")
            extended[key] = value
    raise NoTar("a member with very many extended headers")


def _merged(block: bytes, kind: bytes, size: int, extended: dict[str, str], stream: Any) -> Member:
    name, prefix = _text(block[:100]), _text(block[345:500])
    if prefix and block[257:263] == b"ustar\0":
        name = f"{prefix}/{name}"
    name = extended.get("path", name)
    known = _KINDS.get(kind, "unknown")
    if kind == b"\0" and name.endswith("/"):
        known = "folder"
    if kind == b"S":
        _skip_holes(block[482:483], stream)
    if "size" in extended:
        size = _decimal(extended["size"])
    path = posixpath.normpath(f"/{name}").lstrip("/")
    if posixpath.normpath(name.lstrip("/") or ".").startswith("../") or "\0" in name:
        raise NoTar("a member's name leads out of the archive")
    too_long = any(len(part.encode(errors="replace")) > _LONGEST_NAME for part in path.split("/"))
    target = extended.get("linkpath", _text(block[157:257]))
    if too_long or max(len(name), len(target)) > _LONGEST_PATH:
        raise NoTar("a member's name is longer than any file system allows")
    return Member(path, known, target, size if known in _WITH_CONTENT else 0, stream)


def _extensions(kind: bytes, text: bytes) -> dict[str, str]:
    """Return what an extended header says of the member after it: its path, target and size."""
    if kind in (b"L", b"K"):
        return {"path" if kind == b"L" else "linkpath": _text(text)}
    found: dict[str, str] = {}
    start = 0
    while start < len(text):
        space = text.find(b" ", start, start + 20)
        end = start + _decimal(text[start:space].decode("ascii", "replace")) if space > 0 else 0
        key, equals, value = text[space + 1 : end - 1].partition(b"=")
        if not start < space < end <= len(text) or not equals:
            raise NoTar("an extended header that is none")
        if key in (b"path", b"linkpath", b"size"):
            if kind == b"g":
                raise NoTar("a global header that renames members")
            found[key.decode()] = value.decode("utf-8", "surrogateescape")
        start = end
    return found


def _skip_holes(more: bytes, stream: Any) -> None:
    for _ in range(_MOST_HOLES):
        if more in (b"\0", b""):
            return
        more = _exactly(stream, BLOCK)[504:505]
    raise NoTar("a file with very many holes")


def _check_sum(block: bytes) -> None:
    expected = _number(block[148:156])
    plain = block[:148] + b" " * 8 + block[156:]
    signed = sum(plain) - 256 * sum(1 for byte in plain if byte > 127)
    if expected not in (sum(plain), signed):
        raise NoTar("a header whose checksum is wrong")


def _number(field: bytes) -> int:
    """Return a number of a header: octal digits, or base 256 after the byte 0x80."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    if any(byte not in b"01234567" for byte in digits):
        raise NoTar("a header with a number that is none")
    return int(digits or b"0", 8)


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise NoTar("an extended header with a number that is none")
    return int(text)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _exactly(stream: Any, size: int, *, may_end: bool = False) -> bytes:
    """Read so many bytes; fewer are an archive that is cut, or none at all its end."""
    parts, missing = [], size
    while missing and (chunk := stream.read(min(missing, _CHUNK))):
        parts.append(chunk)
        missing -= len(chunk)
    if missing and not (may_end and missing == size):
        raise NoTar("it is cut off")
    return b"".join(parts)


def _skip(stream: Any, size: int) -> None:
    while size:
        chunk = stream.read(min(size, _CHUNK))
        if not chunk:
            raise NoTar("it is cut off")
        size -= len(chunk)


class _Content(io.RawIOBase):
    """The bytes of a member, whose `size` is what is left of them."""

    def __init__(self, member: Member) -> None:
        self.member = member

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self.member.size)
        chunk = self.member.stream.read(wanted)
        if wanted and not chunk:
            raise NoTar("it is cut off")
        buffer[: len(chunk)] = chunk
        self.member.size -= len(chunk)
        return len(chunk)
