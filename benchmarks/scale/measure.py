"""What the workflow itself costs a job, at a thousand jobs, ten thousand and more.

    python benchmarks/scale/measure.py FOLDER --jobs 1000 10000      run, rerun, add a submission
    python benchmarks/scale/measure.py FOLDER --jobs 100000 --plan   dry runs alone
    python benchmarks/scale/measure.py FOLDER --session              the same work as sessions

It runs the real Snakefile, config and all, on generated cases of a few voxels. In a copy of the
project each script is replaced by one that only writes its outputs, since what is measured is the
planning, starting and bookkeeping of jobs, not numpy's import. FOLDER keeps the runs; delete it
afterwards. Times are wall seconds; the CPU seconds are those of all processes together.
"""

import argparse
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "workflow", "src", "config", "profiles", "envs")
SUBMISSIONS = 10
JOBS_PER_PAIR = 13  # six prompts, six predictions, one score; as a session, two

STUB = """
for output in "${snakemake_output[@]}"; do
  case $output in *.*) echo "{}" >"$output" ;; *) mkdir -p "$output" ;; esac
done
"""


def main() -> None:
    """Measure every size asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000])
    parser.add_argument("--plan", action="store_true", help="dry runs alone")
    parser.add_argument("--session", action="store_true", help="one job runs all interactions")
    parser.add_argument("--cores", default="2")
    options = parser.parse_args()
    project = copy_project(options.folder / "project")
    print("jobs | what | wall s | ms/job | CPU ms/job | MB")
    for jobs in options.jobs:
        work = options.folder / str(jobs)
        way = "session" if options.session else "interaction"
        make_workload(work, cases=round(jobs / JOBS_PER_PAIR / SUBMISSIONS), way=way)
        measure(project, work, plan_only=options.plan, cores=options.cores)


def measure(project: Path, work: Path, *, plan_only: bool, cores: str) -> None:
    """Measure one size: plan, run, run again, and the plan of a new submission."""
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(project / "Snakefile")]
    snakemake += ["--directory", str(work), "--configfile", str(work / "config.yaml")]
    snakemake += ["--cores", cores]
    jobs = report("dry run", [*snakemake, "--dry-run", "--quiet", "rules"], None)
    if plan_only:
        return
    report("run", [*snakemake, "--quiet", "all"], jobs)
    report("nothing to do", [*snakemake, "--quiet", "all"], jobs)
    add_submission(work, "newcomer")
    report("dry run with a new submission", [*snakemake, "--dry-run", "--quiet", "rules"], jobs)


def report(what: str, command: list[str], jobs: int | None) -> int:
    """Run a command, print what it cost, and return how many jobs it was about."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{what} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    if jobs is None:
        jobs = int(re.findall(r"^total +(\d+)$", done.stdout, re.M)[-1])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    columns = [f"{jobs}", what, f"{seconds:.1f}", f"{seconds / jobs * 1000:.2f}"]
    columns += [f"{cpu / jobs * 1000:.2f}", f"{after.ru_maxrss / 1024:.0f}"]
    print(" | ".join(columns), flush=True)
    return jobs


def copy_project(folder: Path) -> Path:
    """Copy the project, with scripts that only write their outputs."""
    shutil.rmtree(folder, ignore_errors=True)
    for part in PARTS:
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target, symlinks=True, ignore=ignore)
        else:
            shutil.copy2(source, target)
    for script in (folder / "workflow" / "scripts").glob("*.py"):
        script.with_suffix(".sh").write_text(STUB)
    for rules in (folder / "workflow" / "rules").glob("*.smk"):
        text = re.sub(r'"(\.\./scripts/\w+)\.py"', r'"\1.sh"', rules.read_text())
        rules.write_text(text)
    return folder


def make_workload(work: Path, *, cases: int, way: str) -> None:
    """Write tiny cases, submissions that do nothing, and a config."""
    shutil.rmtree(work, ignore_errors=True)
    gts = np.zeros((2, 4, 4), np.uint8)
    gts[:, 1:3, 1:3] = 1
    for folder in ("images", "labels"):
        (work / folder).mkdir(parents=True)
    for number in range(cases):
        np.savez(work / "images" / f"case_{number:05}.npz", imgs=gts * 90, spacing=np.ones(3))
        np.savez(work / "labels" / f"case_{number:05}.npz", gts=gts)
    for number in range(SUBMISSIONS):
        add_submission(work, f"team_{number:02}")
    config = {
        "cases": {"images": "images", "labels": "labels"},
        "submissions": "submissions",
        "runtime": "process",
        "jobs": way,
    }
    (work / "config.yaml").write_text(yaml.safe_dump(config))


def add_submission(work: Path, name: str) -> None:
    """Write a submission that does nothing."""
    folder = work / "submissions" / name
    folder.mkdir(parents=True)
    (folder / "predict.sh").write_text(f"# {name}\n")


if __name__ == "__main__":
    main()
