"""Read what a submission wrote, trusting nothing.

The file is opened without following a link, and only a regular file with one name is read. It is a
zip archive with `segs.npy` in it; that member's header is read by itself and must promise exactly
the label map that is expected before anything else is unpacked, so a small file cannot unpack to
terabytes. Nothing is ever unpickled, and no other member is opened, but for `probs.npy` where a
protocol measures probabilities: it must promise exactly one map per label, and one is read after
the other.

Only an error of the disk while bytes are read is ours. Whatever a parser makes of the bytes, and be
it an OSError because an offset in the file leads nowhere, is the answer's.
"""

import contextlib
import math
import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from numpy.lib import format as npy

from segarena.case import (
    PACKINGS,
    UNREADABLE,
    npy_header,
    npy_layout,
    smallest_unsigned,
    write_probs,
)
from segarena.errors import EngineError
from segarena.untrusted import CarefulFile, printable

LARGEST_LABEL = np.iinfo(np.uint16).max

_LARGEST_READ_BYTES = 1 << 20
_PIECE_BYTES = 1 << 18
_DTYPES = {np.dtype(kind).str[1:] for kind in ("?", *np.typecodes["AllInteger"], *"efd")}


class BadAnswer(Exception):
    """The answer cannot be used; the text says why, to the team, on one printable line."""

    def __init__(self, why: str) -> None:
        super().__init__(printable(why))


class NoAnswer(Exception):
    """There is no answer at all; the text says what there is instead, as that of a BadAnswer."""

    def __init__(self, why: str) -> None:
        super().__init__(printable(why))


@dataclass(frozen=True)
class Probs:
    """That an answer may have probabilities, for how many labels, and where they are put."""

    labels: int
    file: Path


def take_answer(
    path: Path, shape: tuple[int, ...], largest_bytes: int, probs: Probs | None = None
) -> np.ndarray:
    """Return the label map of an answer file, in the smallest unsigned type that holds it.

    shape: (D, H, W) of the image. probs: where to write the answer's probabilities; nothing is
    written if it has none, and they are not looked at without it. Raises BadAnswer where the file
    is not a regular .npz whose `segs` has this shape and whole numbers from 0 to 65535, and whose
    `probs` is as docs/protocols.md says, NoAnswer where there is none, and EngineError where the
    disk fails.
    """
    with _open_answer(path, largest_bytes) as file:
        segs = _as_labels(_segs(file, path.name, shape))
        if probs is not None and _has(file, "probs.npy"):
            expected = (probs.labels, *shape)
            try:
                write_probs(probs.file, expected, _probs(file, path.name, expected))
            except OSError as error:  # what cannot be read is a BadAnswer by then
                raise EngineError(
                    f"{probs.file}: cannot be written ({error}); make room"
                ) from error
        return segs


def _has(file: Any, member: str) -> bool:
    with zipfile.ZipFile(file) as archive:
        return member in archive.namelist()


def _probs(file: Any, name: str, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield the probabilities (D, H, W) of each label as uint8, each checked, from the stream."""
    try:
        with zipfile.ZipFile(file) as archive:
            info = archive.getinfo("probs.npy")
            if archive.namelist().count("probs.npy") > 1 or info.compress_type not in PACKINGS:
                raise BadAnswer("'probs' is packed in a way that np.savez does not use")
            with archive.open(info) as member:
                found, fortran, dtype = npy_layout(member)
                if dtype not in (np.dtype(np.uint8), np.dtype(np.float16)):
                    raise BadAnswer(f"'probs' holds {dtype.name}; write uint8 (p * 255) or float16")
                if found != shape or fortran:
                    order = " in Fortran order" if fortran else ""
                    raise BadAnswer(
                        f"'probs' has the shape {found}{order}, expected {shape}: a map per label "
                        "that was asked for, without the background, in C order"
                    )
                expected = member.tell() + math.prod(shape) * dtype.itemsize
                if info.file_size != expected:
                    raise BadAnswer(
                        f"'probs' unpacks to {info.file_size:,} bytes, expected {expected:,}"
                    )
                for _ in range(shape[0]):
                    content = _read(member, math.prod(shape[1:]) * dtype.itemsize)
                    yield _as_probs(np.frombuffer(content, dtype).reshape(shape[1:]))
                member.read(1)  # the end of the member is where its checksum is compared
    except MemoryError as error:
        raise EngineError(f"{name}: there is not enough memory to read it") from error
    except UNREADABLE as error:
        raise BadAnswer(f"{name} is no whole .npz file: {error or type(error).__name__}") from error


def _read(member: IO[bytes], size: int) -> bytearray:
    """Read so many bytes, in pieces of which none is large."""
    content = bytearray()
    while len(content) < size:
        piece = member.read(min(_PIECE_BYTES, size - len(content)))
        if not piece:
            raise ValueError("'probs' ends too early")
        content += piece
    return content


def _as_probs(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise BadAnswer("'probs' holds values outside of 0 to 1; write probabilities, not logits")
    return np.rint(values.astype(np.float32) * 255).astype(np.uint8)


def image_shape(image_npz: Path) -> tuple[int, ...]:
    """Return the shape (D, H, W) of a prepared image without reading it."""
    try:
        with zipfile.ZipFile(image_npz) as archive, archive.open("imgs.npy") as member:
            return npy_header(member)[0][:3]
    except UNREADABLE as error:
        raise EngineError(
            f"{image_npz}: not a whole file ({error}); delete it and run again"
        ) from error


def _open_answer(path: Path, largest_bytes: int) -> CarefulFile:
    name = path.name
    try:
        handle = _handle(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NoAnswer(_missing(path)) from error
    except OSError as error:
        mode = _mode(path)
        if mode and not stat.S_ISREG(mode):
            raise BadAnswer(f"{name} is {_kind(mode)}, not a file") from error
        raise EngineError(
            f"{path}: the answer cannot be read ({error}); see docs/isolation.md"
        ) from error
    status = os.fstat(handle)
    problem = ""
    if not stat.S_ISREG(status.st_mode):
        problem = f"{name} is {_kind(status.st_mode)}, not a file"
    elif status.st_nlink != 1:
        problem = f"{name} has a second name (a hard link); write a file of its own"
    elif status.st_size == 0:
        problem = f"{name} is empty"
    elif status.st_size > largest_bytes:
        problem = f"{name} has {status.st_size:,} bytes; {largest_bytes:,} are allowed"
    if problem:
        os.close(handle)
        raise BadAnswer(problem)
    return CarefulFile(handle, _LARGEST_READ_BYTES)


def _handle(path: Path) -> int:
    """Open a file without following a link; O_NONBLOCK: a fifo would keep us waiting for ever."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except PermissionError:
        for closed in (path.parent, path):
            _give_back(closed)
        return os.open(path, flags)


def _give_back(path: Path) -> None:
    """Open to us what a program that ran as our own user (Apptainer, a process) has closed."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(handle)
            ours = status.st_uid == os.geteuid()
            if ours and (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
                Path(f"/proc/self/fd/{handle}").chmod(0o700)
        finally:
            os.close(handle)


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError:
        return 0


def _missing(path: Path) -> str:
    try:
        found = sorted(entry.name for entry in path.parent.iterdir())[:5]
    except OSError:
        return "the outputs folder is gone; write the answer into it and leave it where it is"
    there = f"it holds {', '.join(map(repr, found))}" if found else "it is empty"
    return f"no {path.name!r} in the outputs folder ({there}); use the input file's name"


def _segs(file: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    try:
        with zipfile.ZipFile(file) as archive:
            found, dtype, offset = _promise(archive, name)
            _check_promise(archive.getinfo("segs.npy"), found, dtype, offset, shape)
            with archive.open("segs.npy") as member:
                segs = npy.read_array(member, allow_pickle=False)
                member.read(1)  # the end of the member is where its checksum is compared
            return segs
    except MemoryError as error:  # what is unpacked was checked to be as large as the image
        raise EngineError(f"{name}: there is not enough memory to read it") from error
    except UNREADABLE as error:
        reason = str(error) or type(error).__name__
        raise BadAnswer(f"{name} is no whole .npz file: {reason}") from error


def _promise(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype, int]:
    """Return shape, dtype and length of the header of `segs`."""
    keys = [key.removesuffix(".npy") for key in archive.namelist()[:5]]
    if "segs.npy" not in archive.namelist():
        raise BadAnswer(f"{name} has no key 'segs'; it has {', '.join(map(repr, keys)) or 'none'}")
    if archive.getinfo("segs.npy").compress_type not in PACKINGS:
        raise BadAnswer("'segs' is packed in a way that np.savez does not use")
    with archive.open("segs.npy") as member:
        shape, dtype = npy_header(member)
        return shape, dtype, member.tell()


def _check_promise(
    member: zipfile.ZipInfo,
    found: tuple[int, ...],
    dtype: np.dtype,
    offset: int,
    shape: tuple[int, ...],
) -> None:
    if dtype.hasobject:
        raise BadAnswer("'segs' is an array of Python objects, which is never unpickled; use uint8")
    if dtype.str[1:] not in _DTYPES:
        raise BadAnswer(f"'segs' holds {dtype}, expected whole numbers such as uint8")
    if found != shape:
        hint = "; drop the first axis" if found == (1, *shape) else ""
        raise BadAnswer(f"'segs' has the shape {found}, the image has {shape}{hint}")
    expected = offset + math.prod(shape) * dtype.itemsize
    if member.file_size != expected:
        raise BadAnswer(f"'segs' unpacks to {member.file_size:,} bytes, expected {expected:,}")


def _as_labels(segs: np.ndarray) -> np.ndarray:
    if segs.dtype.kind == "b":
        return segs.astype(np.uint8)
    if segs.dtype.kind == "f" and not (np.isfinite(segs).all() and (segs == np.trunc(segs)).all()):
        _not_labels("values that are not whole numbers")
    low, high = (segs.min(), segs.max()) if segs.size else (0, 0)
    if low < 0:
        _not_labels(f"the negative label {low:g}")
    if high > LARGEST_LABEL:
        _not_labels(f"the label {high:g}, above {LARGEST_LABEL}")
    return segs.astype(smallest_unsigned(int(high)))


def _not_labels(what: str) -> NoReturn:
    raise BadAnswer(f"'segs' holds {what}; write a label map of 0 and the labels, such as uint8")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_ISLNK: "a link",
        stat.S_ISDIR: "a folder",
        stat.S_ISFIFO: "a fifo",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    return next((name for test, name in kinds.items() if test(mode)), "something")
