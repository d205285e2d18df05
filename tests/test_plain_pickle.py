"""Pickles of plain values are read as Python's unpickler reads them; all others are refused."""

import pickle
import pickletools
import struct
from typing import Any

import numpy as np
import pytest

from segarena.plain_pickle import NotPlain, plain_value

RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
NDARRAY, DTYPE = b"cnumpy\nndarray\n", b"cnumpy\ndtype\n"


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def text(value: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value


def data(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def dtype(code: bytes) -> bytes:
    return DTYPE + b"(" + text(code) + number(0) + number(1) + b"tR"


EMPTY = RECONSTRUCT + b"(" + NDARRAY + b"(" + number(0) + b"t" + data(b"b") + b"tR"


def state(shape: bytes, code: bytes, content: bytes) -> bytes:
    return b"(" + number(1) + b"(" + shape + b"t" + dtype(code) + b"\x89" + content + b"tb."


def laughs(levels: int) -> bytes:
    """Lists of ten times the list before, each by reference: 10**levels values in few bytes."""
    made = b"\x80\x03]" + b"q\x00"
    for level in range(levels):
        made += b"](" + bytes([ord("h"), level]) * 10 + b"eq" + bytes([level + 1])
    return made + b"."


HOSTILE = {
    "pointers as the bytes of an object array": EMPTY + state(number(4), b"O8", data(b"A" * 32)),
    "an object scalar": b"cnumpy.core.multiarray\nscalar\n("
    + dtype(b"O8")
    + data(b"A" * 8)
    + b"tR.",
    "ndarray called with a buffer": NDARRAY
    + b"(("
    + number(4)
    + b"t"
    + dtype(b"O8")
    + data(b"A" * 32)
    + b"tR.",
    "ndarray called with gigabytes": NDARRAY + b"((" + number(40000) * 3 + b"ttR.",
    "a dtype with fields": dtype(b"V8") + b"N.",
    "fewer bytes than the shape needs": EMPTY + state(number(4), b"i8", data(b"A" * 31)),
    "a shape of billions": EMPTY + state(number(2**31 - 1), b"i8", data(b"")),
    "a negative shape": EMPTY + state(number(-1), b"i8", data(b"")),
    "an array without its state": EMPTY + b".",
    "an array that is given a state that is none": EMPTY + b"Nb.",
    "a function of Python": b"cos\nsystem\n(" + text(b"true") + b"tR.",
    "a function named by the stack": b"\x80\x04" + text(b"os") + text(b"system") + b"\x93.",
    "an object made": b"\x80\x04cnumpy\nndarray\n)\x81.",
    "a persistent object": b"Px\n.",
    "a codec with side effects": b"c_codecs\nencode\n(" + text(b"x") + text(b"hex") + b"tR.",
    "a call of a number": number(1) + b")R.",
    "text of four gigabytes": b"X\xff\xff\xff\xff",
    "a number of two gigabytes": b"\x8b" + struct.pack("<i", 2**31 - 1) + b".",
    "a frame of exabytes, then nothing": b"\x80\x04\x95" + struct.pack("<Q", 2**60),
    "a million nested tuples": b"N" + b"\x85" * 1_000_000 + b".",
    "a list that holds itself": b"]q\x00h\x00a.",
    "a thousand million references": laughs(9),
    "a memory that was never filled": b"h\x05.",
    "an empty stack": b"0.",
    "nothing at all": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_a_plain_value_is_refused(name: str):
    """Pickles that crash, exhaust or run something in Python's unpickler are one kind of error."""
    with pytest.raises(NotPlain):
        plain_value(HOSTILE[name])


def test_a_huge_number_in_the_memo_allocates_nothing():
    """The memo's index 2^31 - 1 is a key here; Python's unpickler allocates 16 GiB for it."""
    assert plain_value(b"\x80\x03Nr\xff\xff\xff\x7f.") is None


BOX = {"z_min": 1, "z_max": 300, "z_mid": np.int64(70_000), "note": [None, True, -1.5, "ä", (2,)]}
ARRAYS: dict[str, Any] = {
    "boxes": np.array([BOX, {}, BOX], dtype=object),
    "objects in two dimensions": np.array([[1, "a"], [None, 2.5]], dtype=object),
    "objects in Fortran's order": np.asfortranarray(np.array([[1, 2], [3, 4]], dtype=object)),
    "numbers": np.arange(6).reshape(2, 3),
    "numbers in Fortran's order": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "big-endian numbers": np.arange(5, dtype=">i2"),
    "floats": np.array([0.5, np.inf, -1e300]),
    "truth values": np.array([True, False]),
    "a number of numpy's": np.float32(0.25),
    "no elements": np.empty((0, 3), object),
    "arrays in an array": [np.arange(3), np.array([np.arange(2), "x"], dtype=object)],
}


def plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return type(value)(map(plain, value)) if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_the_lists_that_python_reads(name: str, protocol: int):
    """In every pickle protocol, and once optimised, as Python's own unpickler has them."""
    pickled = pickle.dumps(ARRAYS[name], protocol=protocol)
    for form in (pickled, pickletools.optimize(pickled)):
        assert plain_value(form) == plain(pickle.loads(form))
