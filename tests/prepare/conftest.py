"""Small NIfTI pairs that the tests of this stage break in one way each."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

SHAPE = (7, 6, 5)
OBLIQUE = np.array(
    [[1.2, -0.9, 0.0, -30.0], [0.9, 1.2, 0.0, 12.5], [0.0, 0.0, 3.0, 100.0], [0.0, 0.0, 0.0, 1.0]]
)


class Pair:
    """An image and its label map in two folders, written again as a test wants them."""

    def __init__(self, folder: Path):
        self.images, self.labels = folder / "images", folder / "labels"
        self.images.mkdir()
        self.labels.mkdir()
        self.image, self.label = self.images / "case.nii.gz", self.labels / "case.nii.gz"
        self.image_data = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
        self.label_data = np.zeros(SHAPE, np.uint8)
        self.label_data[1:3, 2:5, 1:4] = 3
        self.label_data[4, 4, 2] = 9
        self.write_image()
        self.write_label()

    def write_image(self, data=None, affine=OBLIQUE, **header) -> None:
        write_nifti(self.image, self.image_data if data is None else data, affine, **header)

    def write_label(self, data=None, affine=OBLIQUE, **header) -> None:
        write_nifti(self.label, self.label_data if data is None else data, affine, **header)


def write_nifti(path: Path, data: np.ndarray, affine: np.ndarray | None, **header) -> None:
    """Write a NIfTI-1 file whose header fields are then what `header` says, right or wrong."""
    image = nibabel.Nifti1Image(data, affine, dtype=data.dtype)
    image.set_qform(affine)
    content = bytearray(image.to_bytes())
    raw = nibabel.Nifti1Header(bytes(content[:348]), check=False)
    for key, value in header.items():
        raw[key] = value
    content[:348] = raw.binaryblock
    write_bytes(path, bytes(content))


def write_bytes(path: Path, content: bytes) -> None:
    import gzip

    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)
