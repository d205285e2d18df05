"""Run a submission's image with Podman, which needs neither a daemon nor root.

Podman answers Docker's API itself (`podman system service`), so its containers are watched as
Docker's are. The service lives for one call, on a socket of its own: nobody has to start anything,
on any node. Only the creation of a container goes through the command line, since the API drops
without a word the GPUs that it is asked for.
"""

import contextlib
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from segarena.errors import ConfigError, EngineError
from segarena.predict import gpu
from segarena.predict.runners import (
    Image,
    Limits,
    Mount,
    Outcome,
    Serving,
    command_line,
    mounts_of,
)
from segarena.predict.runners.docker import (
    LABEL,
    ContainerMonitor,
    CreateRejectedError,
    DockerRunner,
    Times,
    client,
    flags,
)
from segarena.predict.runners.watch import Printed

_ANSWER_SECONDS = 120
_SERVICE_STARTS_SECONDS = 30
_LOOK_SECONDS = 0.02
_SERVICE_ENDS_SECONDS = 60  # by itself, should we be killed


class _PodmanMonitor(ContainerMonitor):
    """Waits for the end of what is printed: Podman's own wait looks four times a second."""

    def _ended(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.printed.ended(max(deadline - time.monotonic(), 0.0)):
            if self.engine.inspect_container(self.container)["State"]["Status"] == "exited":
                return True
            if time.monotonic() > deadline:
                break
            time.sleep(_LOOK_SECONDS)
        return False


class PodmanRunner(DockerRunner):
    """Podman, rootless or as root."""

    runtime = "podman"

    def __init__(self, base_image: str = "", sandbox: str = "") -> None:
        self.base_image, self.sandbox = base_image, sandbox
        self.command = [_command(), *_runtime(sandbox)]

    def base_id(self) -> str:
        with self._service():
            return self._base_id()

    def _ready(self, source: Path, base_id: str) -> Image:
        with self._service():
            about = self.engine.info()
            if about.get("Rootless") and about.get("CgroupVersion") == "1":
                raise EngineError(
                    "rootless Podman sets no limits on a machine with control groups v1; run on "
                    "one with v2, or write runtime: apptainer"
                )
            return super()._ready(source, base_id)

    def run(
        self,
        image: Image,
        inputs: Path,
        outputs: Path,
        log: Path,
        limits: Limits,
        serving: Serving | None = None,
    ) -> Outcome:
        with self._service() as folder:
            outcome = super().run(image, inputs, outputs, log, limits, serving)
            # Up to version 4 Podman looks elsewhere for what its monitor leaves in this folder.
            killed = outcome.out_of_memory or Path(folder, "oom").exists()
        return replace(outcome, out_of_memory=killed)

    def by_hand(self, image: Image, inputs: Path, outputs: Path, limits: Limits) -> str:
        with self._service():
            mounts = mounts_of(image, inputs, outputs, limits)
            asked = self._flags(image, mounts, limits)
            words = ["podman", *_runtime(self.sandbox), "run", "--rm", *asked]
        return command_line(words)

    def _check_sandbox(self) -> None:
        if self.sandbox:
            try:
                _ask([*self.command, "info"])
            except EngineError as error:
                raise ConfigError(
                    f"sandbox: Podman cannot use the runtime {self.sandbox!r} ({error}); write one "
                    "that is installed and named in its containers.conf, or leave it out"
                ) from error

    def _create(self, image: Image, limits: Limits, mounts: list[Mount]) -> str:
        ours = [f"--label={LABEL}={Path.cwd()}", "--log-driver=none"]
        asked = self._flags(image, mounts, limits)
        try:
            return _ask([*self.command, "create", *ours, *asked])
        except EngineError as error:
            raise CreateRejectedError(str(error)) from error

    def _flags(self, image: Image, mounts: list[Mount], limits: Limits) -> list[str]:
        return [
            "--pull=never",
            "--http-proxy=false",  # they may hold passwords
            "--read-only-tmpfs=false",
            "--security-opt=label=disable",  # SELinux would let nobody read the mounts
            *(f"--ulimit={name}={most}:{most}" for name, most in self._rlimits.items()),
            *(f"--device=nvidia.com/gpu={device}" for device in gpu.assigned()),
            *flags(image, mounts, limits),
        ]

    def _monitor(
        self, container: str, mounts: list[Mount], limits: Limits, printed: Printed
    ) -> ContainerMonitor:
        return _PodmanMonitor(self.engine, container, mounts, limits, printed)

    def _was_killed(self, container: str, times: Times) -> bool:
        # The API reports nothing of what is over.
        asked = ["--stream=false", f"--since={int(times.since)}", f"--filter=container={container}"]
        return bool(_ask([*self.command, "events", *asked, "--filter=event=kill"]))

    @contextlib.contextmanager
    def _service(self) -> Iterator[str]:
        """Let Podman answer Docker's API for as long as the context lasts; yield its folder."""
        with tempfile.TemporaryDirectory() as folder, Path(folder, "stderr").open("w+") as stderr:
            address = f"{folder}/socket"
            self.host = f"unix://{address}"
            service = subprocess.Popen(
                [*self.command, "system", "service", f"--time={_SERVICE_ENDS_SECONDS}", self.host],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,  # it must outlive a Ctrl-C until the container is removed
            )
            try:
                deadline = time.monotonic() + _SERVICE_STARTS_SECONDS
                while not _answers(address):
                    if service.poll() is not None or time.monotonic() > deadline:
                        stderr.seek(0)
                        raise EngineError(f"podman does not start: {stderr.read().strip()[-500:]}")
                    time.sleep(0.01)
                # By default Podman asks for more, which not every root may have (a CI's container).
                self._rlimits = {
                    "nofile": resource.prlimit(service.pid, resource.RLIMIT_NOFILE)[1],
                    "nproc": resource.prlimit(service.pid, resource.RLIMIT_NPROC)[1],
                }
                self.engine = client(_ANSWER_SECONDS, self.host)
                yield folder
            finally:
                service.terminate()
                try:
                    service.wait(timeout=_ANSWER_SECONDS)
                except subprocess.TimeoutExpired:
                    service.kill()
                    service.wait()


def remove_left_overs(run_folder: Path) -> int:
    """Remove the containers that a killed run in this folder left, and no others; return how many.

    Where there is no Podman there is nothing to remove.
    """
    label = f"label={LABEL}={run_folder}"
    with contextlib.suppress(EngineError):
        command = _command()
        found = _ask([command, "ps", "--all", "--quiet", "--filter", label]).split()
        if found:
            _ask([command, "rm", "--force", "--volumes", *found])
        return len(found)
    return 0


def _answers(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(address) == 0


def _command() -> str:
    found = shutil.which("podman")
    if not found:
        raise EngineError("no podman on the PATH; install it, or `module load` it first")
    return found


def _runtime(sandbox: str) -> list[str]:
    return [f"--runtime={sandbox}"] if sandbox else []


def _ask(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"podman does not answer within {_ANSWER_SECONDS} s") from error
    if done.returncode != 0:
        raise EngineError(f"podman says: {done.stderr.strip()[-500:]}")
    return done.stdout.strip()
