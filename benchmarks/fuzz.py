"""Random label maps, and whether SegArena's clicks, DSC and NSD on them are the plain version's.

    python benchmarks/fuzz.py [PAIRS] [FIRST_SEED]

Shapes from 1 to 40 with odd sizes, 1 to 6 labels with gaps (also beyond 255), anisotropic spacings
of which some give distances that tie with the tolerance, touching borders, single voxels, empty
sides, and every second pair with the branch for large volumes (the threshold lowered).
"""

import sys
from dataclasses import dataclass

import numpy as np
import reference

from segarena.prompt import clicks
from segarena.score.metrics import score

TOLERANCE = 1e-12


@dataclass(frozen=True)
class RandomPair:
    """A truth, an answer to it, and the settings they are compared under."""

    truth: np.ndarray
    answer: np.ndarray
    spacing_mm: tuple[float, float, float]
    tolerance_mm: float
    largest_volume: int


def random_pair(seed: int) -> RandomPair:
    """Return the pair of a seed."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 41, 3))
    values = np.sort(rng.choice([1, 2, 3, 4, 5, 7, 255, 256, 257, 513], rng.integers(1, 7), False))
    truth = np.zeros(shape, np.uint16)
    for value in values:
        _paint(truth, int(value), rng)
    answer = _answer(truth, values, rng)
    spacing = rng.choice([0.1, 0.5, 0.7, 0.78125, 1.0, 1.5, 2.0, 3.0, 5.0, rng.uniform(0.05, 4)], 3)
    return RandomPair(
        truth,
        answer,
        (float(spacing[0]), float(spacing[1]), float(spacing[2])),
        float(rng.choice([0.5, 1.0, 2.0, 2.0, 2.0, 3.0, np.hypot(spacing[0], spacing[1])])),
        clicks.LARGEST_VOLUME if seed % 2 else int(rng.integers(10, 4000)),
    )


def differences(pair: RandomPair) -> list[str]:
    """Return what differs between SegArena and the plain version, in words; empty if nothing."""
    before, clicks.LARGEST_VOLUME = clicks.LARGEST_VOLUME, pair.largest_volume
    try:
        placed = clicks.largest_error(pair.truth, pair.answer, seed=42)
    finally:
        clicks.LARGEST_VOLUME = before
    metrics = [
        {"name": "DSC"},
        {"name": "NSD", "tolerance_mm": pair.tolerance_mm, "dimensions": 3},
    ]
    measured = {
        (s.label, s.metric): s.value
        for s in score(pair.truth, pair.answer, pair.spacing_mm, metrics)
    }
    found = []
    for label, click in zip(reference.labels_of(pair.truth), placed, strict=True):
        truth, answer = pair.truth == label, pair.answer == label
        expected = {
            "DSC": reference.dice(truth, answer),
            "NSD": reference.surface_dice(
                truth, answer, spacing_mm=pair.spacing_mm, tolerance_mm=pair.tolerance_mm
            ),
        }
        plain = reference.click(truth, answer, largest_volume=pair.largest_volume)
        if click != plain:
            found.append(f"label {label}: click {click}, plain version {plain}")
        for name, value in expected.items():
            if not abs(measured[label, name] - value) <= TOLERANCE:
                found.append(f"label {label}: {name} {measured[label, name]}, plain {value}")
    return found


def _paint(labels: np.ndarray, value: int, rng: np.random.Generator) -> None:
    kind = rng.integers(5)
    where = [rng.integers(0, n) for n in labels.shape]
    grid = np.ogrid[tuple(slice(n) for n in labels.shape)]
    radii = rng.uniform(0.5, 14, 3)
    if kind == 0:
        labels[tuple(where)] = value
    elif kind == 1:
        reach = [int(rng.integers(1, 20)) for _ in range(3)]
        labels[tuple(slice(w, w + r) for w, r in zip(where, reach, strict=True))] = value
    elif kind == 2:
        labels[rng.random(labels.shape) < rng.uniform(0.01, 0.6)] = value
    else:
        ball = sum(((g - w) / r) ** 2 for g, w, r in zip(grid, where, radii, strict=True))
        labels[ball <= 1] = value


def _answer(truth: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    answer = truth.copy()
    kind = rng.integers(7)
    if kind == 0:
        answer[:] = 0
    elif kind == 1:
        axis = int(rng.integers(3))
        answer = np.roll(answer, int(rng.integers(1, 3)), axis=axis)
    elif kind in {2, 3}:
        for _ in range(rng.integers(1, 4)):
            _paint(answer, int(rng.choice([0, *values, 9])), rng)
    elif kind == 4:
        noisy = rng.random(truth.shape) < rng.uniform(0, 0.3)
        answer[noisy] = rng.choice([0, *values], int(noisy.sum()))
    elif kind == 5:
        answer[answer == rng.choice(values)] = 0
    return answer


def main() -> int:
    """Compare pairs until one differs or all are done."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    labels = 0
    for seed in range(first, first + count):
        pair = random_pair(seed)
        labels += len(reference.labels_of(pair.truth))
        for difference in differences(pair):
            print(f"seed {seed}, shape {pair.truth.shape}: {difference}")
            return 1
    print(f"{count} pairs, {labels} labels: all clicks and DSC equal, NSD within {TOLERANCE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
