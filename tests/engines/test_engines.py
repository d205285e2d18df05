"""The tests' own engines: archives that are stable, and base images that a real engine runs."""

import contextlib
import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import docker
import pytest
from docker_archive import write_docker_archive

ENGINES = Path(__file__).parent


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "submission"
    (made / "model").mkdir(parents=True)
    (made / "predict.sh").write_text("echo said\n")
    (made / "model" / "weights.txt").write_text("1 2 3\n")
    return made


def members(archive):
    with tarfile.open(archive) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}


def test_image_id_is_the_sha256_of_the_configuration(folder, tmp_path):
    """The archive holds its configuration under the returned ID, which is that file's sha256."""
    image_id = write_docker_archive(tmp_path / "Team.tar.gz", [(folder, "/workspace")])
    held = members(tmp_path / "Team.tar.gz")
    manifest = json.loads(held["manifest.json"])
    config = held[manifest[0]["Config"]]
    assert image_id == f"sha256:{hashlib.sha256(config).hexdigest()}"
    assert manifest[0]["RepoTags"] == ["team:latest"]
    assert json.loads(config)["config"]["Cmd"] == ["sh", "predict.sh"]
    layer = hashlib.sha256(held[manifest[0]["Layers"][0]]).hexdigest()
    assert json.loads(config)["rootfs"]["diff_ids"] == [f"sha256:{layer}"]


def test_same_files_give_the_same_bytes(folder, tmp_path):
    """Times and the order on disk do not matter; a changed file changes the image ID."""
    first = write_docker_archive(tmp_path / "a.tar.gz", [(folder, "/workspace")], tag="a:1")
    text = (folder / "predict.sh").read_text()
    (folder / "predict.sh").unlink()
    (folder / "predict.sh").write_text(text)
    second = write_docker_archive(tmp_path / "b.tar.gz", [(folder, "/workspace")], tag="a:1")
    assert first == second
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    (folder / "predict.sh").write_text("echo else\n")
    assert write_docker_archive(tmp_path / "c.tar", [(folder, "/workspace")]) != first


def test_failed_write_leaves_nothing(tmp_path):
    """A layer that does not exist ends in an error, and no archive lies there."""
    with pytest.raises(FileNotFoundError):
        write_docker_archive(tmp_path / "a.tar.gz", [tmp_path / "none.tar"])
    assert list(tmp_path.iterdir()) == []


def test_command_line_prints_the_image_id(folder, tmp_path):
    """The command for participants without Docker writes the same archive as the function."""
    out = tmp_path / "team.tar"
    command = [sys.executable, ENGINES / "docker_archive.py", out, f"{folder}=/workspace"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert printed == write_docker_archive(tmp_path / "team.tar.gz", [(folder, "/workspace")])


def test_start_docker_uses_the_engine_that_answers(docker_host):
    """Where an engine answers, start-docker.sh names it and starts none."""
    printed = subprocess.run(
        [ENGINES / "start-docker.sh"],
        env={"DOCKER_HOST": docker_host, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.strip() == f"DOCKER_HOST={docker_host}"


@pytest.mark.parametrize("spec", ["numpy==1.23.5", "numpy==1.26.4", "numpy>=2"])
def test_base_image_runs_its_numpy(spec, docker_host, submission_archive, tmp_path):
    """The engine runs predict.sh in /workspace with the pinned numpy, under the archive's ID."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "predict.sh").write_text('python3 -c "import numpy; print(numpy.__version__)"; pwd\n')
    archive = submission_archive(folder, tmp_path / "versions.tar.gz", numpy_spec=spec)
    with contextlib.closing(docker.DockerClient(base_url=docker_host)) as client:
        (image,) = client.images.load(archive.read_bytes())
        try:
            printed = (
                client.containers.run(image.id, remove=True, network_mode="none").decode().split()
            )
        finally:
            client.images.remove(image.id, force=True)
    version = spec.removeprefix("numpy==")
    assert printed[0].startswith(version) if version != spec else int(printed[0].split(".")[0]) >= 2
    assert printed[1] == "/workspace"
    manifest = json.loads(members(archive)["manifest.json"])
    assert image.id == f"sha256:{manifest[0]['Config'].removesuffix('.json')}"


def test_tiny_image_has_a_shell_and_no_python(docker_host, submission_archive, tmp_path):
    """The busybox image runs a shell script and fails on python3."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "predict.sh").write_text("echo shell; python3 --version || echo none\n")
    archive = submission_archive(folder, tmp_path / "tiny.tar.gz", kind="tiny")
    with contextlib.closing(docker.DockerClient(base_url=docker_host)) as client:
        (image,) = client.images.load(archive.read_bytes())
        try:
            printed = (
                client.containers.run(image.id, remove=True, network_mode="none").decode().split()
            )
        finally:
            client.images.remove(image.id, force=True)
    assert printed == ["shell", "none"]
