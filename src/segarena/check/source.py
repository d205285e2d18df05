"""What is checked: an archive, a folder, or an image that the local engine knows by its tag."""

import contextlib
import re
import shutil
import subprocess
from pathlib import Path

import docker.errors
import requests.exceptions

from segarena.case import FOREIGN_BYTES, foreign
from segarena.errors import ConfigError, EngineError
from segarena.predict.runners.docker import client
from segarena.predict.runners.watch import check_room

_SAVE_SECONDS = 3600
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")


def found(what: str, runtime: str, folder: Path) -> Path:
    """Return the archive or folder to check; an image of the engine is saved into `folder`.

    Raises ConfigError where there is neither.
    """
    path = Path(what)
    if path.exists():
        return path.resolve()
    if not _TAG.fullmatch(what) or runtime in {"apptainer", "process"}:
        raise ConfigError(f"{what}: no such archive or folder")
    archive = folder / f"{re.sub('[^A-Za-z0-9._-]', '_', what)}.tar"
    save = _save_with_podman if runtime == "podman" else _save_with_docker
    with contextlib.ExitStack() as incomplete:
        incomplete.callback(archive.unlink, missing_ok=True)
        save(what, archive)
        incomplete.pop_all()
    return archive


def _save_with_docker(tag: str, archive: Path) -> None:
    try:
        with contextlib.closing(client(_SAVE_SECONDS)) as engine:
            check_room(archive.parent, engine.inspect_image(tag)["Size"])
            with archive.open("wb") as file:
                for chunk in engine.get_image(tag):
                    file.write(chunk)
    except docker.errors.ImageNotFound as error:
        raise ConfigError(
            f"{tag}: no such archive or folder, and the engine knows no image of this name"
        ) from error
    except EngineError as error:
        raise ConfigError(f"{tag}: no such archive or folder; and as an image: {error}") from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise EngineError(f"{tag}: the engine does not save the image ({error})") from error


def _save_with_podman(tag: str, archive: Path) -> None:
    podman = shutil.which("podman")
    if not podman:
        raise ConfigError(f"{tag}: no such archive or folder, and there is no podman here")
    if subprocess.run([podman, "image", "exists", tag], check=False).returncode:
        raise ConfigError(
            f"{tag}: no such archive or folder, and podman knows no image of this name"
        )
    save = [podman, "save", "--quiet", "--format", "docker-archive", "--output", str(archive), tag]
    done = subprocess.run(save, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(f"{tag}: podman does not save the image: {done.stderr.strip()}")


def archive_cure(source: Path, reason: str) -> str:
    """Return what to do about a submission that is no usable one."""
    if source.is_dir():
        return "put a predict.sh into the folder itself, with nothing that links out of it"
    if "--platform" in reason:
        return "docker build --platform linux/amd64 ..., and save the archive again"
    with source.open("rb") as file:
        what = foreign(file.read(FOREIGN_BYTES))
    if what:
        return f"this file is {what}; an archive is what `docker save IMAGE | gzip` writes"
    if "save exactly one" in reason:
        return "docker save IMAGE:TAG of one image alone"
    return "docker save IMAGE | gzip > NAME.tar.gz (not docker export), and compare checksums"
