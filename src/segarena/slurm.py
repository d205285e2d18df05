"""What a run must know of Slurm before its first job.

A head process that was killed leaves its jobs running. Whoever holds the folder's lock is the only
head process there, so every job that Slurm still has for this folder is such a left-over: it is
cancelled before the same work is submitted again, and no job runs twice.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from segarena.errors import EngineError

_RUN_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 300


def end_left_overs(folder: Path, *, cluster: bool) -> None:
    """Cancel the jobs that an earlier run left in `folder`, and wait until none is alive.

    cluster: whether this run submits to Slurm itself; a run on this machine ends what a killed
    cluster run left, too, but does not mind a Slurm that does not answer. Raises EngineError when
    the jobs do not end.
    """
    try:
        jobs = left_overs(folder) if shutil.which("squeue") else []
    except EngineError:
        if cluster:
            raise
        return
    if not jobs:
        return
    print(f"segarena: cancelling {len(jobs)} Slurm jobs that a killed run left", file=sys.stderr)
    _asked("scancel", *jobs)
    until = time.monotonic() + _PATIENCE_SECONDS
    while left := left_overs(folder):
        if time.monotonic() > until:
            raise EngineError(
                f"{folder}: an earlier run's Slurm jobs do not end: {' '.join(left)}; "
                "ask the cluster's administrators, or wait, then start again"
            )
        time.sleep(_POLL_SECONDS)


def left_overs(folder: Path) -> list[str]:
    """Return the IDs of our own live Slurm jobs that Snakemake submitted from `folder`."""
    lines = _asked("squeue", "--me", "--noheader", "--format=%A|%j|%k|%Z").splitlines()
    found = set()
    for line in lines:
        job, name, comment, where = line.split("|", 3)
        ours = _RUN_NAME.search(name) and comment.startswith(("rule_", "group_"))
        if ours and os.path.realpath(where) == os.path.realpath(folder):
            found.add(job)
    return sorted(found)


def _asked(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = done.stderr.strip()
        raise EngineError(f"{command[0]} does not answer ({message}); start again later")
    return done.stdout
