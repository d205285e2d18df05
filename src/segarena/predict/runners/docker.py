"""Run a submission's image with Docker: a fresh container a call, without network, removed after.

The low-level client is used because it is the quickest: create, start, wait, inspect, remove.
Images are run by ID, never by tag: loading an archive silently takes a tag from another image.
"""

import contextlib
import datetime
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.types
import docker.utils
import requests.exceptions

from segarena.errors import EngineError, SubmissionError
from segarena.predict.image import image_of_archive, opened_archive
from segarena.predict.runners import Image, Limits, Outcome
from segarena.provenance import folder_digest

LABEL = "segarena"
WORKSPACE = "/workspace"


class DockerRunner:
    """Docker through its API; the engine is DOCKER_HOST's or the default socket's."""

    def __init__(self, base_image: str = "") -> None:
        self.base_image = base_image
        try:
            self.engine = docker.APIClient(
                version="auto", timeout=120, **docker.utils.kwargs_from_env()
            )
        except docker.errors.DockerException as error:
            raise _no_engine(error) from error

    def ready(self, source: Path) -> Image:
        if source.is_dir():
            return self._ready_folder(source)
        described = image_of_archive(source)
        with _engine_errors(f"{source}: loading the image"):
            if not self._known(described["image_id"]):
                self._load(source)
            if not self._known(described["image_id"]):
                raise EngineError(f"{source}: the engine loaded it, but does not know its image ID")
        return {"runtime": "docker", "source": str(source), **described}

    def run(self, image: Image, inputs: Path, outputs: Path, log: Path, limits: Limits) -> Outcome:
        with _engine_errors(f"{image['source']}: running a container"):
            if not self._known(image["image_id"]):
                self.ready(Path(image["source"]))
            started = time.monotonic()
            container = self._create(image, inputs, outputs, limits)
            try:
                self.engine.start(container)
                timed_out = self._wait(container, limits.seconds)
                seconds = time.monotonic() - started
                state = self.engine.inspect_container(container)["State"]
                log.write_bytes(self.engine.logs(container, tail=1000))
            finally:
                self.engine.remove_container(container, v=True, force=True)
        return Outcome(
            exit_code=state["ExitCode"],
            seconds=seconds,
            own_seconds=_seconds_between(state["StartedAt"], state["FinishedAt"]),
            timed_out=timed_out,
            out_of_memory=state["OOMKilled"],
        )

    def _ready_folder(self, source: Path) -> Image:
        if not self.base_image:
            raise SubmissionError(
                f"{source}: a folder runs in a container only with the config key base_image; "
                "set it, or give the submission as a docker archive, or use runtime: process"
            )
        with _engine_errors(f"base_image {self.base_image}"):
            try:
                base = self.engine.inspect_image(self.base_image)
            except docker.errors.ImageNotFound as error:
                raise EngineError(
                    f"base_image: the engine knows no image {self.base_image!r}; load or pull it"
                ) from error
        return {
            "runtime": "docker",
            "source": str(source),
            "sha256": folder_digest(source),
            "image_id": base["Id"],
            "mounted": True,
        }

    def _known(self, image_id: str) -> bool:
        try:
            self.engine.inspect_image(image_id)
        except docker.errors.ImageNotFound:
            return False
        return True

    def _load(self, source: Path) -> None:
        with opened_archive(source) as stream:
            for line in self.engine.load_image(stream, quiet=True):
                if "error" in line:
                    raise SubmissionError(f"{source}: not a loadable image: {line['error']}")

    def _create(self, image: Image, inputs: Path, outputs: Path, limits: Limits) -> str:
        mounts = [
            _bind(inputs, f"{WORKSPACE}/inputs", read_only=True),
            _bind(outputs, f"{WORKSPACE}/outputs", read_only=False),
        ]
        if image.get("mounted"):
            mounts += [
                _bind(path, f"{WORKSPACE}/{path.name}", read_only=True)
                for path in sorted(Path(image["source"]).iterdir())
            ]
        host_config = self.engine.create_host_config(
            mounts=mounts,
            network_mode="none",
            mem_limit=limits.memory_bytes,
            memswap_limit=limits.memory_bytes,
            init=True,
        )
        created = self.engine.create_container(
            image["image_id"],
            command=["sh", "predict.sh"],
            working_dir=WORKSPACE,
            environment={"INPUTS": f"{WORKSPACE}/inputs", "OUTPUTS": f"{WORKSPACE}/outputs"},
            host_config=host_config,
            network_disabled=True,
            labels={LABEL: str(Path.cwd())},
        )
        return created["Id"]

    def _wait(self, container: str, seconds: float) -> bool:
        """Wait for the container's end; kill it after `seconds` and return True."""
        try:
            self.engine.wait(container, timeout=math.ceil(seconds))
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout):
            if self.engine.inspect_container(container)["State"]["Running"]:
                self.engine.kill(container)
                self.engine.wait(container)
                return True
        return False


def _bind(source: Path, target: str, *, read_only: bool) -> Any:
    return docker.types.Mount(target, str(source.resolve()), type="bind", read_only=read_only)


def _seconds_between(start: str, end: str) -> float:
    first, last = (datetime.datetime.fromisoformat(text[:26].rstrip("Z")) for text in (start, end))
    return (last - first).total_seconds()


def _no_engine(error: Exception) -> EngineError:
    host = os.environ.get("DOCKER_HOST", "the default socket")
    return EngineError(f"no Docker engine answers at {host}; start it or set DOCKER_HOST ({error})")


@contextlib.contextmanager
def _engine_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except docker.errors.APIError as error:
        raise EngineError(f"{doing}: the engine says: {error.explanation or error}") from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise EngineError(f"{doing}: the engine does not answer ({error})") from error
