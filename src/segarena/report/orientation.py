"""How a volume is turned to be looked at, and which way is which.

Slices are those of the file, never resampled; each axis of the file is called by the direction of
the patient that it is closest to, as ITK-SNAP does. The display is radiological, also as in
ITK-SNAP: the patient's right on the left of axial and coronal planes, anterior at the top of axial
and on the left of sagittal ones, superior at the top of the others. A case whose file does not say
how the patient lay (pictures, ready-made .npz, NIfTI without form codes) is shown as it is stored,
without letters.
"""

from dataclasses import dataclass

import numpy as np
from nibabel.orientations import io_orientation

from segarena.case import Truth
from segarena.prepare.volume import header_from_bytes

PLANES = ("axial plane", "coronal plane", "sagittal plane")
LETTERS = (("S", "I"), ("A", "P"), ("R", "L"))  # of the shown axes, where each begins and ends
_SUPERIOR, _ANTERIOR, _RIGHT = 2, 1, 0  # the axes of an affine's (x, y, z) in mm


@dataclass(frozen=True)
class Orientation:
    """What the shown axes (down, back, to the left: S-I, A-P, R-L) are in an array (z, y, x).

    order: the array's axis of each shown one. backwards: whether it runs the other way. letters:
    where each begins and ends; None where nobody knows. oblique_degrees: the largest angle between
    an axis and the direction that it is called by.
    """

    order: tuple[int, int, int] = (0, 1, 2)
    backwards: tuple[bool, bool, bool] = (False, False, False)
    letters: tuple[tuple[str, str], ...] | None = None
    oblique_degrees: float = 0.0

    def turned(self, volume: np.ndarray) -> np.ndarray:
        """Return a view of an array (D, H, W) or (D, H, W, 3) in the order that is shown."""
        steps = tuple(slice(None, None, -1 if back else 1) for back in self.backwards)
        return volume.transpose(*self.order, *range(3, volume.ndim))[steps]

    def point(self, point: tuple[float, ...], shape: tuple[int, ...]) -> tuple[float, float, float]:
        """Return where a voxel of the array (z, y, x) is shown. shape: the shown volume's."""
        first, second, third = (
            n - 1 - point[axis] if back else point[axis]
            for axis, back, n in zip(self.order, self.backwards, shape, strict=True)
        )
        return first, second, third

    def name(self, axis: int) -> str:
        """Return what the planes across a shown axis are called."""
        return PLANES[axis] if self.letters else f"plane across {'zyx'[axis]}"


AS_STORED = Orientation()


def orientation_of(truth: Truth) -> Orientation:
    """Return how a case is shown: by its affine, or as it is stored where it has none."""
    if truth.affine is None or not _is_placed(truth.nifti_header):
        return AS_STORED
    nearest = io_orientation(truth.affine).astype(int)  # of the file's (x, y, z)
    axes = [0, 1, 2]
    if truth.place is not None:  # a slice case has the axis that it is across first
        axes.remove(truth.place.axis)
        axes.insert(0, truth.place.axis)
    along = [int(nearest[2 - axis, 0]) for axis in axes]
    towards = [int(nearest[2 - axis, 1]) for axis in axes]
    first, second, third = (along.index(side) for side in (_SUPERIOR, _ANTERIOR, _RIGHT))
    return Orientation(
        (first, second, third),
        # A positive direction ends at S, A or R, where the shown axis begins.
        (towards[first] > 0, towards[second] > 0, towards[third] > 0),
        LETTERS,
        _oblique_degrees(truth.affine, nearest),
    )


def _is_placed(header: bytes | None) -> bool:
    if header is None:
        return False
    fields = header_from_bytes(header)
    return bool(fields["sform_code"] > 0 or fields["qform_code"] > 0)


def _oblique_degrees(affine: np.ndarray, nearest: np.ndarray) -> float:
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = np.abs(columns[nearest[:, 0], [0, 1, 2]])
    return float(np.degrees(np.arccos(np.clip(cosines.min(), 0, 1))))
