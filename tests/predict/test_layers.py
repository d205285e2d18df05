"""Layers that an engine cannot unpack are found by what is in them."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from segarena.predict.layers import read_layer
from segarena.predict.tarball import Budget

Entry = tuple[str, bytes, str]
FILE, FOLDER, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def layer(*entries: Entry) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind, target in entries:
            made = tarfile.TarInfo(name)
            made.type, made.linkname = kind, target
            archive.addfile(made)
    return packed.getvalue()


def problem(content: bytes) -> str:
    return read_layer(io.BytesIO(content), Budget(1 << 30, 10_000, "too much")).problem


GOOD = {
    "nothing": b"",
    "no members": layer(),
    "a hard link to a file before it": layer(("a", FILE, ""), ("b/c", HARD, "./a")),
    "a hard link to a link": layer(("a", LINK, "x"), ("b", HARD, "a")),
    "a file below a link to a folder of the layer": layer(
        ("usr/lib/x", FILE, ""), ("lib", LINK, "usr/lib"), ("lib/y", FILE, "")
    ),
    "a link that leads nowhere": layer(("a", LINK, "/nowhere")),
    "a file that becomes a folder": layer(("a", FILE, ""), ("a", FOLDER, ""), ("a/b", FILE, "")),
    "what takes away": layer((".wh.a", FILE, ""), ("b/.wh..wh..opq", FILE, "")),
    "a device": layer(("dev/null", tarfile.CHRTYPE, "")),
    "an absolute name": layer(("/a/b", FILE, "")),
}
BAD = {
    "text": (b"hello" * 500, "number"),
    "cut off": (layer(("a", FILE, ""), ("b", FILE, ""))[:700], "cut off"),
    "a hard link to nothing": (layer(("a", HARD, "b")), "hard link"),
    "a hard link to a file of the host": (layer(("a", HARD, "/etc/shadow")), "hard link"),
    "a hard link out of the layer": (layer(("a", HARD, "../../etc/shadow")), "hard link"),
    "a file below a file": (layer(("f", FILE, ""), ("f/g", FILE, "")), "below another file"),
    "a file below a link to elsewhere": (
        layer(("d", LINK, "/tmp"), ("d/e", FILE, "")),
        "leads nowhere",
    ),
    "takes away ..": (layer(("a/.wh...", FILE, "")), "no name"),
    "takes away nothing": (layer((".wh.", FILE, "")), "no name"),
    "an unknown kind": (layer(("a", b"Z", "")), "unknown kind"),
    "holes": (layer(("a", b"S", "")), "holes"),
    "a very long name": (layer(("x" * 5000, FILE, "")), "longer than"),
    "a very deep name": (layer(("d/" * 3000 + "f", FILE, "")), "longer than"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_usable_layer_has_no_problem(name: str):
    """Its digest and size are those of its bytes."""
    found = read_layer(io.BytesIO(GOOD[name]), Budget(1 << 30, 10_000, "too much"))
    assert found.problem == ""
    assert found.digest == f"sha256:{hashlib.sha256(GOOD[name]).hexdigest()}"
    assert found.bytes == len(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_a_layer_that_cannot_be_unpacked_says_why(name: str):
    """Each of them ends in an error of Docker 20.10 while the image is loaded."""
    content, words = BAD[name]
    assert words in problem(content)


def test_a_real_base_image_has_no_problem(base_image):
    """The base of the tests, made of Debian's packages with their links."""
    path: Path = base_image("tiny")
    with path.open("rb") as file:
        found = read_layer(file, Budget(1 << 30, 100_000, "too much"))
    assert (found.problem, found.bytes) == ("", path.stat().st_size)
