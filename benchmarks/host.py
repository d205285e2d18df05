"""What one interaction costs beside the submission's own time, processes and imports included.

    python benchmarks/host.py [VOLUME ...]

The real workflow runs a drawn case on one core, with a program that copies a stored answer of
Dice 0.9: once a box and one click, once a box and six. The difference, less the program's seconds,
is five interactions of host work: choosing the click, writing the input, reading and keeping the
answer, measuring it, and all that Snakemake does around it. Wall seconds.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import volumes
import yaml

from segarena.files import read_json
from segarena.protocol import load

ROOT = Path(__file__).resolve().parents[1]
CLICKS = (1, 6)


def main() -> None:
    """Print a row a volume and way of making jobs."""
    print("| volume | jobs | host s an interaction | submission's s |\n|---|---|---|---|")
    for name in sys.argv[1:] or ["ts3mm", "s128", "s512"]:
        for jobs in ("interaction", "session"):
            with tempfile.TemporaryDirectory() as folder:
                host, own = measured(Path(folder), volumes.VOLUMES[name], jobs)
            print(f"| {name} | {jobs} | {host:.2f} | {own:.2f} |", flush=True)


def measured(folder: Path, volume: volumes.Volume, jobs: str) -> tuple[float, float]:
    """Return the wall seconds of host and submission for one interaction."""
    make_case(folder, volume)
    run_workflow(
        folder, "ready", 1, jobs, "results/prepare/cases.tsv", "results/predict/copy/image.json"
    )
    walls, owns = [], []
    for clicks in CLICKS:
        name = f"clicks-{clicks}"
        start = time.perf_counter()
        run_workflow(folder, name, clicks, jobs, f"results/score/{name}/copy_metrics.csv")
        walls.append(time.perf_counter() - start)
        records = (folder / "results/predict" / name / "copy/case").glob("*.json")
        owns.append(sum(read_json(path)["seconds"] for path in records))
    more = CLICKS[1] - CLICKS[0]
    own = owns[1] - owns[0]
    return (walls[1] - walls[0] - own) / more, own / more


def make_case(folder: Path, volume: volumes.Volume) -> None:
    """Write the case, noise around its labels, and the submission that copies an answer."""
    truth, answer = volumes.drawn(volume, "0.9")
    noise = np.random.default_rng(0).integers(0, 30, truth.shape, np.uint8)
    submission = folder / "submissions" / "copy"
    for path in (folder / "images", folder / "labels", submission):
        path.mkdir(parents=True)
    spacing = np.array(volume.spacing_mm)
    np.savez(folder / "images" / "case.npz", imgs=truth * 3 + noise, spacing=spacing)
    np.savez(folder / "labels" / "case.npz", gts=truth)
    np.savez_compressed(submission / "answer.npz", segs=answer)
    (submission / "predict.sh").write_text('cp answer.npz "$OUTPUTS/case.npz"\n')


def run_workflow(folder: Path, name: str, clicks: int, jobs: str, *targets: str) -> None:
    """Run the workflow up to some files, with a protocol of a box and so many clicks."""
    user = [
        {"prompt": "box", "times": 1},
        {"prompt": "click", "times": clicks, "rule": "largest_error"},
    ]
    protocol = {**load("cvpr25"), "name": name, "user": user}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(protocol))
    config = {
        "cases": {"images": "images", "labels": "labels"},
        "submissions": "submissions",
        "protocols": [f"{name}.yaml"],
        "runtime": "process",
        "jobs": jobs,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(folder / "config.yaml")]
    command += ["--cores", "1", "--quiet", "all", "--", *targets]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


if __name__ == "__main__":
    main()
