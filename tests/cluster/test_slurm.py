"""The reference workload through `--profile slurm` on a real Slurm, and what may go wrong there."""

import csv
import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from arena import Arena

CASE = "SYN_edges_gaps_0"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, reference_arena: Callable) -> Arena:
    """The workload, run on this machine, a job an interaction."""
    folder = tmp_path_factory.mktemp("local")
    arena = reference_arena(folder, [CASE], ["flaky", "threshold"])
    arena.config |= {"gpus": 0, "jobs": "interaction"}
    arena.run()
    return arena


@pytest.fixture
def arena(tmp_path: Path, reference_arena: Callable) -> Arena:
    """The same workload, not yet run."""
    return reference_arena(tmp_path, [CASE], ["flaky", "threshold"])


def test_the_cluster_gives_the_numbers_of_one_machine(slurm, arena: Arena, local: Arena):
    """All CSVs are the same, both nodes worked, and no GPU had two jobs at a time."""
    slurm.run(arena)
    assert tables(arena) == tables(local)
    jobs = slurm.jobs(arena.work)
    assert {job.node for job in jobs} == {"n1", "n2"}
    sessions = [job for job in jobs if job.gpus]
    assert {job.comment for job in sessions} == {
        f"rule_session_cvpr25_wildcards_{name}_{CASE}" for name in ("flaky", "threshold")
    }
    for one, two in itertools.combinations(sessions, 2):
        assert one.node != two.node or one.end <= two.start or two.end <= one.start
    record = json.loads(arena.path(f"predict/cvpr25/flaky/{CASE}/2.json").read_text())
    assert record["gpu"]["devices"] == ["0"]


def test_a_cancelled_job_costs_only_the_rest_of_its_session(
    slurm, arena: Arena, local: Arena, wait_until: Callable
):
    """After the same command again the CSVs are the same, and no answer was asked for twice."""
    head = slurm.start(arena)
    wait_until(lambda: started(arena))
    job = next(job for job in slurm.jobs(arena.work) if job.gpus and job.state == "RUNNING")
    stored = {path: path.read_bytes() for path in (arena.work / "store").glob("answers/*/*.json")}
    assert stored
    slurm.ask("scancel", job.id)
    slurm.wait(arena, head, expect=None)
    slurm.run(arena)
    assert tables(arena) == tables(local)
    assert stored == {path: path.read_bytes() for path in stored}


def test_a_lost_node_costs_only_the_rest_of_its_session(
    slurm, arena: Arena, local: Arena, wait_until: Callable
):
    """A node set DOWN in mid-run ends, after the same command again, with the same CSVs."""
    head = slurm.start(arena)
    wait_until(lambda: started(arena))
    node = next(job.node for job in slurm.jobs(arena.work) if job.gpus and job.state == "RUNNING")
    slurm.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        slurm.wait(arena, head, expect=None)
    finally:
        slurm.ask("scontrol", "update", f"nodename={node}", "state=resume")
    slurm.run(arena)
    assert tables(arena) == tables(local)


def test_a_killed_head_process_leaves_nothing_that_runs_twice(
    slurm, arena: Arena, local: Arena, wait_until: Callable
):
    """The next run ends the jobs left behind before it submits the same work, and says so."""
    head = slurm.start(arena)
    wait_until(lambda: started(arena))
    head.kill()
    head.wait()
    left = [job for job in slurm.jobs(arena.work) if job.state == "RUNNING"]
    assert left
    slurm.run(arena)
    assert "a killed run left" in (arena.folder / "printed.txt").read_text()
    assert tables(arena) == tables(local)
    by_work = sorted(slurm.jobs(arena.work), key=lambda job: (job.comment, job.start))
    for one, two in itertools.pairwise(by_work):
        assert one.comment != two.comment or one.end <= two.start


TWO_CALLS = """
import os, subprocess, sys
from segarena.predict import gpu
gpu.mark_jobs(cluster={cluster})
script = (
    "from segarena.predict import gpu\\n"
    "with gpu.taken(4): print(*gpu.assigned(), sep=',', flush=True)"
)
with gpu.taken(4):
    print(*gpu.assigned(), sep=",", flush=True)
    subprocess.run([sys.executable, "-c", script], check=True)
"""
ALL = "GPU-0,GPU-1,GPU-2,GPU-3"


@pytest.mark.parametrize(("cluster", "devices"), [(True, {ALL}), (False, {"GPU-0", "GPU-1"})])
def test_calls_of_a_run_inside_an_allocation_have_a_device_each(
    slurm, cluster: bool, devices: set[str], tmp_path: Path
):
    """In an allocation of four devices; a job that the run submitted itself has all of its own."""
    (tmp_path / "nvidia-smi").write_text(
        '#!/bin/sh\nfor i in 0 1 2 3; do echo "$i, GPU-$i, Fake, 1"; done\n'
    )
    (tmp_path / "nvidia-smi").chmod(0o755)
    settings = [
        f"PATH={tmp_path}:{os.environ['PATH']}",
        f"TMPDIR={tmp_path}",
        "CUDA_VISIBLE_DEVICES=0,1,2,3",
    ]
    script = TWO_CALLS.format(cluster=cluster)
    printed = slurm.ask("srun", "--gpus=1", "env", *settings, sys.executable, "-c", script)
    lines = printed.splitlines()
    assert set(lines) == devices
    assert len(lines) == 2


def started(arena: Arena) -> list[Path]:
    """Return the answers so far."""
    return list(arena.path("predict/cvpr25").glob("*/*/1.npz"))


def tables(arena: Arena) -> dict[str, list[list[str]]]:
    """Return all CSVs of a run without the columns of running times."""
    found = {}
    made = (path for path in arena.path("score").rglob("*.csv") if ".kept" not in path.parts)
    for path in sorted(made):
        with path.open(newline="") as file:
            rows = list(csv.reader(file))
        columns = [i for i, name in enumerate(rows[0]) if "RunningTime" not in name]
        found[str(path.relative_to(arena.path()))] = [[row[i] for i in columns] for row in rows]
    assert sorted(found) == sorted(
        f"score/cvpr25/{team}{rest}.csv"
        for team in ("flaky", "threshold")
        for rest in (f"/{CASE}", "_metrics", "_labels")
    )
    return found
