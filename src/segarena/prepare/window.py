"""Intensities to uint8, as a submission sees them.

CT has a physical scale, so a window (level/width, in HU) says what becomes black and what white.
Every other modality has none: the 0.5 to 99.5 percentiles of the non-zero voxels are spread over
0..255, and voxels that are 0, which is what scanners and skull strippers leave outside the body,
stay 0. Values are truncated to uint8, as in the CVPR challenge's own preparation.

Volumes are turned slice by slice, so that no float copy of a whole volume is ever held.
"""

import math
from dataclasses import dataclass

import numpy as np

from segarena.errors import ConfigError

PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class Window:
    """Values up to level - width/2 become 0, values from level + width/2 on become 255."""

    level: float
    width: float


PRESETS = {
    "abdomen": Window(40, 400),
    "lung": Window(-500, 1400),
    "bone": Window(400, 1000),
    "brain": Window(50, 100),
    "mediastinum": Window(50, 350),
}


def chosen_window(*, modality: str | None, window: str | None) -> Window | None:
    """Return the window of a case, or None where the percentiles rule.

    window: a preset's name or 'level/width'; it rules whatever the modality. modality: 'CT' (in any
    case of letters) without a window means abdomen; any other, or none, means percentiles.
    Raises ConfigError where `window` is neither.
    """
    if window is None:
        is_ct = modality is not None and modality.strip().upper() == "CT"
        return PRESETS["abdomen"] if is_ct else None
    name = window.strip().lower()
    if name in PRESETS:
        return PRESETS[name]
    try:
        level, width = (float(part) for part in name.split("/"))
    except ValueError:
        level, width = math.nan, math.nan
    if not (math.isfinite(level) and math.isfinite(width) and width > 0):
        raise ConfigError(
            f"window {window!r}: write one of {', '.join(PRESETS)}, or level/width such as 40/400"
        )
    return Window(level, width)


def windowed(values: np.ndarray, window: Window) -> np.ndarray:
    """Return `values` through a window as uint8 of the same shape."""
    low = window.level - window.width / 2
    return _stretched(values, low=low, high=low + window.width, keep_zero=False)


def by_percentiles(values: np.ndarray) -> np.ndarray:
    """Return `values` as uint8 of the same shape, spread over the percentiles; zeros stay 0.

    Where the percentiles are equal, as with a few bright voxels on a constant background, the
    lowest and highest non-zero values stand in for them. One non-zero value, as in a mask, is 255;
    where nothing is non-zero, all is 0.
    """
    nonzero = values[values != 0].astype(np.float64)
    if nonzero.size == 0:
        return np.zeros(values.shape, np.uint8)
    low, high = (float(v) for v in np.percentile(nonzero, PERCENTILES, overwrite_input=True))
    if low == high:
        low, high = float(nonzero.min()), float(nonzero.max())
    if low == high:
        return np.where(values != 0, np.uint8(255), np.uint8(0))
    return _stretched(values, low=low, high=high, keep_zero=True)


def _stretched(values: np.ndarray, *, low: float, high: float, keep_zero: bool) -> np.ndarray:
    out = np.empty(values.shape, np.uint8)
    for source, target in zip(values, out, strict=True):
        scaled = (np.clip(source.astype(np.float64), low, high) - low) / (high - low) * 255
        if keep_zero:
            scaled[source == 0] = 0
        target[...] = scaled.astype(np.uint8)
    return out
