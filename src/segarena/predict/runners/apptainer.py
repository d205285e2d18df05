"""Run a submission's image with Apptainer, where a cluster forbids Docker.

The image is built once, as one file (SIF) on the storage that all nodes share, under a lock: a
folder of tens of thousands of small files would be the slowest thing such a storage knows.

Apptainer shuts in less than Docker does, so what it cannot limit (memory, processes, /tmp, what is
printed) is watched from here and the call is killed when it goes too far; on a cluster Slurm's own
limit is the second one. docs/isolation.md has the table.
"""

import contextlib
import itertools
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segarena import locks
from segarena.errors import ConfigError, EngineError, SubmissionError
from segarena.files import atomic_write
from segarena.predict import gpu
from segarena.predict.image import image_of_archive, image_of_folder, open_archive
from segarena.predict.runners import (
    WORKSPACE,
    Image,
    Limits,
    Mount,
    Outcome,
    Serving,
    command_line,
    mounts_of,
)
from segarena.predict.runners.flood import bounded
from segarena.predict.runners.untagged import untagged
from segarena.predict.runners.watch import (
    LOAD_WAITS,
    MOST_FILES_BESIDE,
    Filled,
    Printed,
    check_room,
    readable,
    reopen,
    use,
)
from segarena.provenance import file_digest

IMAGES = Path(".snakemake/segarena/apptainer")

_LONGEST_FIRST_LINE = 1 << 16
_MOST_TMP_FILES = 100_000
_LOOK_SECONDS = 0.1
_FIRST = 10
_START = 'echo "$0"; cd "$1" 2>&- || { mkdir -p "$1" && cd "$1"; } || exit; shift; exec "$@"'
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ApptainerRunner:
    """Apptainer through its command line, rootless or as root."""

    def __init__(self, base_image: str = "") -> None:
        self.base_image = base_image
        found = shutil.which("apptainer") or shutil.which("singularity")
        if not found:
            raise EngineError("no apptainer on the PATH; install it, or `module load` it first")
        self.command = found

    def base_id(self) -> str:
        return self._base()["image_id"]

    def _base(self) -> Image:
        """Return the ID of base_image and, of an archive, its entry point."""
        base = Path(self.base_image)
        if not base.is_file():
            raise ConfigError(
                f"base_image: no file {self.base_image!r}; with runtime apptainer write the path "
                "of a SIF file or of a docker archive"
            )
        if base.suffix == ".sif":
            return {"image_id": f"sha256:{file_digest(base)}"}
        try:
            found = image_of_archive(base)
            return {key: found[key] for key in ("image_id", "entrypoint")}
        except SubmissionError as error:
            raise ConfigError(f"base_image: {error}") from error

    def ready(self, source: Path, base_id: str = "") -> Image:
        if source.is_dir():
            described = self._described_folder(source, base_id)
        else:
            described = image_of_archive(source)
        image: Image = {"runtime": "apptainer", "source": str(source), **described}
        self._sif(image)
        return image

    def run(
        self,
        image: Image,
        inputs: Path,
        outputs: Path,
        log: Path,
        limits: Limits,
        serving: Serving | None = None,
    ) -> Outcome:
        with (
            tempfile.TemporaryDirectory(dir=outputs.parent, ignore_cleanup_errors=True) as work,
            bounded(limits.processes) as within_bounds,
        ):
            mounts = mounts_of(image, inputs, outputs, limits)
            asked = self._asked(image, mounts, Path(work), limits)
            first_line = _FirstLine()
            started = time.monotonic()
            process = subprocess.Popen(
                # 255 is Apptainer's own failure, or the program's: this first line shows which.
                [*within_bounds, *asked, *_program(image, limits, first_line.line)],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            printed = Printed(first_line.taken_off(process.stdout))
            monitor = _ProcessMonitor(process, mounts, Path(work), printed, limits)
            try:
                why = monitor.until_end(started + limits.seconds, serving)
            finally:
                monitor.kill()
            ended = time.monotonic()
        log.write_bytes(printed.last())
        reopen(inputs, outputs)
        if process.returncode == 255 and not why and first_line.seen_at is None:
            message = " ".join(log.read_text(encoding="utf-8", errors="replace").split())
            return Outcome(
                None, ended - started, 0.0, cannot_start=message[-500:] or "exit code 255"
            )
        too_much = "" if why in {_TIMED_OUT, _OUT_OF_MEMORY} else why or monitor.filled.excess()
        return Outcome(
            exit_code=process.returncode,
            seconds=ended - started,
            own_seconds=ended - (first_line.seen_at or ended),
            timed_out=why == _TIMED_OUT,
            out_of_memory=why == _OUT_OF_MEMORY,
            too_much_output=too_much,
            peak_memory_bytes=monitor.peak_memory_bytes,
        )

    def by_hand(self, image: Image, inputs: Path, outputs: Path, limits: Limits) -> str:
        mounts = mounts_of(image, inputs, outputs, limits)
        asked = self._asked(image, mounts, outputs.parent, limits)
        return command_line([*asked, *_program(image, limits, "started")])

    def _described_folder(self, source: Path, base_id: str) -> Image:
        described = image_of_folder(source, self.base_image)
        base = self._base()
        if base_id not in {"", base["image_id"]}:
            raise EngineError(
                f"base_image: {self.base_image} is another image than when the run began; put it "
                "back, or run with --forcerun base_image to take the new one"
            )
        return {**base, "base": str(Path(self.base_image).resolve()), **described}

    def _asked(self, image: Image, mounts: list[Mount], work: Path, limits: Limits) -> list[str]:
        """Return the command line up to the image, which is built where it is not there yet."""
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
            "--pwd=/",
            *(f"--mount={mount}" for mount in mounts),
            *(f"--env={name}={value}" for name, value in environment.items()),
            str(self._sif(image)),
        ]

    def _sif(self, image: Image) -> Path:
        """Return the image as a SIF, built by whoever comes first; the others wait."""
        source, image_id = Path(image.get("base") or image["source"]), image["image_id"]
        if source.suffix == ".sif":
            return source
        sif = (IMAGES / f"{image_id.removeprefix('sha256:')}.sif").resolve()
        if sif.exists():
            return sif
        sif.parent.mkdir(parents=True, exist_ok=True)
        with sif.with_suffix(".lock").open("w") as lock:
            held = locks.held(sif.with_suffix(".lock"), lock, wait=True)
            if not sif.exists():
                self._build(source, sif, image.get("unpacked_bytes") or _size_of(source))
            if held:
                held.close()
        return sif

    def _build(self, source: Path, sif: Path, unpacked_bytes: int) -> None:
        _check_room(sif.parent, unpacked_bytes)
        with tempfile.NamedTemporaryFile(suffix=".tar") as tar, atomic_write(sif) as tmp:
            try:
                with open_archive(source) as archive:
                    tar.writelines(untagged(archive))
                tar.flush()
            except OSError as error:
                raise EngineError(f"{source}: cannot be unpacked ({error})") from error
            for wait in (*LOAD_WAITS, None):
                message = self._built(tmp, tar.name)
                if not message:
                    return
                if wait is None:
                    _check_room(sif.parent, unpacked_bytes)
                    raise EngineError(f"{source}: apptainer cannot build the image: {message}")
                time.sleep(wait)

    def _built(self, sif: Path, archive: str) -> str:
        """Have Apptainer build a SIF; return what it has against that, "" if it is built."""
        done = subprocess.run(
            [self.command, "--silent", "build", "--force", str(sif), f"docker-archive:{archive}"],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        return "" if done.returncode == 0 else " ".join(done.stderr.split())[-500:] or "no reason"


def _size_of(base: Path) -> int:
    """Return the size of a base image's file, as it is not known to how much it unpacks."""
    try:
        return base.stat().st_size
    except OSError as error:
        raise EngineError(f"{base}: cannot be read ({error})") from error


def _check_room(images: Path, needed_bytes: int) -> None:
    """Raise EngineError where there is no room to unpack an image and to keep it as a SIF."""
    for folder in (Path(tempfile.gettempdir()), images):
        check_room(folder, needed_bytes)


class _FirstLine:
    """The line that a call prints before its program, which shows that the container has started.

    Nobody but us can take it back: it has left the container.
    """

    def __init__(self) -> None:
        self.line = secrets.token_hex(16)
        self.seen_at: float | None = None

    def taken_off(self, stream: Any) -> Iterator[bytes]:
        """Yield what is printed without the line; note the time at which it came."""
        line, first = f"{self.line}\n".encode(), b""
        while chunk := stream.read1(1 << 16):
            if self.seen_at is None and len(first) < _LONGEST_FIRST_LINE:
                first += chunk
                if line not in first:
                    continue
                self.seen_at = time.monotonic()
                chunk, first = first.replace(line, b"", 1), b""
            yield chunk
        yield first


_TIMED_OUT = "timed out"
_OUT_OF_MEMORY = "out of memory"


class _ProcessMonitor:
    """Looks at a container's processes until they end, and kills them when they go too far."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        mounts: list[Mount],
        work: Path,
        printed: Printed,
        limits: Limits,
    ) -> None:
        self.process, self.work, self.printed, self.limits = process, work, printed, limits
        writable = {mount.target: mount.source for mount in mounts if not mount.read_only}
        self.filled = Filled(writable, limits)
        self.workspace = writable.get(WORKSPACE)
        self._files_at_first = len(list(self.workspace.iterdir())) if self.workspace else 0
        self.peak_memory_bytes = 0
        self._layer_bytes_at_start: int | None = None

    def until_end(self, deadline: float, serving: Serving | None = None) -> str:
        """Return when the call has ended or gone too far: "", or why it must be killed."""
        serving = serving or Serving()
        serving.monitor = self
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                left = deadline - time.monotonic()
                self.process.wait(timeout=max(min(_LOOK_SECONDS, left), 0.001))
                return ""
            if time.monotonic() >= deadline:
                return _TIMED_OUT
            why = serving.stop or self._excess()
            if why:
                return why

    def kill(self) -> None:
        """End every process of the call; the first process of its namespace takes all with it."""
        killed = []
        while self.process.poll() is None:
            # One by one as they are found, so that no flood of processes can outrun it.
            for pid in itertools.chain(_descendants(self.process.pid), [self.process.pid]):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=1)
        # The first of a namespace is gone only when all the others are.
        while any(map(_runs, killed[:_FIRST])):
            time.sleep(_LOOK_SECONDS)

    def _excess(self) -> str:
        limits = self.limits
        family = list(itertools.islice(_descendants(self.process.pid), limits.processes + 1))
        shared, layer_bytes = self._held(family)
        memory = sum(_resident_bytes(pid) for pid in family) + shared + layer_bytes
        self.peak_memory_bytes = max(memory, self.peak_memory_bytes)
        if len(family) > limits.processes:
            return f"more than {limits.processes:,} processes"
        if self.workspace:
            most, most_files = limits.disk_bytes, self._files_at_first + MOST_FILES_BESIDE
            files, size = use(self.workspace, most_files=most_files, most_bytes=most)
            layer_bytes += size
            if files > most_files:
                return f"more than {MOST_FILES_BESIDE:,} files written beside /tmp and the outputs"
        in_tmp = use(self.work, most_files=_MOST_TMP_FILES, most_bytes=limits.tmp_bytes)[1]
        for size, most, where in (
            (self.printed.size, limits.printed_bytes, "printed"),
            (in_tmp, limits.tmp_bytes, "in /tmp"),
            (shared, limits.shared_memory_bytes, "in /dev/shm"),
            (layer_bytes, limits.disk_bytes, "written beside /tmp and the outputs"),
        ):
            if size > most:
                return f"more than {readable(most)} {where}"
        return _OUT_OF_MEMORY if memory > limits.memory_bytes else self.filled.excess()

    def _held(self, family: list[int]) -> tuple[int, int]:
        """Return the bytes in /dev/shm and beside the code, both of which the call keeps in memory.

        They are seen through a process in the container; Apptainer's own are outside.
        """
        for pid in reversed(family):
            root = Path(f"/proc/{pid}/root")
            with contextlib.suppress(OSError):
                if not (root / WORKSPACE[1:] / "outputs").samefile(self.filled.outputs):
                    continue
                shared, layer_bytes = _used_bytes(root / "dev/shm"), _used_bytes(root)
                if (
                    self._layer_bytes_at_start is None
                ):  # without a layer it is the image that counts
                    self._layer_bytes_at_start = layer_bytes
                return shared, layer_bytes - self._layer_bytes_at_start
        return 0, 0


def _program(image: Image, limits: Limits, first_line: str) -> list[str]:
    """Return what runs in a container: in the image's working directory, which is made where it is
    not there, the image's entry point and the command, as Docker runs them.

    Apptainer's own `run` would start the entry point, too, but through a shell that reads the
    command again. first_line: what is printed first.
    """
    workdir = WORKSPACE if image.get("mounted") else image.get("workdir") or "/"
    entrypoint = image.get("entrypoint") or []
    words = [entrypoint] if isinstance(entrypoint, str) else entrypoint
    return ["sh", "-c", _START, first_line, workdir, *words, "sh", limits.script]


def _used_bytes(folder: Path) -> int:
    """Return what the file system of a folder holds."""
    system = os.statvfs(folder)
    return (system.f_blocks - system.f_bfree) * system.f_frsize


def _runs(pid: int) -> bool:
    """Return whether a process has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _descendants(pid: int) -> Iterator[int]:
    """Give the processes below a process, the youngest generation last."""
    waiting = [pid]
    while waiting:
        tasks = Path(f"/proc/{waiting.pop(0)}/task")
        with contextlib.suppress(OSError):  # ended meanwhile
            for children in list(tasks.glob("*/children")):
                with contextlib.suppress(OSError):
                    born = [int(child) for child in children.read_text().split()]
                    waiting += born
                    yield from born


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
