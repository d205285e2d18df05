"""Tar archives of strangers: read as tarfile reads honest ones, and on a budget."""

import io
import tarfile
import tracemalloc
from typing import Any

import pytest

from segarena.errors import SubmissionError
from segarena.predict.tarball import Budget, NoTar, members

MANY = 1 << 40


def budget(most_bytes: int = MANY, most_members: int = 1_000_000) -> Budget:
    return Budget(most_bytes, most_members, "it holds more than it may")


def entry(name: str, kind: bytes = tarfile.REGTYPE, *, size: int = 0, link: str = "") -> Any:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname = kind, size, link
    return made


def raw(*blocks: tarfile.TarInfo | bytes) -> bytes:
    """Return headers and contents one after the other, whatever they promise."""
    parts = [
        part if isinstance(part, bytes) else part.tobuf(tarfile.USTAR_FORMAT) for part in blocks
    ]
    return b"".join(part + bytes(-len(part) % 512) for part in parts) + bytes(1024)


def record(key: str, value: str) -> bytes:
    """Return a line of an extended header, which begins with its own length."""
    rest = f" {key}={value}\n"
    length = len(rest)
    while length != len(f"{length}{rest}"):
        length = len(f"{length}{rest}")
    return f"{length}{rest}".encode()


def extended(kind: bytes, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return entry("x", kind, size=len(content)), content


class Zeros(io.RawIOBase):
    """An endless stream after a start."""

    def __init__(self, start: bytes) -> None:
        self.start = io.BytesIO(start)

    def read(self, size: int = -1, /) -> bytes:
        return self.start.read(size) or bytes(size)


@pytest.mark.parametrize(
    "format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=str
)
def test_an_honest_archive_is_read_as_tarfile_reads_it(format_: int):
    """Names of every length, links and contents, in the three forms of tar."""
    long = "/".join(["folder" * 10] * 3)
    content = b"abc" * 1000
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=format_) as archive:
        archive.addfile(entry("./"))
        archive.addfile(entry("./a", size=3000), io.BytesIO(content))
        archive.addfile(entry("folder/", tarfile.DIRTYPE))
        archive.addfile(entry(f"{long}/f", size=3000), io.BytesIO(content))
        archive.addfile(entry("link", tarfile.SYMTYPE, link="x" * 90))
        archive.addfile(entry("hard", tarfile.LNKTYPE, link="a"))
        archive.addfile(entry("device", tarfile.CHRTYPE))
    found = [
        (one.path, one.kind, one.target, one.content.read() if one.kind == "file" else b"")
        for one in members(io.BytesIO(packed.getvalue()), budget())
    ]
    assert found == [
        ("", "file", "", b""),
        ("a", "file", "", content),
        ("folder", "folder", "", b""),
        (f"{long}/f", "file", "", content),
        ("link", "link", "x" * 90, b""),
        ("hard", "hard link", "a", b""),
        ("device", "device", "", b""),
    ]


def test_what_is_not_read_of_a_member_is_passed_over():
    """Whoever reads a part of a member, or nothing, gets the next one all the same."""
    content = b"x" * 5000
    packed = raw(entry("a", size=5000), content, entry("b", size=5000), content, entry("c"))
    seen = []
    for member in members(io.BytesIO(packed), budget()):
        seen.append(member.path)
        if member.path == "a":
            assert member.content.read(3) == b"xxx"
    assert seen == ["a", "b", "c"]


HOSTILE = {
    "text": b"hello" * 1000,
    "a header that is cut": entry("a").tobuf()[:300],
    "a content that is cut": raw(entry("a", size=5000))[:2000],
    "a wrong checksum": raw(entry("a")).replace(b"a\0", b"b\0", 1),
    "a number that is none": raw(entry("a")).replace(b"0000644", b"000x644", 1)[:124]
    + b"zzzzzzzzzzz\0"
    + bytes(1000),
    "a global header that renames": raw(*extended(b"g", record("path", "x")), entry("a")),
    "a name given twice": raw(
        *extended(b"x", record("path", "x")), *extended(b"L", b"y\0"), entry("a")
    ),
    "two extended headers": raw(
        *extended(b"x", record("path", "x")), *extended(b"x", record("path", "y")), entry("a")
    ),
    "very many extended headers": raw(*extended(b"x", record("a", "b")) * 1000, entry("a")),
    "an extended header of nothing": raw(*extended(b"x", b"hello"), entry("a")),
    "an extended header of length 0": raw(*extended(b"x", b"0 path=x\n" * 9), entry("a")),
    "a size that is none": raw(*extended(b"x", record("size", "-1")), entry("a")),
    "a size of very many digits": raw(*extended(b"x", record("size", "9" * 5000)), entry("a")),
    "a name out of the archive": raw(entry("../../a")),
    "a name out of the archive, later": raw(entry("a/../../b")),
    "a name of 5,000 characters": raw(*extended(b"L", b"x" * 5000), entry("a")),
    "a path of 5,000 characters": raw(*extended(b"L", b"x/" * 2500 + b"y"), entry("a")),
    "a very long target": raw(*extended(b"K", b"x/" * 2500), entry("a", tarfile.SYMTYPE)),
    "a name with a nul": raw(*extended(b"x", record("path", "a\0b")), entry("a")),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_archive_is_one_kind_of_error(name: str):
    """Whatever is wrong with a header, and whatever two readers could take for two things."""
    with pytest.raises(NoTar):
        list(members(io.BytesIO(HOSTILE[name]), budget()))


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_an_endless_header_is_not_read(kind: bytes):
    """tarfile reads 6 GiB of one into memory, whatever bound there is on members."""
    tracemalloc.start()
    with pytest.raises(SubmissionError):
        list(members(Zeros(entry("x", kind, size=6 << 30).tobuf()), budget()))
    assert tracemalloc.get_traced_memory()[1] < 5 << 20
    tracemalloc.stop()


def test_an_endless_map_of_holes_is_not_read():
    """Each block of a sparse file's map says whether there is another one."""
    start = bytearray(entry("x", b"S").tobuf())
    start[482] = 1
    start[148:156] = b" " * 8
    start[148:156] = b"%06o\0 " % sum(start)
    with pytest.raises(NoTar, match="very many holes"):
        list(members(io.BytesIO(bytes(start) + (bytes(504) + b"\1" + bytes(7)) * 5000), budget()))


def test_the_budget_holds_for_members_and_bytes():
    """A member's size counts before it is read, and its number where it has none."""
    with pytest.raises(SubmissionError, match="more than it may"):
        list(members(Zeros(entry("x", size=1 << 30).tobuf()), budget(1 << 20)))
    packed = raw(*[entry(str(number)) for number in range(100)])
    with pytest.raises(SubmissionError, match="more than it may"):
        list(members(io.BytesIO(packed), budget(most_members=99)))
    assert len(list(members(io.BytesIO(packed), budget(most_members=100)))) == 100


def test_nothing_is_kept_of_the_members_before():
    """A hundred thousand members take no more memory than a few."""
    packed = raw(*[entry(str(number)) for number in range(20_000)])
    stream = io.BytesIO(packed)
    tracemalloc.start()
    assert sum(1 for _ in members(stream, budget())) == 20_000
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
