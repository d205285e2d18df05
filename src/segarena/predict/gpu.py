"""Which GPUs one call may use: those that Slurm gave the job, or a free one of this machine.

On a cluster the scheduler decides, and exactly its devices reach the container. On one machine
`gpus: N` makes N slots: a job takes a device by a kernel lock on a file of that device, which dies
with the job, so two jobs never share one, whichever folders they run in.

The choice is made once a job (`taken`); a runner asks `assigned()` and passes on what it says.
Devices are named by UUID where the driver knows them: inside a job's cgroup the numbers begin at 0
on every node, while a Docker daemon outside of it counts all of them.
"""

import contextlib
import functools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from segarena import locks
from segarena.errors import ConfigError, EngineError

_ASSIGNED = "SEGARENA_GPUS"
_CLUSTER_JOB = "SEGARENA_CLUSTER_JOB"
_POLL_SECONDS = 0.2
_COLUMNS = ("index", "uuid", "name", "driver_version")

Device = dict[str, str]


def assigned() -> tuple[str, ...]:
    """Return the devices of this job: UUIDs, MIG UUIDs or numbers; empty when it has none.

    What a runner does with them: Docker, DeviceRequest(device_ids=[...], capabilities=[["gpu"]]);
    Apptainer, --nv and CUDA_VISIBLE_DEVICES; a plain process, CUDA_VISIBLE_DEVICES. Without
    devices CUDA_VISIBLE_DEVICES must be empty, so that nothing uses a GPU unasked.
    """
    return tuple(filter(None, os.environ.get(_ASSIGNED, "").split(",")))


@contextlib.contextmanager
def taken(gpus: int) -> Iterator[None]:
    """Take the devices of this job and hold them until the block ends; gpus 0 takes none.

    Waits for a free slot where one machine's `gpus` are shared. Raises EngineError where the job
    should have a GPU and there is none.
    """
    with contextlib.ExitStack() as held:
        if not gpus:
            chosen: list[str] = []
        elif "SLURM_JOB_ID" in os.environ and os.environ.get(_CLUSTER_JOB):
            chosen = _named(_visible())
            if not chosen:
                raise EngineError(
                    "gpus: Slurm gave this job no GPU (CUDA_VISIBLE_DEVICES is empty); "
                    "ask for one in the profile"
                )
        else:
            chosen = [_free_slot(_candidates(gpus), held)]
        os.environ[_ASSIGNED] = ",".join(chosen)
        try:
            yield
        finally:
            del os.environ[_ASSIGNED]


def mark_jobs(*, cluster: bool) -> None:
    """Let the jobs of this run know whether each is a job of Slurm's, which has its own devices.

    A run on one machine may itself be in an allocation of several devices (salloc, JupyterHub);
    there SLURM_JOB_ID alone would give every call all of them.
    """
    os.environ[_CLUSTER_JOB] = "1" if cluster else ""


def described() -> dict[str, object] | None:
    """Return model, driver and devices of this job's GPUs for the record; None without any."""
    devices = assigned()
    if not devices:
        return None
    known = {device["uuid"]: device for device in installed()}
    # A slice of a GPU (MIG) has a UUID of its own; the job sees only the GPU it is cut from.
    about = [known[name] for name in devices if name in known] or list(known.values())[:1]
    return {
        "devices": list(devices),
        "model": about[0]["name"] if about else None,
        "driver": about[0]["driver_version"] if about else None,
    }


@functools.cache
def installed() -> list[Device]:
    """Return the GPUs that the driver shows here, as dicts of index, uuid, name, driver_version."""
    command = shutil.which("nvidia-smi")
    if not command:
        return []
    query = [command, f"--query-gpu={','.join(_COLUMNS)}", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        return []
    rows = (line.split(", ") for line in done.stdout.splitlines())
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows if len(row) == len(_COLUMNS)]


def check(gpus: int, *, cluster: bool) -> None:
    """Raise ConfigError when `gpus` asks for more than this machine, or the cluster, has."""
    if not gpus:
        return
    if cluster:
        command = ["sinfo", "--noheader", "--format=%G"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode == 0 and "gpu" not in done.stdout:
            raise ConfigError(f"gpus: is {gpus}, but no node of this cluster has a GPU; write 0")
        return
    here = len(_candidates(gpus))
    if here < gpus:
        raise ConfigError(f"gpus: is {gpus}, but {here} can be used here; write {here}")


def _visible() -> list[str]:
    return list(filter(None, os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")))


def _candidates(gpus: int) -> list[str]:
    """Return the devices of `gpus` slots: what the user made visible, or the first ones."""
    names = [device["uuid"] for device in installed()]
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        names = _named(_visible()) if names else []
    return names[:gpus]


def _named(devices: list[str]) -> list[str]:
    """Return devices by UUID where the driver knows their number."""
    by_index = {device["index"]: device["uuid"] for device in installed()}
    return [by_index.get(name, name) for name in devices]


def _free_slot(devices: list[str], held: contextlib.ExitStack) -> str:
    if not devices:
        raise EngineError("gpus: no GPU can be used here; write gpus: 0")
    folder = Path(tempfile.gettempdir(), "segarena-gpus")
    folder.mkdir(exist_ok=True)
    with contextlib.suppress(PermissionError):
        folder.chmod(0o1777)  # the slots are the machine's, not one user's
    while True:
        for name in devices:
            file = _locked(folder / name)
            if file:
                held.enter_context(file)
                return name
        time.sleep(_POLL_SECONDS)


def _locked(path: Path) -> locks.Lock | None:
    """Return what holds the lock if it is ours now; opened for reading, as others own it too."""
    path.touch(mode=0o666) if not path.exists() else None
    file = path.open()
    lock = locks.held(path, file, wait=False)
    if lock is not file:
        file.close()
    return lock
