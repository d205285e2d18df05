"""The reference workload from start to end: a serial loop beside the workflow, on the same engine.

    python benchmarks/workload.py [--rounds N]      (needs a Docker engine; Debian, for base images)

Five cases, three submissions as docker archives, a box and five clicks: tests/data/reference. The
loop does what the CVPR 2025 script does, one call after the other, with the plain functions of
benchmarks/reference.py. The workflow runs with --cores 2, both ways of making jobs. Wall seconds of
fresh runs in turn, archives loaded each time; "same" compares the final DSC and NSD of every case.
"""

import argparse
import contextlib
import csv
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import docker
import numpy as np
import reference
import yaml

from segarena.protocol import load

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data" / "reference"
ENGINES = ROOT / "tests" / "engines"
INTERACTIONS = 6
MEMORY_GB = 8  # for each container, so that two at a time fit into a machine of 24 GB

Finals = dict[tuple[str, str], tuple[float, float]]
"""(submission, case) -> DSC and NSD after the last interaction."""


def main() -> None:
    """Print the wall seconds of each way, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    ways = {
        "serial loop": serial,
        "jobs: interaction": lambda folder: workflow(folder, "interaction"),
        "jobs: session": lambda folder: workflow(folder, "session"),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    finals: dict[str, Finals] = {}
    with tempfile.TemporaryDirectory() as folder:
        archives = make_archives(Path(folder))
        for number in range(rounds):
            for way, run_all in ways.items():
                work = Path(folder) / f"{number}-{way.split()[-1]}"
                shutil.copytree(archives, work / "submissions")
                start = time.perf_counter()
                finals[way] = run_all(work)
                seconds[way].append(time.perf_counter() - start)
    print("| way | wall s | ratio | same |\n|---|---|---|---|")
    slow = statistics.median(seconds["serial loop"])
    for way, times in seconds.items():
        wall = statistics.median(times)
        same = _same(finals[way], finals["serial loop"])
        print(f"| {way} | {wall:.1f} | {slow / wall:.2f}x | {'yes' if same else 'NO'} |")


def make_archives(folder: Path) -> Path:
    """Write the three submissions as docker archives."""
    made = subprocess.run(
        [ENGINES / "make-base-image.sh", folder / "base", "numpy"],
        env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "NUMPY_SPEC": "numpy==1.26.4"},
        capture_output=True,
        text=True,
        check=True,
    )
    archives = folder / "archives"
    archives.mkdir()
    for source in sorted((DATA / "submissions").iterdir()):
        out = archives / f"{source.name}.tar.gz"
        layers = [made.stdout.strip(), f"{source}=/workspace"]
        packing = [sys.executable, ENGINES / "docker_archive.py", out, *layers]
        subprocess.run(packing, check=True, capture_output=True)
    return archives


def serial(work: Path) -> Finals:
    """Run every submission on every case, one call at a time."""
    client = docker.from_env()
    finals = {}
    for archive in sorted((work / "submissions").iterdir()):
        with archive.open("rb") as file:
            (image,) = client.images.load(file)
        for path in sorted((DATA / "cases" / "images").iterdir()):
            team = archive.name.removesuffix(".tar.gz")
            finals[team, path.stem] = run_case(client, image.id, path, work / team / path.stem)
    return finals


def run_case(client: Any, image: str, path: Path, work: Path) -> tuple[float, float]:
    """Run one case: write the input, call, read, measure, click, six times over."""
    case = dict(np.load(path, allow_pickle=True))
    truth = np.load(DATA / "cases" / "truth" / path.name)["gts"]
    labels = reference.labels_of(truth)
    inputs, outputs = work / "inputs", work / "outputs"
    inputs.mkdir(parents=True)
    outputs.mkdir()
    outputs.chmod(0o777)
    answer = np.zeros_like(truth)
    clicks: list[dict[str, Any]] = [{"fg": [], "bg": []} for _ in labels]
    order: list[list[str | None]] = [[] for _ in labels]
    means = (0.0, 0.0)
    for interaction in range(1, INTERACTIONS + 1):
        if interaction == 1 and "boxes" not in case:
            continue
        if interaction > 1:
            for number, label in enumerate(labels):
                click = reference.click(truth == label, answer == label)
                order[number].append(click[3] if click else None)
                if click:
                    clicks[number][click[3]].append(list(click[:3]))
            even = np.empty(len(labels), object)
            even[:] = order
            prompts = {"clicks": clicks, "clicks_order": even, "prev_pred": answer}
        else:
            prompts = {}
        np.savez_compressed(inputs / path.name, **case, **prompts)
        mounts = {str(inputs): {"bind": "/workspace/inputs"}}
        mounts |= {str(outputs): {"bind": "/workspace/outputs"}}
        # As the script: whatever is in the outputs folder is scored, whoever wrote it.
        with contextlib.suppress(docker.errors.ContainerError):
            client.containers.run(
                image, ["sh", "predict.sh"], volumes=mounts, mem_limit=f"{MEMORY_GB}g", remove=True
            )
        answer = np.load(outputs / path.name)["segs"]
        means = measured(truth, answer, labels, tuple(case["spacing"]))
    return means


def measured(
    truth: np.ndarray, answer: np.ndarray, labels: list[int], spacing_mm: tuple[float, ...]
) -> tuple[float, float]:
    """Return the mean DSC and NSD, which is 0 unless the DSC is above 0.2."""
    pairs = [(truth == label, answer == label) for label in labels]
    dsc = float(np.mean([reference.dice(*pair) for pair in pairs]))
    nsd = [reference.surface_dice(*pair, spacing_mm=spacing_mm, tolerance_mm=2) for pair in pairs]
    return dsc, float(np.mean(nsd)) if dsc > 0.2 else 0.0


def workflow(work: Path, jobs: str) -> Finals:
    """Run the workflow up to the teams' tables."""
    shutil.copytree(DATA / "cases" / "images", work / "images")
    shutil.copytree(DATA / "cases" / "truth", work / "truth")
    protocol = load("cvpr25")
    protocol["limits"]["memory_gb"] = MEMORY_GB
    (work / "cvpr25.yaml").write_text(yaml.safe_dump(protocol))
    config = {
        "cases": {"images": "images", "labels": "truth"},
        "submissions": "submissions",
        "protocols": [str(work / "cvpr25.yaml")],
        "runtime": "docker",
        "jobs": jobs,
    }
    (work / "config.yaml").write_text(yaml.safe_dump(config))
    teams = [path.name.removesuffix(".tar.gz") for path in (work / "submissions").iterdir()]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(work), "--configfile", str(work / "config.yaml")]
    command += ["--cores", "2", "--quiet", "all", "--"]
    tables = {team: f"results/score/cvpr25/{team}_metrics.csv" for team in teams}
    done = subprocess.run([*command, *tables.values()], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    finals = {}
    for team, table in tables.items():
        with (work / table).open(newline="") as file:
            for row in csv.DictReader(file):
                case = row["CaseName"].removesuffix(".npz")
                finals[team, case] = float(row["DSC_Final"]), float(row["NSD_Final"])
    return finals


def _same(one: Finals, other: Finals) -> bool:
    return one.keys() == other.keys() and all(
        np.allclose(one[key], other[key], rtol=0, atol=1e-12) for key in one
    )


if __name__ == "__main__":
    main()
