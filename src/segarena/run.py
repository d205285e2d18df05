"""The run as a whole: rejected in one line, alone in its folder, its errors reported at the end.

Snakemake's own lock outlives a killed run and has to be removed manually. A kernel lock dies with
its process, so the same command simply works again; the profile therefore turns Snakemake's lock
off and this module's on.
"""

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from segarena import locks, slurm
from segarena.errors import ConfigError, SegArenaError, full_disk
from segarena.predict import gpu
from segarena.predict.runners import LOCK, calls_prefix
from segarena.protocol import Protocol

LOGS = Path("results/logs")

_LEAST_FREE_BYTES = 1 << 20

_held: list[locks.Lock] = []
_started = time.time()


@contextlib.contextmanager
def exit_on_error() -> Iterator[None]:
    """Turn our errors into one message and a clean end while the workflow is parsed."""
    try:
        yield
    except SegArenaError as error:
        sys.exit(f"segarena: {error}")
    except OSError as error:
        full = full_disk(error)
        if full is None:
            raise
        sys.exit(f"segarena: {full}")


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from error


def let_scripts_find(source: str) -> None:
    """Let scripts, which run as processes of their own, import the package, installed or not."""
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if source not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, *known]))


def check_protocols(protocols: Iterable[Protocol]) -> None:
    """Raise ConfigError where a protocol asks for what the metrics' catalogue does not have.

    Apart from reading the config, since jobs on a cluster read that, too, and this loads numba.
    """
    from segarena.rank.check import check_ranking
    from segarena.score.metrics import check_protocol

    for protocol in protocols:
        with _named(f"protocol {protocol['name']}"):
            check_protocol(protocol)
            check_ranking(protocol)


def start_run(*, gpus: int = 0, cluster: bool = False) -> None:
    """Before the first job: take the folder's lock, look for the GPUs, end what a killed run left.

    Ends the run with one line when another run holds the lock, or there is no such GPU.
    """
    with exit_on_error():
        _check_name(Path.cwd())
        lock(LOCK)
        gpu.check(gpus, cluster=cluster)
        gpu.mark_jobs(cluster=cluster)
        slurm.end_left_overs(Path.cwd(), cluster=cluster)
    clear_left_overs(Path.cwd())


def _check_name(folder: Path) -> None:
    """Raise ConfigError for a folder whose path no JSON file and no engine can be given."""
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{folder!r}: the path is not valid UTF-8; rename the folder") from error


def clear_left_overs(run_folder: Path) -> None:
    """Remove the containers and temporary folders of earlier runs in a folder, and no others.

    Whoever holds the folder's lock is alone at work here, so they are of no use to anybody.
    """
    from segarena.predict.runners import docker, podman

    removed = docker.remove_left_overs(run_folder) + podman.remove_left_overs(run_folder)
    if removed:
        print(f"segarena: removed {removed} container(s) that a killed run left", file=sys.stderr)
    for folder in Path(tempfile.gettempdir()).glob(f"{calls_prefix(run_folder)}*"):
        shutil.rmtree(folder, ignore_errors=True)


def lock(path: Path) -> None:
    """Hold an exclusive lock on `path` until this process ends; ConfigError if it is held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    held = locks.held(path, file, wait=False)
    if held is None:
        file.seek(0)
        raise ConfigError(
            f"{Path.cwd()}: another run is at work here (process {file.read().strip()}); "
            "wait for it, or end it, then start again"
        )
    if held is not file:
        print_notes(
            [
                f"{Path.cwd()}: this storage has no file locks; start all runs of this folder "
                "from this machine (docs/cluster.md)"
            ]
        )
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    _held.extend([file, held])


def errors_since(logs: Path, since: float) -> list[str]:
    """Return the error lines of the logs under `logs` written after `since`, alike ones once."""
    found: dict[str, None] = {}
    for log in sorted(logs.rglob("*.log")):
        if log.stat().st_mtime >= since:
            with log.open(encoding="utf-8", errors="replace") as file:
                line = file.readline().rstrip("\n")
            if line.startswith("error: "):
                found[line.removeprefix("error: ")] = None
    return list(found)


def print_notes(notes: Iterable[str]) -> None:
    """Print what the user should know but what stops no run, one line each."""
    for note in notes:
        print(f"segarena: warning: {note}", file=sys.stderr)


def print_errors() -> None:
    """Print the errors of this run, one line each, after Snakemake's own account.

    Where a disk is full the logs may not hold them.
    """
    lines = errors_since(LOGS, _started - 1)
    if not lines and LOGS.is_dir():
        free = shutil.disk_usage(LOGS).free
        if free < _LEAST_FREE_BYTES:
            lines = [f"{LOGS.resolve()}: the disk has {free >> 10} KiB left; make room"]
    if not lines:
        lines = ["a job left no message (see above): was it killed, or did its machine stop?"]
    print(f"\nsegarena: {len(lines)} error(s) stopped this run; fix them and run again:")
    for line in lines:
        print(f"  - {line}")
