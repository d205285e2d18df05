"""Run a submission's image with Apptainer, where a cluster forbids Docker.

The image is built once, as one file (SIF) on the storage that all nodes share, under a lock: a
folder of tens of thousands of small files would be the slowest thing such a storage knows.

Apptainer shuts in less than Docker does, so what it cannot limit (memory, processes, /tmp, what is
printed) is watched from here and the call is killed when it goes too far; on a cluster Slurm's own
limit stands behind that. docs/isolation.md has the table.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from segarena.errors import ConfigError, EngineError
from segarena.files import whole
from segarena.predict import gpu
from segarena.predict.image import image_of_archive, opened_archive
from segarena.predict.runners import Image, Limits, Outcome
from segarena.predict.runners.watch import excess, readable, use

IMAGES = Path(".snakemake/segarena/apptainer")
WORKSPACE = "/workspace"
LOG_BYTES = 256 << 10

_STARTED = ".started"
_LOOK_SECONDS = 0.1
_MOST_TMP_FILES = 100_000
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

# What Apptainer says when the image, not the engine, is why a container does not start.
_IMAGE_CANNOT_START = (
    "executable file not found",
    "exec format error",
    "no such file or directory",
)


class ApptainerRunner:
    """Apptainer through its command line, rootless or as root."""

    def __init__(self) -> None:
        found = shutil.which("apptainer") or shutil.which("singularity")
        if not found:
            raise EngineError("no apptainer on the PATH; install it, or `module load` it first")
        self.command = found

    def ready(self, source: Path) -> Image:
        if source.is_dir():
            raise ConfigError(
                f"{source}: runtime apptainer needs docker archives; save the image with "
                "`docker save`, or use runtime: process for trusted code"
            )
        described = image_of_archive(source)
        self._built(source, described["image_id"])
        return {"runtime": "apptainer", "source": str(source), **described}

    def run(self, image: Image, inputs: Path, outputs: Path, log: Path, limits: Limits) -> Outcome:
        sif = self._built(Path(image["source"]), image["image_id"])
        marker = outputs / _STARTED
        with tempfile.TemporaryDirectory(dir=outputs.parent, ignore_cleanup_errors=True) as work:
            started = time.monotonic()
            with log.open("wb") as printed:
                process = subprocess.Popen(
                    self._call(sif, inputs, outputs, Path(work), limits),
                    env=_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                watch = _Watch(process, outputs, Path(work), log, limits)
                try:
                    why = watch.until_end(started + limits.seconds)
                finally:
                    watch.kill()
            seconds = time.monotonic() - started
        if not marker.exists() and not why:
            return self._not_started(image, log, seconds)
        own_seconds = max(time.time() - marker.stat().st_mtime, 0.0) if marker.exists() else 0.0
        marker.unlink(missing_ok=True)
        _cut(log)
        too_much = "" if why in {_TIMED_OUT, _OUT_OF_MEMORY} else why or excess(outputs, limits)
        return Outcome(
            exit_code=process.returncode,
            seconds=seconds,
            own_seconds=min(own_seconds, seconds),
            timed_out=why == _TIMED_OUT,
            out_of_memory=why == _OUT_OF_MEMORY,
            too_much_output=too_much,
            peak_memory_bytes=watch.peak_memory_bytes,
        )

    def _call(
        self, sif: Path, inputs: Path, outputs: Path, work: Path, limits: Limits
    ) -> list[str]:
        devices = gpu.assigned()
        environment = {
            "INPUTS": f"{WORKSPACE}/inputs",
            "OUTPUTS": f"{WORKSPACE}/outputs",
            "CUDA_VISIBLE_DEVICES": ",".join(devices),
            "NVIDIA_VISIBLE_DEVICES": ",".join(devices) or "void",
        }
        return [
            self.command,
            "--silent",
            "exec",
            "--containall",  # no namespace, no home and no environment of the host's
            "--no-home",
            "--no-privs",
            "--no-mount=bind-paths",  # a site's own mounts may hold the truth
            "--net",
            "--network=none",
            *(["--writable-tmpfs"] if limits.write_beside_code else []),
            *(["--nv"] if devices else []),
            f"--workdir={work}",  # /tmp; Apptainer's own is 64 MB
            f"--pwd={WORKSPACE}",
            f"--bind={inputs}:{WORKSPACE}/inputs:ro",
            f"--bind={outputs}:{WORKSPACE}/outputs",
            *(f"--env={name}={value}" for name, value in environment.items()),
            str(sif),
            "sh",
            "-c",
            # 255 is Apptainer's own failure, or the program's: the marker tells which.
            f": > {WORKSPACE}/outputs/{_STARTED}; exec sh predict.sh",
        ]

    def _not_started(self, image: Image, log: Path, seconds: float) -> Outcome:
        said = " ".join(log.read_text(encoding="utf-8", errors="replace").split())
        if any(reason in said.lower() for reason in _IMAGE_CANNOT_START):
            return Outcome(None, seconds, 0.0, cannot_start=said[-500:])
        raise EngineError(f"{image['source']}: apptainer cannot start it: {said[-500:]}")

    def _built(self, source: Path, image_id: str) -> Path:
        """Return the image as a SIF, built by whoever comes first; the others wait."""
        sif = (IMAGES / f"{image_id.removeprefix('sha256:')}.sif").resolve()
        if sif.exists():
            return sif
        sif.parent.mkdir(parents=True, exist_ok=True)
        with sif.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not sif.exists():
                self._build(source, sif)
        return sif

    def _build(self, source: Path, sif: Path) -> None:
        with tempfile.NamedTemporaryFile(suffix=".tar") as tar, whole(sif) as aside:
            try:
                with opened_archive(source, plain=True) as archive:
                    shutil.copyfileobj(archive, tar, 1 << 20)
                tar.flush()
            except OSError as error:
                raise EngineError(f"{source}: cannot be unpacked ({error})") from error
            build = [self.command, "--silent", "build", "--force", str(aside)]
            done = subprocess.run(
                [*build, f"docker-archive:{tar.name}"],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                said = " ".join(done.stderr.split())[-500:]
                raise EngineError(f"{source}: apptainer cannot build the image: {said}")


_TIMED_OUT = "timed out"
_OUT_OF_MEMORY = "out of memory"


class _Watch:
    """Looks at a container's processes until they end, and kills them when they go too far."""

    def __init__(
        self, process: subprocess.Popen, outputs: Path, work: Path, log: Path, limits: Limits
    ) -> None:
        self.process, self.outputs, self.work, self.log = process, outputs, work, log
        self.limits = limits
        self.peak_memory_bytes = 0

    def until_end(self, deadline: float) -> str:
        """Return when the call has ended or gone too far: "", or why it must be killed."""
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                left = deadline - time.monotonic()
                self.process.wait(timeout=max(min(_LOOK_SECONDS, left), 0.001))
                return ""
            if time.monotonic() >= deadline:
                return _TIMED_OUT
            why = self._excess()
            if why:
                return why

    def kill(self) -> None:
        """End every process of the call; the first process of its namespace takes all with it."""
        while self.process.poll() is None:
            for pid in (*_descendants(self.process.pid), self.process.pid):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=1)

    def _excess(self) -> str:
        family = _descendants(self.process.pid)
        memory = sum(_resident_bytes(pid) for pid in family)
        self.peak_memory_bytes = max(memory, self.peak_memory_bytes)
        if memory > self.limits.memory_bytes:
            return _OUT_OF_MEMORY
        if len(family) > self.limits.processes:
            return f"more than {self.limits.processes:,} processes"
        if self.log.stat().st_size > self.limits.printed_bytes:
            return f"more than {readable(self.limits.printed_bytes)} printed"
        most = self.limits.tmp_bytes
        if use(self.work, most_files=_MOST_TMP_FILES, most_bytes=most)[1] > most:
            return f"more than {readable(most)} in /tmp"
        return excess(self.outputs, self.limits)


def _descendants(pid: int) -> list[int]:
    """Return the processes below a process, the youngest generation last."""
    found, waiting = [], [pid]
    while waiting:
        parent = waiting.pop(0)
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                born = [int(child) for child in children.read_text().split()]
                found += born
                waiting += born
    return found


def _resident_bytes(pid: int) -> int:
    """Return a process's memory without what it shares with others; 0 when it has ended."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except (OSError, ValueError):
        return 0
    return max(int(resident) - int(shared), 0) * _PAGE_BYTES


def _environment() -> dict[str, str]:
    """Return our environment without what would change how containers run (APPTAINER_BIND)."""
    keep = {"APPTAINER_TMPDIR", "APPTAINER_CACHEDIR"}
    return {
        name: value
        for name, value in os.environ.items()
        if name in keep or not name.startswith(("APPTAINER", "SINGULARITY"))
    }


def _cut(log: Path) -> None:
    """Keep the end of what was printed."""
    size = log.stat().st_size
    if size > LOG_BYTES:
        with log.open("rb") as file:
            file.seek(size - LOG_BYTES)
            end = file.read()
        log.write_bytes(end)
