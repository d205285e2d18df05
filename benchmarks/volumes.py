"""Drawn volumes for the benchmarks: organs and vessel trees, and answers of a chosen quality.

Organs are ellipsoids with smooth bumps; an answer has other bumps, as large as it takes to reach
the wanted Dice, and some flecks. Vessels are random walks with a radius; an answer misses segments.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

QUALITIES = ("empty", "0.3", "0.6", "0.9", "0.99", "identical", "shifted")


@dataclass(frozen=True)
class Volume:
    """What is drawn: a shape (z, y, x), how many labels, spacing, organs or vessels."""

    name: str
    shape: tuple[int, int, int]
    labels: int
    spacing_mm: tuple[float, float, float]
    vessels: bool = False


VOLUMES = {
    volume.name: volume
    for volume in (
        Volume("ts3mm", (30, 101, 122), 41, (3, 3, 3)),
        Volume("s128", (128, 128, 128), 4, (1.5, 1.5, 1.5)),
        Volume("ts512", (20, 512, 512), 31, (2, 0.98, 0.98)),
        Volume("aniso", (60, 512, 512), 10, (5, 0.7, 0.7)),
        Volume("s256", (256, 256, 256), 10, (1, 1, 1)),
        Volume("vessel", (220, 320, 320), 13, (0.6, 0.45, 0.45), vessels=True),
        Volume("s512", (300, 512, 512), 15, (1, 0.75, 0.75)),
        Volume("s1000", (1000, 512, 512), 15, (1, 0.75, 0.75)),
    )
}


def drawn(volume: Volume, quality: str, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and answer (uint8) of a volume."""
    draw = _vessels if volume.vessels else _organs
    if quality in {"empty", "identical", "shifted"}:
        truth = draw(volume, 1.0, seed)[0]
        if quality == "empty":
            return truth, np.zeros_like(truth)
        return truth, truth.copy() if quality == "identical" else np.roll(truth, 1, axis=(1, 2))
    return draw(volume, float(quality), seed)


def _organs(volume: Volume, quality: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth, answer = np.zeros((2, *volume.shape), np.uint8)
    for label, (box, field) in enumerate(_fields(volume, rng), start=1):
        shape = field.shape
        bumps = _smooth(shape, rng)
        size = _bump_size(field, bumps, quality) if quality < 1 else 0.0
        truth[box][field <= 0] = label
        answer[box][field + np.float32(size) * bumps <= 0] = label
    if quality < 1:
        flecks = rng.random((len(truth) // 4 + 1, *truth.shape[1:]), np.float32) < 1e-3
        answer[::4][flecks[: len(answer[::4])]] = rng.integers(1, volume.labels + 1)
    return truth, answer


def _fields(
    volume: Volume, rng: np.random.Generator
) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
    """Yield for each organ its box and a field that is at most 0 inside."""
    shape = np.array(volume.shape)
    for _ in range(volume.labels):
        radii = shape * rng.uniform(0.1, 0.3, 3) * (4 / volume.labels) ** 0.2
        radii = np.maximum(radii, 2)
        centre = rng.uniform(0.2, 0.8, 3) * shape
        low = np.maximum(centre - 1.6 * radii - 2, 0).astype(int)
        high = np.minimum(centre + 1.6 * radii + 2, shape).astype(int)
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        grid = np.ogrid[box]
        field = np.zeros(tuple(high - low), np.float32)
        for axis in range(3):
            field += (((grid[axis] - centre[axis]) / radii[axis]) ** 2).astype(np.float32)
        field += np.float32(0.35) * _smooth(field.shape, rng)
        field -= np.float32(1)
        yield box, field


def _smooth(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    coarse = rng.standard_normal([max(2, n // 12 + 2) for n in shape]).astype(np.float32)
    factors = [n / m for n, m in zip(shape, coarse.shape, strict=True)]
    return ndimage.zoom(coarse, factors, order=1, grid_mode=True, mode="nearest")


def _bump_size(field: np.ndarray, bumps: np.ndarray, quality: float) -> float:
    """Return how large the bumps of the answer must be for a Dice of `quality`."""
    thin = tuple(slice(None, None, max(1, n // 40)) for n in field.shape)
    truth, bumps = field[thin] <= 0, bumps[thin]
    field = field[thin]
    low, high = 0.0, 64.0
    for _ in range(14):
        middle = (low + high) / 2
        answer = field + middle * bumps <= 0
        total = truth.sum() + answer.sum()
        if total and 2 * (truth & answer).sum() / total > quality:
            low = middle
        else:
            high = middle
    return low


def _vessels(volume: Volume, quality: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth, answer = np.zeros((2, *volume.shape), np.uint8)
    overlap = quality / (2 - quality)
    for label in range(1, volume.labels + 1):
        for _ in range(12):
            path = _walk(volume.shape, rng)
            radius = float(rng.uniform(1.5, 4.5))
            for segment in np.array_split(path, 8):
                _stamp(truth, segment, radius, label)
                if rng.random() < overlap:
                    _stamp(answer, segment, radius, label)
    return truth, answer


def _walk(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    at = rng.uniform(0.2, 0.8, 3) * shape
    direction = rng.standard_normal(3)
    points = []
    for _ in range(160):
        direction += 0.35 * rng.standard_normal(3)
        at = np.clip(at + 2 * direction / np.linalg.norm(direction), 0, np.array(shape) - 1)
        points.append(at)
    return np.array(points)


def _stamp(labels: np.ndarray, path: np.ndarray, radius: float, label: int) -> None:
    for point in path:
        low = np.maximum(np.ceil(point - radius), 0).astype(int)
        high = np.minimum(np.floor(point + radius) + 1, labels.shape).astype(int)
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        grid = np.ogrid[box]
        ball = sum((g - p) ** 2 for g, p in zip(grid, point, strict=True)) <= radius**2
        labels[box][ball] = label
