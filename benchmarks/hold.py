"""How long a session holds its GPU on a cluster beyond the time that its containers take.

    python benchmarks/hold.py      (root on Debian: it brings up a real Slurm of two nodes)

Two submissions run on the smallest reference case through `snakemake --profile slurm`, once with
six interactions and once with twenty-one, one job after the other. A job's time is what Slurm's
records say, in whole seconds; the containers' time is in the sessions' records. With nothing else
at work.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from segarena.files import read_json
from segarena.protocol import load

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "engines"))

from throw_away_slurm import Slurm, brought_up  # noqa: E402

REFERENCE = ROOT / "tests" / "data" / "reference"
CASE = "SYN_edges_gaps_0"
CLICKS = (5, 20)


def main() -> None:
    """Print a row a session."""
    with brought_up() as slurm, tempfile.TemporaryDirectory() as folder:
        print("| session | interactions | job s | containers' s | more |\n|---|---|---|---|---|")
        run_cases(Path(folder), slurm)


def run_cases(work: Path, slurm: Slurm) -> None:
    """Run both protocols and compare each session's job with its records."""
    for kind in ("images", "truth"):
        (work / kind).mkdir()
        shutil.copy(REFERENCE / "cases" / kind / f"{CASE}.npz", work / kind)
    for name in ("sphere", "threshold"):
        shutil.copytree(REFERENCE / "submissions" / name, work / "submissions" / name)
    config = {
        "cases": {"images": "images", "labels": "truth"},
        "submissions": "submissions",
        "protocols": [protocol(work, clicks) for clicks in CLICKS],
        "runtime": "process",
        "gpus": 1,
    }
    (work / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--profile", ROOT / "profiles" / "slurm"]
    command += ["--snakefile", ROOT / "Snakefile", "--directory", work]
    command += ["--configfile", work / "config.yaml", "--jobs", "1"]
    tables = [
        f"results/score/clicks-{clicks}/{name}_metrics.csv"
        for clicks in CLICKS
        for name in ("sphere", "threshold")
    ]
    done = subprocess.run(
        [*command, "--", *tables],
        cwd=ROOT,
        env=slurm.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    for job in sorted(slurm.jobs(work), key=lambda job: job.comment):
        found = re.fullmatch(rf"rule_session_clicks.(\d+)_wildcards_(\w+)_{CASE}", job.comment)
        if found is None:
            continue
        clicks, name = found.groups()
        records = work / "results" / "predict" / f"clicks-{clicks}" / name / CASE
        own = sum(read_json(path)["seconds"] for path in records.glob("*.json"))
        held = (job.end - job.start).total_seconds()
        print(f"| {name} | {int(clicks) + 1} | {held:.0f} | {own:.1f} | {held - own:.1f} |")


def protocol(work: Path, clicks: int) -> str:
    """Write the CVPR protocol with so many clicks, and return its path."""
    values = load("cvpr25")
    values |= {"name": f"clicks-{clicks}", "limits": {**values["limits"], "memory_gb": 2}}
    for step in values["user"]:
        if step["prompt"] == "click":
            step["times"] = clicks
    path = work / f"clicks-{clicks}.yaml"
    path.write_text(yaml.safe_dump(values))
    return str(path)


if __name__ == "__main__":
    main()
