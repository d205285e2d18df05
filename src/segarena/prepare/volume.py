"""One NIfTI file, read so that a broken one is found and a harmless oddity is reported.

nibabel knows the format, but it does not check a gzip's CRC, opens a header that declares 140 TB,
and follows whatever affine the file holds. Image and label go through this one reader, which

- compares the declared size with what the file can hold before it allocates anything,
- reads a gzip to its end, where its CRC and length stand,
- rejects a grid that cannot be used, and notes one that two readers would read differently.

Arrays leave in the file's own axis order reversed, (z, y, x) for a file's (x, y, z): a volume is
never resampled or turned to a canonical orientation, so an answer fits back voxel by voxel.
"""

import gzip
import logging
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling

from segarena.case import FOREIGN_BYTES, foreign
from segarena.errors import CaseError

MM_PER_UNIT = {0: None, 1: 1000.0, 2: 1.0, 3: 0.001}  # xyzt_units: unknown, metre, mm, micrometre
RGB_CHANNELS = ("R", "G", "B")

# Two descriptions of one grid are the same when no corner of it moves by more than this part of the
# smallest spacing: far above the rounding of float32 headers, far below what a metric could notice.
GRID_TOLERANCE_VOXELS = 0.01

# A form code above these is not in the standard. Other readers take any above 0 as a form, nibabel
# as none: it is read as "aligned to something".
_LARGEST_FORM_CODE = 5
_ALIGNED = 2

_DEFLATE_AT_BEST = 1032  # a deflate stream cannot hold more bytes for one of its own
_HEADER_CLASSES = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
_CHUNK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_quiet = logging.Logger("segarena.prepare.volume", level=logging.CRITICAL + 1)


@dataclass(frozen=True)
class Volume:
    """What a file holds, in the file's own axis order (x, y, z).

    data: (X, Y, Z), or (X, Y, Z, 3) for RGB. affine: voxel indices to the file's own unit.
    spacing: (x, y, z), in that unit too. mm_per_unit: None where the file names no unit.
    header: None for a picture.
    """

    path: Path
    data: np.ndarray
    affine: np.ndarray
    spacing: np.ndarray
    mm_per_unit: float | None
    header: nibabel.Nifti1Header | None
    warnings: list[str] = field(default_factory=list)

    @property
    def is_placed(self) -> bool:
        """Whether the file says where its voxels lie, not only how large they are."""
        header = self.header
        return header is not None and bool(header["sform_code"] > 0 or header["qform_code"] > 0)

    @property
    def slope(self) -> float:
        """What the file's header multiplies stored numbers with; 1 where it does not."""
        slope = None if self.header is None else self.header.get_slope_inter()[0]
        return 1.0 if slope is None else float(slope)

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """The number of voxels along (x, y, z)."""
        return self.data.shape[:3]


def read_volume(path: str | Path) -> Volume:
    """Read a .nii or .nii.gz file (NIfTI-1 or NIfTI-2, either byte order).

    Raises CaseError with the file and the reason.
    """
    path = Path(path)
    try:
        with _open_volume(path) as stream:
            header, raw_header, data = _header_and_data(stream, path)
    except (OSError, EOFError, zlib.error) as error:
        raise CaseError(f"{path}: {_why_unreadable(error, path)}") from error
    warnings: list[str] = []
    data = data.reshape((*data.shape, 1)[:3], order="F")
    if data.dtype.fields:
        data = _rgb(data, path, warnings)
    check_finite(data, path)
    affine = _affine(header, path)
    spacing = _spacing(header, affine, path, warnings)
    for oddity in _oddities(header, raw_header, affine, data.shape[:3]):
        warnings.append(f"{path}: {oddity}")
    unit = MM_PER_UNIT.get(int(header["xyzt_units"]) % 8)
    return Volume(path, data, affine, spacing, unit, header, warnings)


def farthest_corner(affine: np.ndarray, other: np.ndarray, shape: tuple[int, ...]) -> float:
    """Return how far apart two affines put the same corner voxel of a grid, at the worst corner."""
    indices = np.stack(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij"), -1).reshape(-1, 3)
    moved = indices @ (affine - other)[:3, :3].T + (affine - other)[:3, 3]
    return float(np.linalg.norm(moved, axis=1).max())


def same_grid(
    affine: np.ndarray, other: np.ndarray, shape: tuple[int, ...], *, spacing: np.ndarray
) -> bool:
    """Return whether two affines put a grid of `shape` in the same place, within the tolerance."""
    tolerance = GRID_TOLERANCE_VOXELS * float(spacing.min())
    return farthest_corner(affine, other, shape) <= tolerance


def check_finite(data: np.ndarray, path: Path) -> None:
    """Raise CaseError where a voxel is NaN or infinite."""
    if data.dtype.kind != "f":
        return
    planes = data.T  # the last axis of a file's order first: contiguous planes
    n_nan = sum(int(np.isnan(plane).sum()) for plane in planes)
    n_infinite = sum(int(np.isinf(plane).sum()) for plane in planes)
    if n_nan or n_infinite:
        raise CaseError(f"{path}: {n_nan} NaN and {n_infinite} infinite voxels: put them right")


def _open_volume(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if _is_named_gzip(path) else path.open("rb")


def _is_named_gzip(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _why_unreadable(error: Exception, path: Path) -> str:
    if isinstance(error, EOFError):
        return "the gzip stream ends too early: the file is truncated, copy it again"
    if not path.is_file():
        return f"cannot be read ({error})"
    with path.open("rb") as stream:
        head = stream.read(FOREIGN_BYTES)
    if _is_named_gzip(path) and not head.startswith(_GZIP_MAGIC):
        what = foreign(head)
        if what:
            return f"not a NIfTI file but {what}"
        return "not a gzip file: name it .nii if it is not compressed"
    return f"damaged ({error}): copy the file again"


def _header_and_data(
    stream: IO[bytes], path: Path
) -> tuple[nibabel.Nifti1Header, nibabel.Nifti1Header, np.ndarray]:
    head = stream.read(max(_HEADER_CLASSES))
    header, raw_header = _headers(head, path)
    shape = tuple(int(n) for n in raw_header["dim"][1 : 1 + int(raw_header["dim"][0])])
    dtype = header.get_data_dtype()
    _check_kind(shape, dtype, path)
    offset = int(raw_header["vox_offset"]) or raw_header.single_vox_offset
    needed = offset + int(np.prod(shape, dtype=object)) * dtype.itemsize
    need = f"{_shape_text(shape)} voxels of {dtype} need {needed} bytes, the file"
    size = path.stat().st_size
    if _is_named_gzip(path) and needed > size * _DEFLATE_AT_BEST:
        raise CaseError(f"{path}: broken NIfTI header: {need} of {size} cannot hold them")
    content = bytearray(head)
    while len(content) < needed and (chunk := stream.read(min(_CHUNK, needed - len(content)))):
        content += chunk
    if len(content) < needed:
        raise CaseError(f"{path}: truncated, or a broken NIfTI header: {need} has {len(content)}")
    while stream.read(_CHUNK):  # to the end, where gzip keeps the CRC
        pass
    data = np.ndarray(shape, dtype, buffer=content, offset=offset, order="F")
    return header, raw_header, _scaled(data, header, path)


def _headers(head: bytes, path: Path) -> tuple[nibabel.Nifti1Header, nibabel.Nifti1Header]:
    """Return the header as nibabel puts it right, and as it is in the file."""
    if head.startswith(_GZIP_MAGIC):
        raise CaseError(f"{path}: gzip-compressed: name it .nii.gz")
    sizes = (int.from_bytes(head[:4], order) for order in ("little", "big"))
    kind = next((size for size in sizes if size in _HEADER_CLASSES), None)
    if kind is None or len(head) < kind:
        what = foreign(head)
        reason = f" but {what}" if what else ", or cut off within its header"
        raise CaseError(f"{path}: not a NIfTI file{reason}")
    try:
        raw = _HEADER_CLASSES[kind](head[:kind], check=False)
        _check_fields(raw, path)
        header = raw.copy()
        for form in ("sform_code", "qform_code"):
            if header[form] > _LARGEST_FORM_CODE:
                header[form] = _ALIGNED
        header.check_fix(logger=_quiet, error_level=40)
    except (HeaderDataError, KeyError, ValueError) as error:
        raise CaseError(f"{path}: broken NIfTI header ({error})") from error
    return header, raw


def _check_fields(raw: nibabel.Nifti1Header, path: Path) -> None:
    magic = raw["magic"].item()
    if magic[:3] in (b"ni1", b"ni2"):
        raise CaseError(f"{path}: header of an .hdr/.img pair: convert the pair to one .nii.gz")
    n_axes = int(raw["dim"][0])
    if not 1 <= n_axes <= 7 or (raw["dim"][1 : 1 + n_axes] < 1).any():
        raise CaseError(f"{path}: broken NIfTI header (dim is {raw['dim'].tolist()})")
    pixdim = raw["pixdim"][1 : 1 + min(n_axes, 3)]
    if not np.isfinite(pixdim).all() or (pixdim == 0).any():
        raise CaseError(
            f"{path}: spacing is {pixdim.tolist()}: every pixdim must be a number above 0"
        )
    offset = float(raw["vox_offset"])
    if offset != 0 and not raw.single_vox_offset <= offset < 1 << 40:
        raise CaseError(f"{path}: broken NIfTI header (vox_offset is {offset:g})")


def _check_kind(shape: tuple[int, ...], dtype: np.dtype, path: Path) -> None:
    """Reject what is not one volume of numbers or colours, before its voxels are read."""
    if any(n > 1 for n in shape[3:]):
        raise CaseError(f"{path}: {len(shape)}D ({_shape_text(shape)}): give one volume per file")
    if sum(n > 1 for n in shape) < 2:
        raise CaseError(f"{path}: {_shape_text(shape)} voxels are not an image")
    if dtype.kind == "c":
        raise CaseError(f"{path}: complex voxels ({dtype}): store the magnitude instead")
    if dtype.fields and (dtype.names or ())[:3] != RGB_CHANNELS:
        raise CaseError(f"{path}: voxels of {dtype} are neither numbers nor RGB")


def _scaled(data: np.ndarray, header: nibabel.Nifti1Header, path: Path) -> np.ndarray:
    if data.dtype.fields:
        return data
    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise CaseError(
            f"{path}: scl_slope is {header['scl_slope']:g} and scl_inter {header['scl_inter']:g}:"
            " set scl_inter to a number, 0 where values are not shifted"
        ) from error
    if slope in (None, 1.0) and intercept in (None, 0.0):
        return data
    return apply_read_scaling(data, slope, intercept)


def _rgb(data: np.ndarray, path: Path, warnings: list[str]) -> np.ndarray:
    if len(data.dtype.names or ()) > 3:
        warnings.append(f"{path}: RGBA: the alpha channel is left out")
    return np.stack([data[name] for name in RGB_CHANNELS], axis=-1)


def _affine(header: nibabel.Nifti1Header, path: Path) -> np.ndarray:
    """Return the affine; the sform rules, then the qform, then the bare pixdim."""
    form = next((form for form in ("sform", "qform") if header[f"{form}_code"] > 0), "pixdim")
    try:
        affine = np.asarray(header.get_best_affine(), np.float64)
    except (HeaderDataError, ValueError) as error:
        raise CaseError(f"{path}: its {form} is broken ({error}): set a valid affine") from error
    affine = _with_third_axis(affine, n_axes=int(header["dim"][0]))
    if not np.isfinite(affine).all() or abs(np.linalg.det(_directions(affine))) < 1e-6:
        raise CaseError(
            f"{path}: its {form} spans no volume ({affine[:3].tolist()}): set a valid affine"
        )
    return affine


def _spacing(
    header: nibabel.Nifti1Header, affine: np.ndarray, path: Path, warnings: list[str]
) -> np.ndarray:
    """Return the distances of neighbouring voxels along (x, y, z), by the affine."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    pixdim = header["pixdim"][1:4].astype(np.float64)
    if np.allclose(pixdim, spacing, rtol=1e-4, atol=0):
        return pixdim  # the same, without the rounding of the affine
    if int(header["dim"][0]) > 2:
        warnings.append(
            f"{path}: pixdim {_numbers(pixdim)} is not the spacing of the affine,"
            f" {_numbers(spacing)} (x, y, z): the affine's is used"
        )
    return spacing


def _oddities(
    header: nibabel.Nifti1Header,
    raw_header: nibabel.Nifti1Header,
    affine: np.ndarray,
    shape: tuple[int, ...],
) -> Iterator[str]:
    """Say what other readers may see otherwise, though grid and spacing are unambiguous here."""
    stored = int(raw_header["sform_code"]), int(raw_header["qform_code"])
    if max(stored) > _LARGEST_FORM_CODE:
        yield f"sform and qform codes are {stored}, NIfTI has 0 to 5: the form is used"
    codes = int(header["sform_code"]), int(header["qform_code"])
    if codes == (0, 0):
        yield "sform and qform codes are both 0: only the spacing is known"
    elif all(codes) and not _qform_agrees(header, affine, shape):
        yield "sform and qform disagree: the sform is used"
    directions = _directions(affine)
    if np.abs(directions.T @ directions - np.eye(3)).max() > 1e-3:
        yield "sheared axes: distances are measured as if they were orthogonal"
    if (raw_header["pixdim"][1:4] < 0).any():
        yield "negative pixdim: taken without its sign"


def _qform_agrees(header: nibabel.Nifti1Header, affine: np.ndarray, shape: tuple[int, ...]) -> bool:
    try:
        qform = _with_third_axis(header.get_qform(), n_axes=int(header["dim"][0]))
    except (HeaderDataError, ValueError):
        return False
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.isfinite(qform).all()) and same_grid(affine, qform, shape, spacing=spacing)


def _with_third_axis(affine: np.ndarray, *, n_axes: int) -> np.ndarray:
    """Give a 2D file a third axis of length 1 where its affine has none."""
    if n_axes > 2 or np.linalg.norm(affine[:3, 2]) > 0:
        return affine
    affine = affine.copy()
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    affine[:3, 2] = normal / (np.linalg.norm(normal) or 1)
    return affine


def _directions(affine: np.ndarray) -> np.ndarray:
    """Return the axes as unit vectors in columns; an axis of length 0 stays 0."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return affine[:3, :3] / np.where(lengths == 0, 1, lengths)


def _shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in shape)


def _numbers(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values)


def header_from_bytes(content: bytes) -> nibabel.Nifti1Header:
    """Return the header that `header_bytes` stored."""
    return _HEADER_CLASSES[len(content)](content, check=False)


def header_bytes(header: nibabel.Nifti1Header) -> bytes:
    """Return a header as bytes, without its free texts, which may name a patient.

    Where the data began is left out too: an answer has none of the file's extensions.
    """
    header = header.copy()
    header["vox_offset"] = 0
    for key in ("descrip", "aux_file", "intent_name", "db_name"):
        if key in header:
            header[key] = b""
    return header.binaryblock
