"""One 2D picture, PNG or JPEG, as a volume of one slice.

A picture knows no millimetres: its pixels are taken as 1 mm, so distances are in pixels. Rows are
y, columns are x, as the file stores them; an EXIF rotation is reported and not applied, because a
label map next to it has none.
"""

from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from segarena.case import FOREIGN_BYTES, foreign
from segarena.errors import CaseError
from segarena.prepare.volume import Volume

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = 1
_RGB_MODES = {"RGB", "RGBA", "CMYK", "YCbCr", "P", "PA"}
_ALPHA_MODES = {"LA": "L", "RGBA": "RGB", "PA": "P"}


def read_picture(path: str | Path, *, is_label: bool = False) -> Volume:
    """Read a PNG or JPEG file: grey of any depth, RGB, or with a palette.

    is_label: the indices of a palette are the labels; in an image they stand for colours.
    Raises CaseError with the file and the reason.
    """
    path = Path(path)
    warnings: list[str] = []
    try:
        with Pillow.open(path) as picture:
            picture.verify()  # the checksums; a picture must be opened again after it
        with Pillow.open(path) as picture:
            pixels = _pixels(picture, path, is_label=is_label, warnings=warnings)
    except UnidentifiedImageError as error:
        with path.open("rb") as file:
            what = foreign(file.read(FOREIGN_BYTES))
        raise CaseError(
            f"{path}: not a PNG or JPEG picture{f' but {what}' if what else ''}"
        ) from error
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
        raise CaseError(f"{path}: cannot be read ({error})") from error
    data = pixels[np.newaxis].swapaxes(0, 2)  # (H, W, ...) to (W, H, 1, ...)
    return Volume(path, data, np.eye(4), np.ones(3), None, None, warnings)


def _pixels(
    picture: Pillow.Image, path: Path, *, is_label: bool, warnings: list[str]
) -> np.ndarray:
    if is_label and picture.format != "PNG":
        raise CaseError(
            f"{path}: {picture.format} in spite of its name: "
            + ("JPEG changes values, so it cannot hold labels: " * (picture.format == "JPEG"))
            + "use PNG"
        )
    n_frames = getattr(picture, "n_frames", 1)
    if n_frames > 1:
        raise CaseError(f"{path}: {n_frames} frames: give one picture per file")
    if picture.getexif().get(_EXIF_ORIENTATION, _UPRIGHT) != _UPRIGHT:
        warnings.append(f"{path}: its EXIF rotation is not applied")
    if picture.mode in _ALPHA_MODES:
        warnings.append(f"{path}: the alpha channel is left out")
        if picture.mode != "PA" or is_label:
            picture = picture.convert(_ALPHA_MODES[picture.mode])
    if picture.mode in _RGB_MODES and not (is_label and picture.mode == "P"):
        picture = picture.convert("RGB")
    return np.asarray(picture)
