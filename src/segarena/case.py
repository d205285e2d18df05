"""A case on disk: what a submission may see, and the truth, in two files that never mix.

All arrays are (z, y, x), RGB images (z, y, x, 3), 2D is one slice; spacing is in mm in the same
order, but for the one in the image file, which is for submissions: there it is (x, y, z), as
SimpleITK gives it, or as a ready-made file has it. Clicks and boxes are voxel indices.

Boxes and clicks travel to submissions as object arrays, that is as pickles, because the reference
evaluation defined them so. Written by numpy 2 in its usual way they cannot be read in containers
with numpy before 1.26 (`No module named 'numpy._core'`). `object_array_bytes` therefore writes
pickle protocol 2 with the module names that every numpy knows, and only plain Python ints, strings,
lists and dicts inside. `_read_objects` reads such arrays back without unpickling them
(segarena.plain_pickle). Of every member the header is read first, by itself: it must promise
exactly as many bytes as the member has before anything is unpacked or allocated.
"""

import contextlib
import io
import json
import lzma
import math
import pickle
import shutil
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from segarena.errors import CaseError
from segarena.files import atomic_write
from segarena.plain_pickle import plain_value
from segarena.untrusted import CarefulFile, printable

Box = dict[str, int]
Spacing = tuple[float, float, float]

BOX_KEYS = (
    "z_min",
    "z_max",
    "z_mid",
    "z_mid_x_min",
    "z_mid_y_min",
    "z_mid_x_max",
    "z_mid_y_max",
)

UNREADABLE: tuple[type[Exception], ...] = (
    *(OSError, EOFError, MemoryError, RuntimeError, ArithmeticError, SyntaxError),
    *(ValueError, TypeError, LookupError, AttributeError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError),
)
"""What reading a file that is damaged, or made to do harm, may raise: zipfile, numpy and ours."""

PACKINGS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""How numpy packs members; other packings can ask for gigabytes of memory."""

_LARGEST_HEADER_BYTES = 10_000
_LARGEST_PICKLE_BYTES = 4 << 20
_LARGEST_READ_BYTES = 16 << 20
_LARGEST_INDEX = 2**31
_MOST_MEMBERS = 1000

# What is often found under the name of an image: how it begins, and what to do about it.
_FOREIGN = (
    (b"version https://git-lfs.github.com/", "a git-lfs pointer, not the data: run `git lfs pull`"),
    (b"<!doctype html", "a web page, not the data: download the file again"),
    (b"<html", "a web page, not the data: download the file again"),
    (b"<?xml", "an XML text, perhaps a server's error, not the data: download the file again"),
    (b"pk\x03\x04", "a zip archive: unpack it, or check what it really is"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    (b"rar!\x1a\x07", "a rar archive: unpack it"),
    (b"\xfd7zxz\x00", "compressed with xz: unpack it"),
    (b"bzh", "compressed with bzip2: unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it"),
    (b"nrrd00", "NRRD: convert it to NIfTI"),
    (b"objecttype", "MetaImage (.mha): convert it to NIfTI"),
    (b"\x89hdf\r\n", "HDF5 (or MINC 2): convert it to NIfTI"),
    (b"\x89png\r\n", "a PNG picture: name it .png"),
    (b"\xff\xd8\xff", "a JPEG picture: name it .jpg"),
    (b"ii*\x00", "a TIFF picture: convert it to PNG or NIfTI"),
    (b"mm\x00*", "a TIFF picture: convert it to PNG or NIfTI"),
    (b"gif8", "a GIF picture: convert it to PNG"),
    (b"bm", "a BMP picture: convert it to PNG"),
    (b"%pdf", "a PDF"),
    (b"\x93numpy", "a NumPy .npy array: store it as .npz or NIfTI"),
)
FOREIGN_BYTES = 512  # as many of a file's first bytes as `foreign` wants to see


@dataclass(frozen=True)
class Image:
    """What a submission may see of a case.

    imgs: uint8 (D, H, W) or (D, H, W, 3). spacing_mm: (z, y, x). boxes: one per label in the
    order of the sorted labels, or None where the case has no box. spacing_order: the
    order of the spacing in the file, "xyz" or "zyx".
    """

    imgs: np.ndarray
    spacing_mm: Spacing
    boxes: list[Box] | None
    spacing_order: str = "zyx"


@dataclass(frozen=True)
class Place:
    """Where a slice case is in the volume that it was cut from.

    shape: the volume's (D, H, W). axis: 0, 1 or 2, the axis that the slice is across. index: the
    slice along it. A slice that is larger or smaller than the volume's was padded to a square,
    centred, and resized.
    """

    shape: tuple[int, int, int]
    axis: int
    index: int


@dataclass(frozen=True)
class Truth:
    """The label map of a case: unsigned integers (D, H, W), 0 is background.

    `label_ids` maps each label to the id that it had in the file it came from, `affine` (4, 4)
    takes voxel indices (x, y, z) to mm, `nifti_header` is the image's header: with them an answer
    goes back to NIfTI. They are None where the case came from files that have no such thing. In a
    case without foreground `label_ids` has the labels that the case could have had.
    `place` is None unless the case is a slice; affine and header are then the whole volume's.
    `spacing_mm` is (z, y, x), and None in a ready-made file that has not been prepared.
    `raters` are the label maps (D, H, W) of several raters by their names, of which `gts` is the
    consensus, with its labels; they are written, and read by `read_raters` alone.
    """

    gts: np.ndarray
    label_ids: dict[int, int] | None = None
    affine: np.ndarray | None = None
    nifti_header: bytes | None = None
    place: Place | None = None
    spacing_mm: Spacing | None = None
    raters: Mapping[str, np.ndarray] | None = None

    @property
    def labels(self) -> list[int]:
        """The labels that a submission is asked for, sorted, without the background.

        Those that the truth holds; in a case without foreground those that it could have had.
        """
        present = {int(v) for v in np.unique(self.gts) if v != 0}
        return sorted(present.union(self.label_ids or ()))

    @property
    def ids(self) -> dict[int, int]:
        """The id of each label by its number: what people call it, and what submissions do.

        They differ where the case came from NIfTI or a picture, whose ids are numbered 1, 2, ...
        """
        return self.label_ids or {label: label for label in self.labels}


def asked_labels(truth: Truth, ignore_label: int | None) -> list[int]:
    """Return the labels that a submission is asked for, without the one that a protocol ignores."""
    ids = truth.ids
    return [label for label in truth.labels if ids[label] != ignore_label]


def ignored(truth: Truth, ignore_label: int | None) -> np.ndarray | None:
    """Return the voxels (D, H, W) that a protocol's `ignore_label` takes out, or None where none.

    ignore_label: the label's id in the file that it came from. Raises CaseError where it is not the
    highest label: submissions number what they are asked for from 1, so none may be missing.
    """
    if ignore_label is None:
        return None
    ids = truth.ids
    label = next((label for label, original in ids.items() if original == ignore_label), None)
    if label is None:
        return None
    if label != max(ids):
        raise CaseError(f"ignore_label {ignore_label}: it must be the highest id of a label map")
    return truth.gts == label


def foreign(head: bytes) -> str | None:
    """Return what a file is that is no case, and what to do; None where its start says nothing.

    head: the file's first FOREIGN_BYTES bytes.
    """
    if not head:
        return "an empty file: copy it again"
    if head[128:132] == b"DICM":
        return "DICOM: convert the series to NIfTI, for example with dcm2niix"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for mark, what in _FOREIGN:
        if start.startswith(mark):
            return what
    if not any(head):
        return "nothing but zeros: copy the file again"
    return "a text file, not the data" if _is_text(head) else None


def _is_text(head: bytes) -> bool:
    printable = sum(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head)
    return printable == len(head)


def smallest_unsigned(largest: int) -> np.dtype:
    """Return the smallest unsigned dtype that holds `largest`."""
    return np.min_scalar_type(largest)


def write_image(path: str | Path, image: Image) -> None:
    """Write the file that a submission's input is made from; `boxes` is its last member."""
    arrays: dict[str, Any] = {
        "imgs": image.imgs,
        "spacing": np.asarray(_ordered(image.spacing_mm, image.spacing_order), np.float64),
    }
    if image.boxes is not None:
        arrays["boxes"] = object_array(image.boxes)
    write_npz(path, arrays)


def read_image(path: str | Path, *, spacing_order: str = "zyx") -> Image:
    """Read what `write_image` wrote, or a ready-made challenge case with the same keys.

    spacing_order: the order of the file's spacing, "xyz" or "zyx", which it does not say.
    Raises CaseError with the file and the reason. Keys beyond imgs, spacing and boxes are ignored.
    """
    with _open_npz(path) as archive:
        imgs = _read_array(archive, "imgs", path)
    spacing_mm = _ordered(read_spacing(path), spacing_order)
    return Image(imgs, spacing_mm, read_boxes(path), spacing_order)


def read_boxes(path: str | Path) -> list[Box] | None:
    """Return the boxes of an image file, or None where the case has none; the image is not read.

    Raises CaseError with the file and the reason.
    """
    with _open_npz(path) as archive:
        if "boxes.npy" not in archive.namelist():
            return None
        return [_plain_box(box, path) for box in _read_objects(archive, "boxes", path)]


def write_truth(path: str | Path, truth: Truth) -> None:
    """Write the truth file; it is never next to a submission's input."""
    arrays: dict[str, Any] = {"gts": truth.gts}
    if truth.label_ids is not None:
        arrays["label_ids"] = np.array(sorted(truth.label_ids.items()), np.int64).reshape(-1, 2)
    if truth.affine is not None:
        arrays["affine"] = np.asarray(truth.affine, np.float64)
    if truth.nifti_header is not None:
        arrays["nifti_header"] = np.frombuffer(truth.nifti_header, np.uint8)
    if truth.place is not None:
        place = truth.place
        arrays["place"] = np.array([*place.shape, place.axis, place.index], np.int64)
    if truth.spacing_mm is not None:
        arrays["spacing_mm"] = np.array(truth.spacing_mm, np.float64)
    if truth.raters:
        arrays["raters"] = np.stack(list(truth.raters.values()))
        names = json.dumps(list(truth.raters)).encode()
        arrays["rater_names"] = np.frombuffer(names, np.uint8)
    write_npz(path, arrays)


def read_spacing(path: str | Path) -> Spacing:
    """Return the spacing of an image file in mm, in the file's order."""
    with _open_npz(path) as archive:
        spacing = _read_array(archive, "spacing", path).astype(np.float64).ravel()
    if spacing.shape != (3,) or not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise CaseError(f"{path}: spacing is {spacing}, expected three mm values above 0")
    first, second, third = spacing.tolist()
    return first, second, third


def _ordered(spacing: Spacing, order: str) -> Spacing:
    """Return a spacing from (z, y, x) in the given order, or the other way round."""
    return spacing if order == "zyx" else (spacing[2], spacing[1], spacing[0])


def read_truth(path: str | Path) -> Truth:
    """Read a truth file, ours or a ready-made one with `gts`; raises CaseError with the reason."""
    with _open_npz(path) as archive:
        gts = _read_array(archive, "gts", path)
        ids = _read_optional(archive, "label_ids", path)
        affine = _read_optional(archive, "affine", path)
        header = _read_optional(archive, "nifti_header", path)
        place = _read_optional(archive, "place", path)
        spacing = _read_optional(archive, "spacing_mm", path)
    try:
        return Truth(
            gts,
            None if ids is None else {int(label): int(original) for label, original in ids},
            None if affine is None else affine.reshape(4, 4),
            None if header is None else header.tobytes(),
            None if place is None else _place(place.tolist()),
            None if spacing is None else (float(spacing[0]), float(spacing[1]), float(spacing[2])),
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise CaseError(
            f"{path}: label_ids, affine or place is not as it should be ({printable(error)})"
        ) from error


def read_raters(path: str | Path) -> dict[str, np.ndarray]:
    """Return the label maps (D, H, W) of several raters by name; none where the file has none.

    Of a ready-made file with `raters` (R, D, H, W) the names are 1 to R. Raises CaseError.
    """
    with _open_npz(path) as archive:
        maps = _read_optional(archive, "raters", path)
        names = _read_optional(archive, "rater_names", path)
    if maps is None:
        return {}
    if maps.ndim < 3 or not len(maps):
        raise CaseError(f"{path}: raters is {maps.shape}, expected (R, D, H, W)")
    if names is None:
        return {str(number): one for number, one in enumerate(maps, start=1)}
    try:
        known = [str(name) for name in json.loads(names.tobytes())]
        return dict(zip(known, maps, strict=True))
    except (ValueError, TypeError) as error:
        raise CaseError(f"{path}: rater_names does not fit raters ({printable(error)})") from error


def spacing_of(path: str | Path, truth: Truth) -> Spacing:
    """Return the spacing (z, y, x) in mm of a prepared truth; CaseError where it has none."""
    if truth.spacing_mm is None:
        raise CaseError(f"{path}: key 'spacing_mm' is missing: it is not a prepared case")
    return truth.spacing_mm


def read_array(path: str | Path, key: str, *, most_bytes: int) -> np.ndarray:
    """Return an array of numbers of an .npz file; raises CaseError with the reason.

    most_bytes: how large it may be unpacked; nothing is unpacked where its header says more.
    """
    with _open_npz(path) as archive:
        return _read_array(archive, key, path, most_bytes)


def write_answer(path: str | Path, segs: np.ndarray, probs: str | Path | None = None) -> None:
    """Write a label map (D, H, W) under the key `segs`.

    probs: a file that `write_probs` wrote, or an answer; its probabilities are copied.
    """
    with atomic_write(path) as tmp, zipfile.ZipFile(tmp, "w", zipfile.ZIP_DEFLATED) as archive:
        append_arrays(archive, {"segs": segs})
        if probs is not None:
            archive.compresslevel = 1
            with (
                zipfile.ZipFile(probs) as other,
                other.open("probs.npy") as member,
                archive.open("probs.npy", "w", force_zip64=True) as copy,
            ):
                shutil.copyfileobj(member, copy, _LARGEST_READ_BYTES)


def write_probs(path: str | Path, shape: tuple[int, ...], maps: Iterable[np.ndarray]) -> None:
    """Write probabilities, uint8 of this shape (K, D, H, W), one label after the other."""
    with (
        atomic_write(path) as tmp,
        zipfile.ZipFile(tmp, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("probs.npy", "w", force_zip64=True) as member,
    ):
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(member, header)
        for one in maps:
            member.write(np.ascontiguousarray(one).data)


def read_answer(path: str | Path) -> np.ndarray:
    """Return the label map that `write_answer` wrote."""
    with _open_npz(path) as archive:
        return _read_array(archive, "segs", path)


def has_probs(path: str | Path) -> bool:
    """Return whether an answer as we keep it has probabilities beside the label map."""
    with _open_npz(path) as archive:
        return "probs.npy" in archive.namelist()


def probs_of(path: str | Path) -> Iterator[np.ndarray]:
    """Yield the probabilities (D, H, W), uint8, of one label after the other, of such an answer."""
    with _open_npz(path) as archive:
        try:
            with archive.open(_member(archive, "probs")) as member:
                (labels, *shape), dtype = npy_header(member)
                for _ in range(labels):
                    content = member.read(math.prod(shape) * dtype.itemsize)
                    yield np.frombuffer(content, dtype).reshape(shape)
                member.read(1)  # the end of the member is where its checksum is compared
        except UNREADABLE as error:
            raise CaseError(f"{path}: key 'probs' cannot be read ({_why(error)})") from error


def object_array(items: list[Any]) -> np.ndarray:
    """Return a one-dimensional object array with one element an item."""
    array = np.empty(len(items), object)
    for position, item in enumerate(items):  # assigned at once, lists would become an array
        array[position] = item
    return array


def npy_bytes(array: np.ndarray) -> bytes:
    """Return the .npy file of an array; object arrays in the form that every numpy can read."""
    buffer = io.BytesIO()
    if array.dtype.hasobject:
        npy.write_array_header_1_0(buffer, npy.header_data_from_array_1_0(array))
        pickled = pickle.dumps(array, protocol=2)
        buffer.write(pickled.replace(b"cnumpy._core.", b"cnumpy.core."))
    else:
        npy.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def write_npz(path: str | Path, arrays: Mapping[str, np.ndarray], *, level: int = 1) -> None:
    """Write a compressed .npz; the same arrays give the same bytes."""
    with atomic_write(path) as tmp, zipfile.ZipFile(tmp, "w", zipfile.ZIP_DEFLATED) as archive:
        append_arrays(archive, arrays, level=level)


def append_arrays(
    archive: zipfile.ZipFile, arrays: Mapping[str, np.ndarray], *, level: int = 1
) -> None:
    """Add arrays to an open .npz."""
    for key, array in arrays.items():
        member = zipfile.ZipInfo(f"{key}.npy")  # dated 1980, so that bytes depend on content alone
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, npy_bytes(array), compresslevel=level)


@contextlib.contextmanager
def _open_npz(path: str | Path) -> Iterator[zipfile.ZipFile]:
    try:
        file = CarefulFile(path, _LARGEST_READ_BYTES)
    except OSError as error:
        raise CaseError(f"{path}: cannot be opened ({printable(error)})") from error
    with file:
        try:
            archive = zipfile.ZipFile(file)
        except UNREADABLE as error:
            reason = _what(path) or _why(error)
            raise CaseError(f"{path}: not a readable .npz file ({reason})") from error
        with archive:
            _check_names(archive, path)
            yield archive


def _check_names(archive: zipfile.ZipFile, path: str | Path) -> None:
    """Raise CaseError where a member's name is not the same in both places that hold it.

    Names have no checksum: with a damaged one, a case would seem to have no boxes.
    """
    if len(archive.infolist()) > _MOST_MEMBERS:
        raise CaseError(f"{path}: it has more than {_MOST_MEMBERS} members, no case has as many")
    try:
        for info in archive.infolist():
            archive.open(info).close()  # compares them
    except UNREADABLE as error:
        raise CaseError(f"{path}: not a readable .npz file ({_why(error)})") from error


def _what(path: str | Path) -> str | None:
    with Path(path).open("rb") as file:
        return foreign(file.read(FOREIGN_BYTES))


def npy_header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and dtype from the start of an .npy file, of which little is read.

    Raises ValueError where it is broken or declares what is no array.
    """
    shape, _, dtype = npy_layout(member)
    return shape, dtype


def npy_layout(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return the same, and between them whether the values are in Fortran order."""
    version, size_bytes = npy.read_magic(member), 2
    if version != (1, 0):
        size_bytes = 4
    size = member.read(size_bytes)
    if len(size) < size_bytes or int.from_bytes(size, "little") > _LARGEST_HEADER_BYTES:
        raise ValueError("the .npy header is broken")
    start = io.BytesIO(size + member.read(int.from_bytes(size, "little")))
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's hints to whoever wrote the file
            shape, fortran, dtype = read(start)
    except Exception as error:  # numpy parses it as Python; whatever comes of that is the header's
        raise ValueError("the .npy header is broken") from error
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("the .npy header declares a shape that is none")
    return shape, fortran, dtype


def _read_array(
    archive: zipfile.ZipFile, key: str, path: str | Path, most_bytes: int | None = None
) -> np.ndarray:
    """Return an array of numbers, once its header promises what its member holds."""
    if f"{key}.npy" not in archive.namelist():
        keys = ", ".join(name.removesuffix(".npy") for name in archive.namelist()[:10])
        raise CaseError(f"{path}: key {key!r} is missing, it holds {printable(keys) or 'nothing'}")
    try:
        info = _member(archive, key)
        with archive.open(info) as member:
            shape, dtype = npy_header(member)
            promised = member.tell() + math.prod(shape) * dtype.itemsize
        if dtype.kind not in "biuf":
            raise ValueError(f"it holds {dtype.name}, expected numbers")
        if info.file_size != promised:
            raise ValueError(f"it has {info.file_size:,} bytes, its header promises {promised:,}")
        if most_bytes is not None and promised > most_bytes:
            raise ValueError(f"it has {promised:,} bytes, more than the {most_bytes:,} expected")
        with archive.open(info) as member:
            array = npy.read_array(member, allow_pickle=False)
            member.read(1)  # the end of the member is where its checksum is compared
        return array
    except UNREADABLE as error:
        raise CaseError(f"{path}: key {key!r} cannot be read ({_why(error)})") from error


def _member(archive: zipfile.ZipFile, key: str) -> zipfile.ZipInfo:
    if archive.namelist().count(f"{key}.npy") > 1:
        raise ValueError("it is there more than once")
    info = archive.getinfo(f"{key}.npy")
    if info.compress_type not in PACKINGS:
        raise ValueError("it is packed in a way that np.savez does not use")
    return info


def _why(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "it declares more than the memory holds"
    return printable(error) or type(error).__name__


def _place(numbers: list[int]) -> Place:
    depth, height, width, axis, index = (int(number) for number in numbers)
    return Place((depth, height, width), axis, index)


def _read_optional(archive: zipfile.ZipFile, key: str, path: str | Path) -> np.ndarray | None:
    return _read_array(archive, key, path) if f"{key}.npy" in archive.namelist() else None


def _read_objects(archive: zipfile.ZipFile, key: str, path: str | Path) -> list[Any]:
    """Return the plain values of an object array."""
    try:
        info = _member(archive, key)
        if info.file_size > _LARGEST_PICKLE_BYTES:
            raise ValueError(f"it has {info.file_size:,} bytes, too many for boxes")
        with archive.open(info) as member:
            shape, dtype = npy_header(member)
            if not dtype.hasobject or len(shape) != 1:
                raise ValueError("not an object array in one dimension")
            values = plain_value(member.read())
        if not isinstance(values, list) or len(values) != shape[0]:
            raise ValueError("its header declares another array")
        return values
    except UNREADABLE as error:
        raise CaseError(f"{path}: key {key!r} cannot be read ({_why(error)})") from error


def _plain_box(box: Any, path: str | Path) -> Box:
    try:
        numbers = {key: int(box[key]) for key in BOX_KEYS}
        if any(number != box[key] for key, number in numbers.items()):
            raise ValueError("a number with a fraction, or not a number")
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise CaseError(
            f"{path}: boxes: a box needs the integers {', '.join(BOX_KEYS)}"
            f" ({type(error).__name__}: {printable(error)})"
        ) from error
    if any(abs(number) >= _LARGEST_INDEX for number in numbers.values()):
        raise CaseError(f"{path}: a box reaches beyond every image")
    return numbers
