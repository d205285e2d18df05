"""Run a submission's image with Docker: a fresh, shut-in container a call, removed after it.

The low-level client is used because it is the quickest: create, start, wait, inspect, remove.
Images are loaded without a name and run by ID alone: a name would be taken from another image.

Whose fault an end is, is asked of the engine: a container that somebody else killed (an organiser,
an engine that shuts down), or one that vanished, has failed for no fault of the submission.
docs/isolation.md says what each setting here keeps out.
"""

import base64
import contextlib
import datetime
import functools
import importlib.util
import json
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.types
import docker.utils
import requests.exceptions
import urllib3.exceptions

from segarena.errors import ConfigError, EngineError, SubmissionError
from segarena.predict import gpu
from segarena.predict.image import content, image_of_archive, image_of_folder, open_archive
from segarena.predict.runners import (
    WORKSPACE,
    CannotCreateError,
    Image,
    Limits,
    Mount,
    Outcome,
    Serving,
    command_line,
    mounts_of,
)
from segarena.predict.runners.untagged import untagged
from segarena.predict.runners.watch import (
    LOAD_WAITS,
    MOST_FILES_BESIDE,
    Filled,
    Printed,
    check_room,
    memory_of,
    readable,
    reopen,
    use,
)

LABEL = "segarena"
LOAD_SECONDS = 3600
DEFAULT_HOST = "unix:///var/run/docker.sock"

_FASTEST_LOOK, _SLOWEST_LOOK = 0.05, 0.25
_SECONDS_BETWEEN_QUESTIONS = 2.0
_ANSWER_SECONDS = 120
_CLEARING_SECONDS, _CLEARING_BYTES = 60, 256 << 20

# Bits of a mode as Go, in which the engines are written, counts them.
_GO_LINK, _GO_DEVICE, _GO_FIFO, _GO_SOCKET = 1 << 27, 1 << 26, 1 << 25, 1 << 24


class CreateRejectedError(EngineError):
    """An engine's command line did not make a container."""


@dataclass(frozen=True)
class Times:
    """When a container was made, started and ended, in seconds of the engine's clock.

    That clock is only compared with itself: the engine may run in a virtual machine, and any wall
    clock may be set. `passed`: how long ago it was made, in seconds of ours.
    """

    made: float
    started: float
    ended: float
    passed: float

    @classmethod
    def of(cls, found: dict[str, Any], passed: float) -> "Times":
        """Return the times of a container that has ended, as the engine reports them."""
        state = found["State"]
        texts = (found["Created"], state["StartedAt"], state["FinishedAt"])
        made, started, ended = map(_seconds, texts)
        return cls(made, started, ended, passed)

    @property
    def since(self) -> float:
        """Before anything could happen to the container."""
        return min(self.made, self.ended) - 1

    @property
    def until(self) -> float:
        """The present by the engine's clock: asked for a later time, the engine would wait for it.

        Where its clock was set meanwhile that can be wrong, but never by more than a second.
        """
        return min(max(self.made + self.passed, self.ended), self.ended + 1)

    def own_seconds(self, call_seconds: float) -> float:
        """Return how long the program ran; the whole call where the clock was set meanwhile."""
        own = self.ended - self.started
        return own if 0 <= own <= call_seconds else call_seconds


def _seconds(text: str) -> float:
    """Return a time as the engine writes it in seconds."""
    return datetime.datetime.fromisoformat(text).timestamp()


class DockerRunner:
    """Docker through its API.

    `host`: the engine's address, "" for DOCKER_HOST's or the default socket's.
    """

    runtime = "docker"

    def __init__(self, base_image: str = "", sandbox: str = "") -> None:
        self.base_image, self.sandbox, self.host = base_image, sandbox, ""
        self.engine = _engine(os.environ.get("DOCKER_HOST", ""))

    def ready(self, source: Path, base_id: str = "") -> Image:
        self._check_sandbox()
        ours = {"sandbox": self.sandbox} if self.sandbox else {}
        return {**self._ready(source, base_id), **ours}

    def _ready(self, source: Path, base_id: str) -> Image:
        if source.is_dir():
            return self._ready_folder(source, base_id)
        described = image_of_archive(source)
        with _engine_errors(f"{source}: loading the image"):
            self._check_machine(source, described)
            if not self._name(described):
                self._load(source, described)
            self._try_out(source, self._name(described))
        return {"runtime": self.runtime, "source": str(source), **described}

    def run(
        self,
        image: Image,
        inputs: Path,
        outputs: Path,
        log: Path,
        limits: Limits,
        serving: Serving | None = None,
    ) -> Outcome:
        with _engine_errors(f"{image['source']}: running a container"):
            if limits.write_beside_code:
                self._check_room(limits.disk_bytes)
            image = {**image, "image_id": self._ready_again(image)}
            mounts = mounts_of(image, inputs, outputs, limits)
            started = time.monotonic()
            try:
                container = self._create(image, limits, mounts)
            except (docker.errors.APIError, CreateRejectedError) as error:
                return Outcome(
                    None, time.monotonic() - started, 0.0, cannot_start=_message_of(error)
                )
            with self._removed(container):
                try:
                    printed = self._start(container)
                except docker.errors.APIError as error:
                    seconds = time.monotonic() - started
                    return Outcome(None, seconds, 0.0, cannot_start=_message_of(error))
                monitor = self._monitor(container, mounts, limits, printed)
                why = monitor.until_end(started + limits.seconds, serving)
                seconds = time.monotonic() - started
                found = self.engine.inspect_container(container)
                state, times = found["State"], Times.of(found, time.monotonic() - started)
                if not why and self._was_killed(container, times):
                    raise EngineError(
                        "a container was killed from outside (the engine was shut down, or "
                        "somebody removed it); this call was discarded; run the same command again"
                    )
                log.write_bytes(printed.last())
                reopen(inputs, outputs)
                report_writes = image.get("report_writes")
                written = self._written(container, mounts) if report_writes else ()
                if os.geteuid() != 0:
                    for mount in mounts:
                        if not mount.read_only:
                            self._take_over(container, image, mount, folders=limits.keep_state)
        return Outcome(
            exit_code=state["ExitCode"],
            seconds=seconds,
            own_seconds=times.own_seconds(seconds),
            timed_out=why == _TIMED_OUT,
            out_of_memory=state["OOMKilled"],
            too_much_output="" if why == _TIMED_OUT else why or monitor.filled.excess(),
            peak_memory_bytes=monitor.peak_memory_bytes,
            written=written,
        )

    def by_hand(self, image: Image, inputs: Path, outputs: Path, limits: Limits) -> str:
        known = {**image, "image_id": self._ready_again(image)}
        mounts = mounts_of(image, inputs, outputs, limits)
        sandbox = [f"--runtime={self.sandbox}"] if self.sandbox else []
        gpus = [f'--gpus="device={",".join(gpu.assigned())}"'] if gpu.assigned() else []
        asked = [*sandbox, *gpus, *flags(known, mounts, limits)]
        return command_line(["docker", "run", "--rm", *asked])

    def base_id(self) -> str:
        return self._base_id()

    def _base_id(self) -> str:
        with _engine_errors(f"base_image {self.base_image}"):
            try:
                return self.engine.inspect_image(self.base_image)["Id"]
            except docker.errors.ImageNotFound as error:
                raise EngineError(
                    f"base_image: the engine knows no image {self.base_image!r}; load or pull it"
                ) from error

    def _ready_folder(self, source: Path, base_id: str) -> Image:
        described = image_of_folder(source, self.base_image)
        image_id = base_id or self._base_id()
        with _engine_errors(f"base_image {self.base_image}"):
            if not self._name({"image_id": image_id}):
                raise EngineError(
                    f"the engine no longer has {image_id}, which had this name when the run began; "
                    "load it, or run with --forcerun base_image to take what has the name now"
                )
        return {
            "runtime": self.runtime,
            "source": str(source),
            "image_id": image_id,
            **described,
        }

    def _check_sandbox(self) -> None:
        """Raise ConfigError where the engine does not know the runtime that the config asks for."""
        if not self.sandbox or self.sandbox.startswith("io.containerd."):  # any on its PATH
            return
        with _engine_errors(f"sandbox {self.sandbox}"):
            known = self.engine.info().get("Runtimes") or {}
        if self.sandbox not in known:
            raise ConfigError(
                f"sandbox: the engine knows no runtime {self.sandbox!r}; write one of "
                f"{', '.join(sorted(known))}, or add it to the engine's settings"
            )

    def _check_machine(self, source: Path, described: Image) -> None:
        version = self.engine.version()
        theirs = f"{described['system'] or 'linux'}/{described['architecture'] or version['Arch']}"
        ours = f"{version['Os']}/{version['Arch']}"
        if theirs != ours:
            raise SubmissionError(
                f"{source.name}: the image is made for {theirs}, the machines here are {ours}; "
                f"build it with --platform {ours}"
            )

    def _check_room(self, needed_bytes: int) -> None:
        folder = _disk(self.engine)
        if folder.is_dir():  # an engine elsewhere looks after itself
            check_room(folder, needed_bytes)

    def _name(self, image: Image) -> str:
        """Return what the engine calls an image, "" where it does not have it.

        That is the image's ID, except with containerd's store: what has the same layers and the
        same settings is then the same.
        """
        with contextlib.suppress(docker.errors.ImageNotFound):
            return self.engine.inspect_image(image["image_id"])["Id"]
        for listed in self.engine.images() if "content" in image else ():
            with contextlib.suppress(docker.errors.ImageNotFound):  # removed meanwhile
                found = self.engine.inspect_image(listed["Id"])
                layers = found["RootFS"].get("Layers") or []
                if content(layers, found["Config"] or {}) == image["content"]:
                    return found["Id"]
        return ""

    def _load(self, source: Path, described: Image) -> None:
        """Load an archive in three tries; what was found whole before is never blamed for this."""
        self._check_room(described["unpacked_bytes"])
        for wait in (*LOAD_WAITS, None):
            message = self._loaded(source)
            if not message:
                break
            if wait is None:
                self._check_room(described["unpacked_bytes"])
                raise EngineError(f"{source}: the engine cannot load it: {message}")
            time.sleep(wait)
        if not self._name(described):
            raise EngineError(
                f"{source}: the engine loaded it but knows no image {described['image_id'][:19]}; "
                "the archive was replaced meanwhile: run again"
            )

    def _loaded(self, source: Path) -> str:
        """Have the engine load an archive; return what it has against that, "" if it is loaded."""
        slow = client(LOAD_SECONDS, self.host)
        with open_archive(source) as stream, contextlib.closing(slow) as engine:
            try:
                for line in engine.load_image(untagged(stream), quiet=True):
                    if "error" in line:
                        return str(line["error"])
            except docker.errors.APIError as error:
                return _message_of(error)
        return ""

    def _try_out(self, source: Path, image_id: str) -> None:
        """Make a container of an image and look at it, without starting it.

        Raises CannotCreateError where the engine makes none, SubmissionError where starting it
        would make the engine wait for ever: it reads these files of the image by itself.
        """
        try:
            created = self.engine.create_container(
                image_id, ["true"], network_disabled=True, labels={LABEL: str(Path.cwd())}
            )
        except docker.errors.APIError as error:
            raise CannotCreateError(_message_of(error)) from error
        with self._removed(created["Id"]):
            for name in ("/etc/passwd", "/etc/group"):
                kind = self._kind_of(created["Id"], name)
                if kind:
                    raise SubmissionError(f"{source.name}: {name} in the image is {kind}")

    def _kind_of(self, container: str, name: str) -> str:
        """Return what a path in a container is, "" for a file, a folder or nothing."""
        found = self._about_path(container, name)
        if found.get("mode", 0) & _GO_LINK:
            found = self._about_path(container, found["linkTarget"])
        kinds = {_GO_FIFO: "a fifo", _GO_SOCKET: "a socket", _GO_DEVICE: "a device"}
        return next((kind for bit, kind in kinds.items() if found.get("mode", 0) & bit), "")

    def _about_path(self, container: str, path: str) -> dict[str, Any]:
        """Return what the engine says of a path in a container without opening it."""
        url = self.engine._url("/containers/{0}/archive", container)  # type: ignore[attr-defined]
        answer = self.engine.head(url, params={"path": path}, timeout=_ANSWER_SECONDS)
        about = answer.headers.get("X-Docker-Container-Path-Stat")
        return json.loads(base64.b64decode(about)) if answer.ok and about else {}

    def _ready_again(self, image: Image) -> str:
        """Return what the engine calls an image; load it if the engine has lost it."""
        name = self._name(image)
        if name:
            return name
        if image.get("mounted"):
            raise EngineError(
                f"base_image: the engine no longer has {image['image_id']}; load it and run again"
            )
        self._load(Path(image["source"]), image)
        return self._name(image)

    def _create(self, image: Image, limits: Limits, mounts: list[Mount]) -> str:
        created = self.engine.create_container(
            image["image_id"],
            command=["sh", limits.script],
            working_dir=WORKSPACE if image.get("mounted") else None,
            environment={"INPUTS": f"{WORKSPACE}/inputs", "OUTPUTS": f"{WORKSPACE}/outputs"},
            user=f"{os.getuid()}:{os.getgid()}" if limits.user == "caller" else None,
            host_config=self._shut_in(limits, mounts),
            network_disabled=True,
            hostname="submission",
            stdin_open=False,
            use_config_proxy=False,
            healthcheck={"test": ["NONE"]},  # it would flood the engine's events, which we need
            labels={LABEL: str(Path.cwd())},
        )
        return created["Id"]

    def _shut_in(self, limits: Limits, mounts: list[Mount]) -> Any:
        return self.engine.create_host_config(
            mounts=[_bind(mount) for mount in mounts],
            network_mode="none",
            ipc_mode="private",
            read_only=not limits.write_beside_code,
            tmpfs={"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={limits.tmp_bytes}"},
            shm_size=limits.shared_memory_bytes,
            mem_limit=limits.memory_bytes,
            memswap_limit=limits.memory_bytes,
            oom_score_adj=500,  # where the machine runs short, the container goes first
            nano_cpus=int(limits.cpus * 1e9) if limits.cpus else None,
            pids_limit=limits.processes,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true", *_label(self.engine)],
            ulimits=[docker.types.Ulimit(name="core", soft=0, hard=0)],
            init=True,
            device_requests=_gpus(),
            runtime=self.sandbox or None,
            log_config=docker.types.LogConfig(type="none"),  # Printed listens instead
        )

    def _start(self, container: str) -> Printed:
        """Start a container; return what it prints."""
        printed = Printed(self.engine.attach(container, stream=True), urllib3.exceptions.HTTPError)
        self.engine.start(container)
        return printed

    def _monitor(
        self, container: str, mounts: list[Mount], limits: Limits, printed: Printed
    ) -> "ContainerMonitor":
        return ContainerMonitor(self.engine, container, mounts, limits, printed)

    def _was_killed(self, container: str, times: Times) -> bool:
        """Return whether anybody had the engine kill a container."""
        kills = self.engine.events(  # type: ignore[call-overload]
            since=f"{times.since:.3f}",
            until=f"{times.until:.3f}",
            filters={"container": container, "event": "kill"},
            decode=True,
        )
        with contextlib.closing(kills):
            return any(True for _ in kills)

    def _written(self, container: str, mounts: list[Mount]) -> tuple[str, ...]:
        """Return the files that were written beside /tmp and the mounts, a hundred at most."""
        changes = [change["Path"] for change in self.engine.diff(container) or ()]
        folders = {str(Path(path).parent) for path in changes}
        elsewhere = {"/tmp", "/dev", "/proc", "/sys", *(mount.target for mount in mounts)}
        prefixes = tuple(f"{folder}/" for folder in elsewhere)
        files = [
            path
            for path in changes
            if path not in folders
            and not f"{path}/".startswith(prefixes)
            and not path.endswith("/docker-init")  # the engine's own, as is Podman's /etc
            and path != "/etc"
        ]
        for mount in mounts:
            if mount.target == WORKSPACE:  # of a folder; there the links and two folders are ours
                files += [
                    f"{WORKSPACE}/{path.relative_to(mount.source)}"
                    for path in mount.source.rglob("*")
                    if path.is_file() and not path.is_symlink()
                ]
        return tuple(sorted(files)[:100])

    def _take_over(self, container: str, image: Image, mount: Mount, *, folders: bool) -> None:
        """Make what the container's user wrote that of a caller who is not root.

        It is read through the engine. folders: the folders, too, which are removed otherwise; that
        is for inputs and outputs alone.
        """
        folders = folders and mount.target != WORKSPACE
        with tempfile.TemporaryDirectory(dir=mount.source.parent) as name:
            copies = Path(name)
            for path in mount.source.iterdir():
                foreign = path.lstat().st_uid != os.geteuid()
                if path.is_symlink() or not foreign:
                    continue
                if (path.is_dir() and folders) or (path.is_file() and not os.access(path, os.R_OK)):
                    self._copy(container, f"{mount.target}/{path.name}", copies)
            self._clear_foreign(image, mount.source, mount.target)
            for copy in copies.iterdir():
                there = mount.source / copy.name
                if not there.is_dir():  # else it could not be removed
                    copy.replace(there)

    def _copy(self, container: str, path: str, folder: Path) -> None:
        """Copy a file or a folder out of a container, without what is neither."""
        chunks, _ = self.engine.get_archive(container, path)
        with tempfile.TemporaryFile() as packed:
            for chunk in chunks:
                packed.write(chunk)
            packed.seek(0)
            with tarfile.open(fileobj=packed) as archive:
                archive.extractall(folder, filter=_plain)

    def _clear_foreign(self, image: Image, folder: Path, target: str) -> None:
        """Remove folders that belong to the container's root, which a plain user cannot.

        They are removed as they were made, in a container: with the image's own `rm`, which sees
        nothing but the folder they are in. A folder is never an answer, so nothing is lost.
        """
        with os.scandir(folder) as entries:
            foreign = [
                f"{target}/{entry.name}"
                for entry in entries
                if entry.is_dir(follow_symlinks=False)
                and entry.stat(follow_symlinks=False).st_uid != os.geteuid()
            ]
        if not foreign:
            return
        created = self.engine.create_container(
            image["image_id"],
            entrypoint=["rm", "-rf", "--"],
            command=foreign,
            user="0",
            host_config=self.engine.create_host_config(
                mounts=[_bind(Mount(folder, target, read_only=False))],
                network_mode="none",
                cap_drop=["ALL"],
                cap_add=["DAC_OVERRIDE"],
                security_opt=["no-new-privileges:true"],
                mem_limit=_CLEARING_BYTES,
                pids_limit=16,
            ),
            network_disabled=True,
            use_config_proxy=False,
            labels={LABEL: str(Path.cwd())},
        )
        with (
            self._removed(created["Id"]),
            contextlib.suppress(docker.errors.APIError, requests.exceptions.RequestException),
        ):
            self.engine.start(created["Id"])
            self.engine.wait(created["Id"], timeout=_CLEARING_SECONDS)

    @contextlib.contextmanager
    def _removed(self, container: str) -> Iterator[None]:
        """Remove the container at the end, whatever happens; the next run looks for what stays."""
        try:
            yield
        finally:
            try:
                self.engine.remove_container(container, v=True, force=True)
            except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
                print(
                    f"segarena: could not remove container {container[:12]}: {error}",
                    file=sys.stderr,
                )


_TIMED_OUT = "timed out"


class ContainerMonitor:
    """Looks at a container until it ends, and kills it when it goes too far."""

    def __init__(
        self,
        engine: docker.APIClient,
        container: str,
        mounts: list[Mount],
        limits: Limits,
        printed: Printed,
    ) -> None:
        self.engine, self.container = engine, container
        self.limits, self.printed = limits, printed
        writable = {mount.target: mount.source for mount in mounts if not mount.read_only}
        self.filled = Filled(writable, limits)
        self.peak_memory_bytes: int | None = None
        found = engine.inspect_container(container)
        self._memory = memory_of(found["State"]["Pid"], container)
        # What an image declares as a volume is on the engine's disk, but not in the layer's size.
        self._folders = [Path(m["Source"]) for m in found["Mounts"] if m["Type"] == "volume"]
        self._folders += writable.values()
        # The container's own layer, where this user may look into it.
        self._layer = Path((found.get("GraphDriver", {}).get("Data") or {}).get("UpperDir") or "/-")
        self._folders.append(self._layer)
        self._files_at_first = self._files(limits.disk_bytes)
        self._next_questions = time.monotonic() + _SECONDS_BETWEEN_QUESTIONS

    def until_end(self, deadline: float, serving: Serving | None = None) -> str:
        """Return when nothing of the call runs any more: "", _TIMED_OUT or what was too much."""
        serving, pause = serving or Serving(), _FASTEST_LOOK
        serving.monitor = self
        while True:
            self._note_memory()
            if self._ended(min(pause, max(deadline - time.monotonic(), 0.001))):
                return ""
            why = serving.stop or (_TIMED_OUT if time.monotonic() >= deadline else self._excess())
            if why and self._killed():
                return why
            pause = min(pause * 1.2, _SLOWEST_LOOK)

    def _ended(self, seconds: float) -> bool:
        """Wait for the end, so long at most.

        It shows in what is printed, which costs the engine nothing; now and then it is asked too.
        """
        if not self.printed.ended(seconds) and time.monotonic() < self._next_questions:
            return False
        try:
            self.engine.wait(self.container, timeout=seconds)  # type: ignore[arg-type]
        except requests.exceptions.Timeout:
            return False
        except requests.exceptions.ConnectionError as error:
            if error.args and isinstance(error.args[0], urllib3.exceptions.ReadTimeoutError):
                return False
            raise
        return True

    def _killed(self) -> bool:
        """Kill the container; return False if it had ended just before by itself."""
        try:
            self.engine.kill(self.container)
        except docker.errors.APIError as error:
            if error.status_code == 409:  # not running
                return False
            raise
        self.engine.wait(self.container)
        return True

    def _note_memory(self) -> None:
        now = self._memory()
        if now is not None:
            self.peak_memory_bytes = max(now, self.peak_memory_bytes or 0)

    def _excess(self) -> str:
        if self.printed.size > self.limits.printed_bytes:
            return f"more than {readable(self.limits.printed_bytes)} printed"
        too_much = self.filled.excess()
        if too_much or time.monotonic() < self._next_questions:
            return too_much
        self._next_questions = time.monotonic() + _SECONDS_BETWEEN_QUESTIONS
        most = self.limits.disk_bytes
        found = self.engine.containers(size=True, filters={"id": self.container})
        size = sum(container.get("SizeRw", 0) for container in found)
        for folder in self._folders:
            if folder != self._layer:  # which SizeRw counts
                size += use(folder, most_files=10 * MOST_FILES_BESIDE, most_bytes=most)[1]
        if size > most:
            return f"more than {readable(most)} written beside /tmp and the outputs"
        if self._files(most) - self._files_at_first > MOST_FILES_BESIDE:
            return f"more than {MOST_FILES_BESIDE:,} files written beside /tmp and the outputs"
        return ""

    def _files(self, most_bytes: int) -> int:
        """Return how many files are beside /tmp and the outputs, as far as they are counted."""
        most = 10 * MOST_FILES_BESIDE
        return sum(use(f, most_files=most, most_bytes=most_bytes)[0] for f in self._folders)


def remove_left_overs(run_folder: Path) -> int:
    """Remove the containers that a killed run in this folder left, and no others; return how many.

    Where no engine answers there is nothing to remove.
    """
    try:
        with _engine_errors("removing old containers"), contextlib.closing(client(30)) as engine:
            found = engine.containers(all=True, filters={"label": f"{LABEL}={run_folder}"})
            for container in found:
                with contextlib.suppress(docker.errors.NotFound):
                    engine.remove_container(container["Id"], v=True, force=True)
            return len(found)
    except EngineError:
        return 0


@functools.cache
def _engine(_address: str) -> docker.APIClient:
    """Return the client of all calls of a process: each new one asks for the engine's version."""
    return client(_ANSWER_SECONDS)


@functools.lru_cache(maxsize=1)
def _about(engine: docker.APIClient) -> dict[str, Any]:
    """Return what an engine says of itself."""
    return engine.info()


def _disk(engine: docker.APIClient) -> Path:
    """Return the folder in which an engine keeps its containers."""
    return Path(_about(engine)["DockerRootDir"])


def _label(engine: docker.APIClient) -> list[str]:
    """Return what lets a container read its mounts where the engine sets SELinux labels."""
    options = _about(engine).get("SecurityOptions") or ()
    return ["label=disable"] if any("name=selinux" in option for option in options) else []


def client(seconds: int, host: str = "") -> docker.APIClient:
    """Return a client of the engine at `host`, by default DOCKER_HOST's or the usual socket's."""
    # Podman, which alone has its own address, would take half a second to tell its version.
    where = (
        {"base_url": host, "version": "1.40"}
        if host
        else {"version": "auto", **docker.utils.kwargs_from_env()}
    )
    try:
        return docker.APIClient(timeout=seconds, **where)
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        host = host or os.environ.get("DOCKER_HOST") or DEFAULT_HOST
        raise EngineError(f"no Docker engine answers at {host}; {_cure(host)} ({error})") from error


def _cure(host: str) -> str:
    """Return what helps where no engine answers."""
    kind, _, path = host.partition("://")
    if kind == "unix" and Path(path).exists() and not os.access(path, os.W_OK):
        return "you may not use it: join the group that owns it (usermod -aG docker USER)"
    if kind == "ssh" and not importlib.util.find_spec("paramiko"):
        return "install paramiko, which addresses of this kind need"
    return "start it or set DOCKER_HOST"


def flags(image: Image, mounts: list[Mount], limits: Limits) -> list[str]:
    """Return what `_shut_in` asks of the API as `docker run` and `podman run` take it."""
    return [
        "--init",
        "--no-healthcheck",
        "--network=none",
        "--hostname=submission",
        "--ipc=private",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--ulimit=core=0:0",
        "--oom-score-adj=500",
        f"--memory={limits.memory_bytes}",
        f"--memory-swap={limits.memory_bytes}",
        *([f"--cpus={limits.cpus}"] if limits.cpus else []),
        f"--pids-limit={limits.processes}",
        f"--shm-size={limits.shared_memory_bytes}",
        f"--tmpfs=/tmp:rw,exec,nosuid,nodev,mode=1777,size={limits.tmp_bytes}",
        *([] if limits.write_beside_code else ["--read-only"]),
        *([f"--user={os.getuid()}:{os.getgid()}"] if limits.user == "caller" else []),
        *(f"--mount={mount}" for mount in mounts),
        *([f"--workdir={WORKSPACE}"] if image.get("mounted") else []),
        f"--env=INPUTS={WORKSPACE}/inputs",
        f"--env=OUTPUTS={WORKSPACE}/outputs",
        image["image_id"],
        "sh",
        limits.script,
    ]


def _plain(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Return a file or a folder as it may be unpacked, None for what is neither."""
    if not (member.isreg() or member.isdir()):
        return None
    return tarfile.data_filter(member, folder)


def _bind(mount: Mount) -> Any:
    source = str(mount.source.resolve())
    return docker.types.Mount(mount.target, source, type="bind", read_only=mount.read_only)


def _gpus() -> list[Any]:
    devices = list(gpu.assigned())
    return [docker.types.DeviceRequest(device_ids=devices, capabilities=[["gpu"]])] * bool(devices)


def _message_of(error: Exception) -> str:
    """Return what an engine says, on one line."""
    message = error.explanation if isinstance(error, docker.errors.APIError) else ""
    return " ".join(str(message or error).split())


@contextlib.contextmanager
def _engine_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except docker.errors.APIError as error:
        raise EngineError(f"{doing}: the engine says: {_message_of(error)}") from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise EngineError(f"{doing}: the engine does not answer ({error})") from error
    except EngineError as error:
        if str(error).startswith(doing):
            raise
        raise EngineError(f"{doing}: {error}") from error
