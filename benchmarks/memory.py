"""Peak memory and time of dice, surface dice and next click on one volume, in a fresh process.

    python benchmarks/memory.py [VOLUME] [QUALITY ...]

A child draws the volume into a temporary file; another measures it, once to load the kernels and
once for the figures. Peak memory is of the whole process: imports, both label maps and the work.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import volumes

from segarena.prompt.clicks import largest_error
from segarena.score.metrics import score

METRICS = [{"name": "DSC"}, {"name": "NSD", "tolerance_mm": 2}]


def measure(path: Path, spacing_mm: tuple[float, float, float]) -> str:
    """Return CPU seconds and peak memory as cells of a table."""
    truth, answer = np.load(path)
    voxels = truth.size
    seconds = []
    for _ in range(2):
        start = time.process_time()
        score(truth, answer, spacing_mm, METRICS)
        largest_error(truth, answer, seed=42)
        seconds.append(time.process_time() - start)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"{voxels / 1e6:.0f} | {seconds[1]:.2f} | {1e9 * seconds[1] / voxels:.1f} | {peak_mb:.0f}"
    )


def main() -> None:
    """Print a row a quality."""
    name, *qualities = sys.argv[1:] or ["s512"]
    if qualities and qualities[0] == "--draw":
        np.save(qualities[2], np.stack(volumes.drawn(volumes.VOLUMES[name], qualities[1])))
        return
    if qualities and qualities[0] == "--measure":
        print(measure(Path(qualities[1]), volumes.VOLUMES[name].spacing_mm))
        return
    print("| volume | answer | Mvoxel | CPU s | ns a voxel | peak MB |\n|---|---|---|---|---|---|")
    for quality in qualities or volumes.QUALITIES:
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/maps.npy"
            again = [sys.executable, __file__, name]
            subprocess.run([*again, "--draw", quality, path], check=True)
            done = subprocess.run(
                [*again, "--measure", path], check=True, capture_output=True, text=True
            )
        print(f"| {name} | {quality} | {done.stdout.strip()} |", flush=True)


if __name__ == "__main__":
    main()
