"""Case files: what is damaged or made to do harm is refused in one line, with the file and key."""

import io
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segarena.case import (
    BOX_KEYS,
    Image,
    Truth,
    npy_bytes,
    object_array,
    read_boxes,
    read_image,
    read_truth,
    write_image,
    write_truth,
)
from segarena.errors import CaseError

GTS = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) % 3
TRUTH = Truth(GTS, {1: 4, 2: 9}, np.diag([1.0, 2, 3, 1]), b"header")


def header(text: str) -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode()


def declared(descr: str, shape: str) -> bytes:
    return header(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}\n")


def packed(path: Path, packing: int = zipfile.ZIP_DEFLATED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for key, content in members.items():
            archive.writestr(f"{key}.npy", content)
    return path


BROKEN = {
    "a shape of terabytes": declared("|u1", "(100000, 100000, 100)"),
    "a shape beyond 64 bits": declared("|u1", "(4294967296, 4294967296, 4294967296)"),
    "a negative shape": declared("|u1", "(-2, -3, 4)") + GTS.tobytes(),
    "a shape of truth values": declared("|u1", "(True, True, True)") + b"x",
    "text of nothing, for ever": declared("|S0", "(4294967296, 4294967296)"),
    "text": npy_bytes(np.array([["a"]])),
    "times": npy_bytes(GTS.astype("M8[s]")),
    "objects": npy_bytes(object_array([1])),
    "a header that is cut": header("{'descr': '|u1', 'shape': (4,\n"),
    "a header of nested lists": header("{'descr': " + "[" * 9000),
    "a header with a nul": header("{'descr': '|u1',\0}"),
    "a header longer than the file": b"\x93NUMPY\2\0\xff\xff\xff\xff",
    "a version of numpy's to come": b"\x93NUMPY\x09\0\x01\0 ",
    "bytes too many": npy_bytes(GTS) + b"x",
    "bytes too few": npy_bytes(GTS)[:-1],
    "nothing": b"",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_array_is_one_line(name: str, tmp_path: Path):
    """Whatever a member declares, reading it ends in a CaseError that names file and key."""
    path = packed(tmp_path / "x.npz", gts=BROKEN[name])
    with pytest.raises(CaseError) as caught:
        read_truth(path)
    assert str(caught.value).startswith(f"{path}: key 'gts' cannot be read (")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_only_numpys_own_packings_are_opened(packing: int, tmp_path: Path):
    """A packing that asks for memory by its own header is not begun."""
    path = packed(tmp_path / "x.npz", packing, gts=npy_bytes(GTS))
    with pytest.raises(CaseError, match=r"that np\.savez does not use"):
        read_truth(path)


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path):
    """Which of the two would be the label map?"""
    path = tmp_path / "x.npz"
    with pytest.warns(UserWarning), zipfile.ZipFile(path, "w") as archive:
        archive.writestr("gts.npy", npy_bytes(GTS))
        archive.writestr("gts.npy", npy_bytes(GTS))
    with pytest.raises(CaseError, match="more than once"):
        read_truth(path)


@pytest.mark.parametrize("key", ["label_ids", "affine", "place"])
def test_what_goes_with_a_label_map_has_its_shape(key: str, tmp_path: Path):
    """Label ids, affine and place of another shape are one line, not a traceback."""
    wrong = npy_bytes(np.zeros((3, 3, 3)))
    path = packed(tmp_path / "x.npz", gts=npy_bytes(GTS), **{key: wrong})
    with pytest.raises(CaseError, match="label_ids, affine or place"):
        read_truth(path)


def boxes_of(pickled: bytes, shape: str = "(1,)") -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        return packed(path, boxes=declared("|O", shape) + pickled)

    return make


ENDLESS = b"(lp0\n(" + b"".join(f"V{key}\nL{'9' * 4000}L\n".encode() for key in BOX_KEYS) + b"da."


@pytest.mark.parametrize(
    "make",
    [
        boxes_of(b"\x80\x03]q\x00."),
        boxes_of(b"cos\nsystem\n(Vtrue\ntR."),
        boxes_of(b"N."),
        boxes_of(ENDLESS),
        boxes_of(b"\x80\x03]N." * 2_000_000),
    ],
    ids=["fewer than declared", "a call", "no array", "a number of 4,000 digits", "too long"],
)
def test_broken_boxes_are_one_line(make: Callable[[Path], Path], tmp_path: Path):
    """Boxes that are none end in a CaseError that names the file."""
    path = make(tmp_path / "x.npz")
    with pytest.raises(CaseError) as caught:
        read_boxes(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 600


def test_pointers_in_a_pickle_do_not_reach_numpy(tmp_path: Path):
    """Bytes given as the objects of an array used to end the process with SIGSEGV."""
    pickled = (
        b"\x80\x03cnumpy\nndarray\n((J\x04\0\0\0tcnumpy\ndtype\n(X\x02\0\0\0O8J\0\0\0\0J\1\0\0\0tR"
        b"B\x20\0\0\0" + b"A" * 32 + b"tR."
    )
    path = boxes_of(pickled, "(4,)")(tmp_path / "x.npz")
    code = (
        "import sys; from segarena.case import read_boxes; from segarena.errors import CaseError\n"
        "try: read_boxes(sys.argv[1])\n"
        "except CaseError: sys.exit(3)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 3


def test_what_was_written_is_read(tmp_path: Path):
    """An image with boxes and a truth with all that goes with it come back as they were."""
    box = dict.fromkeys(BOX_KEYS, 1)
    image = Image(np.zeros((2, 3, 4), np.uint8), (1.0, 2.0, 3.0), [box, box])
    write_image(tmp_path / "image.npz", image)
    write_truth(tmp_path / "truth.npz", TRUTH)
    assert read_image(tmp_path / "image.npz").boxes == [box, box]
    read = read_truth(tmp_path / "truth.npz")
    assert (read.gts == GTS).all()
    assert (read.label_ids, read.nifti_header) == (TRUTH.label_ids, TRUTH.nifti_header)
    assert read.affine is not None
    assert (read.affine == TRUTH.affine).all()


def test_boxes_that_numpy_itself_saved_are_read(tmp_path: Path):
    """Ready-made files come from `np.savez`, whose pickles are of another protocol, with numpy's
    own integers in them."""
    box = {key: np.int64(number) for number, key in enumerate(BOX_KEYS)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, boxes=np.array([box], dtype=object), allow_pickle=True)
    (tmp_path / "x.npz").write_bytes(buffer.getvalue())
    assert read_boxes(tmp_path / "x.npz") == [{key: n for n, key in enumerate(BOX_KEYS)}]


@pytest.mark.parametrize("key", ["boxes", "spacing", "other"])
def test_a_damaged_name_of_a_member_is_one_line(tmp_path: Path, key: str):
    """Names have no checksum, and without its name a case would seem to have no boxes."""
    path = tmp_path / "image.npz"
    arrays = {"imgs": np.zeros((2, 3, 4), np.uint8), "spacing": np.ones(3), "other": np.ones(1)}
    np.savez(path, **arrays, boxes=object_array([dict.fromkeys(BOX_KEYS, 1)]))
    content = path.read_bytes()
    at = content.rindex(f"{key}.npy".encode())  # in the directory of contents
    path.write_bytes(content[:at] + b"x" + content[at + 1 :])
    with pytest.raises(CaseError, match=r"image\.npz: not a readable \.npz file") as raised:
        read_boxes(path)
    assert "\n" not in str(raised.value)
