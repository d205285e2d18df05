"""A case on disk: what a submission may see, and the truth, in two files that never mix.

All arrays are (z, y, x), RGB images (z, y, x, 3), 2D is one slice; spacing is in mm in the same
order. Clicks and boxes are voxel indices.

Boxes and clicks travel to submissions as object arrays, that is as pickles, because the reference
evaluation defined them so. Written by numpy 2 in its usual way they cannot be read in containers
with numpy before 1.26 (`No module named 'numpy._core'`). `object_array_bytes` therefore writes
pickle protocol 2 with the module names that every numpy knows, and only plain Python ints, strings,
lists and dicts inside. `_read_objects` reads such arrays back without running anything: its
unpickler knows the few names that numpy needs to rebuild an array, and refuses every other.
"""

import io
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from segarena.errors import CaseError
from segarena.files import whole

Box = dict[str, int]

BOX_KEYS = (
    "z_min",
    "z_max",
    "z_mid",
    "z_mid_x_min",
    "z_mid_y_min",
    "z_mid_x_max",
    "z_mid_y_max",
)

_UNREADABLE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Image:
    """What a submission may see of a case.

    imgs: uint8 (D, H, W) or (D, H, W, 3). spacing_mm: (z, y, x). boxes: one per label in the
    order of the sorted labels, or None where the case is played without a box.
    """

    imgs: np.ndarray
    spacing_mm: tuple[float, float, float]
    boxes: list[Box] | None


@dataclass(frozen=True)
class Place:
    """Where a slice case lies in the volume that it was cut from.

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
    goes back to NIfTI. They are None where the case came from files that have no such thing.
    `place` is None unless the case is a slice; affine and header are then the whole volume's.
    """

    gts: np.ndarray
    label_ids: dict[int, int] | None = None
    affine: np.ndarray | None = None
    nifti_header: bytes | None = None
    place: Place | None = None

    @property
    def labels(self) -> list[int]:
        """The labels that the truth holds, sorted, without the background."""
        return [int(v) for v in np.unique(self.gts) if v != 0]


def ignored(truth: Truth, ignore_label: int | None) -> np.ndarray | None:
    """Return the voxels (D, H, W) that a protocol's `ignore_label` takes out, or None where none.

    ignore_label: the label's id in the file that it came from. Raises CaseError where it is not the
    highest label: submissions number what they are asked for from 1, so none may be missing.
    """
    if ignore_label is None:
        return None
    ids = truth.label_ids or {label: label for label in truth.labels}
    label = next((label for label, original in ids.items() if original == ignore_label), None)
    if label is None:
        return None
    if label != max(ids):
        raise CaseError(f"ignore_label {ignore_label}: it must be the highest id of a label map")
    return truth.gts == label


def smallest_unsigned(largest: int) -> np.dtype:
    """Return the smallest unsigned dtype that holds `largest`."""
    return np.min_scalar_type(largest)


def write_image(path: str | Path, image: Image) -> None:
    """Write the file that a submission's input is made from; `boxes` is its last member."""
    arrays: dict[str, Any] = {
        "imgs": image.imgs,
        "spacing": np.asarray(image.spacing_mm, np.float64),
    }
    if image.boxes is not None:
        arrays["boxes"] = object_array(image.boxes)
    write_npz(path, arrays)


def read_image(path: str | Path) -> Image:
    """Read what `write_image` wrote, or a ready-made challenge case with the same keys.

    Raises CaseError with the file and the reason. Keys beyond imgs, spacing and boxes are ignored.
    """
    with _opened(path) as archive:
        imgs = _read_array(archive, "imgs", path)
    return Image(imgs, read_spacing(path), read_boxes(path))


def read_boxes(path: str | Path) -> list[Box] | None:
    """Return the boxes of an image file, or None where the case has none; the image is not read."""
    with _opened(path) as archive:
        if "boxes.npy" not in archive.namelist():
            return None
        return [_plain_box(box, path) for box in _read_objects(archive, "boxes", path)]


def write_truth(path: str | Path, truth: Truth) -> None:
    """Write the truth file; it never lies next to a submission's input."""
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
    write_npz(path, arrays)


def read_spacing(path: str | Path) -> tuple[float, float, float]:
    """Return the spacing (z, y, x) in mm of an image file; the image is not read."""
    with _opened(path) as archive:
        spacing = _read_array(archive, "spacing", path).astype(np.float64).ravel()
    if spacing.shape != (3,) or not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise CaseError(f"{path}: spacing is {spacing}, expected three mm values above 0 (z, y, x)")
    z, y, x = spacing.tolist()
    return z, y, x


def read_truth(path: str | Path) -> Truth:
    """Read a truth file, ours or a ready-made one with `gts`; raises CaseError with the reason."""
    with _opened(path) as archive:
        gts = _read_array(archive, "gts", path)
        ids = _read_optional(archive, "label_ids", path)
        affine = _read_optional(archive, "affine", path)
        header = _read_optional(archive, "nifti_header", path)
        place = _read_optional(archive, "place", path)
    return Truth(
        gts,
        None if ids is None else {int(label): int(original) for label, original in ids},
        affine,
        None if header is None else header.tobytes(),
        None if place is None else _place(place.tolist()),
    )


def write_answer(path: str | Path, segs: np.ndarray) -> None:
    """Write a label map (D, H, W) under the key `segs`."""
    write_npz(path, {"segs": segs})


def read_answer(path: str | Path) -> np.ndarray:
    """Return the label map that `write_answer` wrote."""
    with _opened(path) as archive:
        return _read_array(archive, "segs", path)


def object_array(items: list[Any]) -> np.ndarray:
    """Return a one-dimensional object array with one element an item."""
    array = np.empty(len(items), object)
    array[:] = items
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
    with whole(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
        append_arrays(archive, arrays, level=level)


def append_arrays(
    archive: zipfile.ZipFile, arrays: Mapping[str, np.ndarray], *, level: int = 1
) -> None:
    """Add arrays to an open .npz."""
    for key, array in arrays.items():
        member = zipfile.ZipInfo(f"{key}.npy")  # dated 1980, so that bytes depend on content alone
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, npy_bytes(array), compresslevel=level)


def _opened(path: str | Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except _UNREADABLE as error:
        raise CaseError(f"{path}: not a readable .npz file ({error})") from error


def _read_array(archive: zipfile.ZipFile, key: str, path: str | Path) -> np.ndarray:
    try:
        with archive.open(f"{key}.npy") as member:
            return npy.read_array(member, allow_pickle=False)
    except _UNREADABLE as error:
        raise CaseError(f"{path}: key {key!r} cannot be read ({error})") from error


def _place(numbers: list[int]) -> Place:
    depth, height, width, axis, index = numbers
    return Place((depth, height, width), axis, index)


def _read_optional(archive: zipfile.ZipFile, key: str, path: str | Path) -> np.ndarray | None:
    return _read_array(archive, key, path) if f"{key}.npy" in archive.namelist() else None


def _read_objects(archive: zipfile.ZipFile, key: str, path: str | Path) -> list[Any]:
    try:
        with archive.open(f"{key}.npy") as member:
            version = npy.read_magic(member)
            read_header = (
                npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            )
            _, _, dtype = read_header(member)
            if not dtype.hasobject:
                raise ValueError("not an object array")
            return list(_PlainUnpickler(member).load())
    except (*_UNREADABLE, pickle.UnpicklingError, TypeError, AttributeError) as error:
        raise CaseError(f"{path}: key {key!r} cannot be read ({error})") from error


class _PlainUnpickler(pickle.Unpickler):
    """Rebuilds numpy arrays and scalars of plain values, and nothing else."""

    _allowed = {
        (f"numpy.{core}.{module}", name)
        for core in ("core", "_core")
        for module, name in (
            ("multiarray", "_reconstruct"),
            ("multiarray", "scalar"),
            ("numeric", "_frombuffer"),
        )
    } | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a case file")
        return super().find_class(module.replace("numpy.core.", "numpy._core."), name)


def _plain_box(box: Any, path: str | Path) -> Box:
    try:
        return {key: int(box[key]) for key in BOX_KEYS}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CaseError(f"{path}: a box needs the integers {', '.join(BOX_KEYS)}") from error
