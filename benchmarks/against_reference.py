"""Dice, surface dice and next click of all labels: SegArena beside the plain version, interleaved.

    python benchmarks/against_reference.py [VOLUME ...] [--qualities Q,Q] [--rounds N]

CPU seconds of one process (median over rounds, both sides in turn), their ratio, and whether the
numbers are the same. Peak memory is measured by `python benchmarks/memory.py`.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import reference
import volumes

from segarena.prompt.clicks import largest_error
from segarena.score.metrics import score

METRICS = [{"name": "DSC"}, {"name": "NSD", "tolerance_mm": 2}]


def fast(truth: np.ndarray, answer: np.ndarray, spacing_mm: tuple[float, float, float]) -> Any:
    """Measure and click with SegArena."""
    values = [s.value for s in score(truth, answer, spacing_mm, METRICS)]
    return values, largest_error(truth, answer, seed=42)


def plain(truth: np.ndarray, answer: np.ndarray, spacing_mm: tuple[float, float, float]) -> Any:
    """Measure and click as the reference does."""
    values, clicks = [], []
    for label in reference.labels_of(truth):
        one, other = truth == label, answer == label
        values.append(reference.dice(one, other))
        values.append(reference.surface_dice(one, other, spacing_mm=spacing_mm, tolerance_mm=2))
        clicks.append(reference.click(one, other))
    return values, clicks


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Return the CPU seconds of a call and what it gave."""
    start = time.process_time()
    result = function(*arguments)
    return time.process_time() - start, result


def main() -> None:
    """Print a row a volume and quality."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("volumes", nargs="*", default=["ts3mm", "s128", "s256"])
    parser.add_argument("--qualities", default=",".join(volumes.QUALITIES))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print("| volume | answer | mean DSC | reference s | SegArena s | ratio | same |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in arguments.volumes:
        volume = volumes.VOLUMES[name]
        for quality in arguments.qualities.split(","):
            truth, answer = volumes.drawn(volume, quality)
            fast(truth, answer, volume.spacing_mm)
            slow_times, fast_times = [], []
            for _ in range(arguments.rounds):
                slow_seconds, expected = timed(plain, truth, answer, volume.spacing_mm)
                rounds = [timed(fast, truth, answer, volume.spacing_mm) for _ in range(3)]
                slow_times.append(slow_seconds)
                fast_times.extend(seconds for seconds, _ in rounds)
                found = rounds[-1][1]
            same = expected[1] == found[1] and np.allclose(
                expected[0], found[0], rtol=0, atol=1e-12
            )
            slow, quick = statistics.median(slow_times), statistics.median(fast_times)
            print(
                f"| {name} | {quality} | {np.mean(found[0][::2]):.2f} | {slow:.2f} | {quick:.4f} "
                f"| {slow / quick:.0f}x | {'yes' if same else 'NO'} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
