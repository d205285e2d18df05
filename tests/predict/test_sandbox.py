"""The engine's runtime that a config chooses with `sandbox`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docker_archive import write_docker_archive

from segarena.errors import ConfigError
from segarena.predict import runners
from segarena.predict.runners.docker import DockerRunner


@pytest.fixture
def archive(base_image: Callable[..., Path], tmp_path: Path) -> Path:
    """A submission that says hello."""
    folder = tmp_path / "team"
    folder.mkdir()
    (folder / "predict.sh").write_text("echo hello\n")
    write_docker_archive(tmp_path / "team.tar", [base_image("tiny"), (folder, "/workspace")])
    return tmp_path / "team.tar"


@pytest.mark.parametrize("runtime", ["docker", "podman"], indirect=True)
def test_a_call_runs_in_the_runtime_that_the_config_names(
    runtime: str, archive: Path, table: Any, tmp_path: Path
) -> None:
    """runc, by its name: it runs; image.json and the command to run it manually name it."""
    image = runners.ready(archive, runtime=runtime, base_image="", sandbox="runc")
    assert image["sandbox"] == "runc"
    assert "hello" in table.call(image).log
    limits = runners.Limits(10, 2**28)
    by_hand = runners.runner(runtime, sandbox="runc").by_hand(image, tmp_path, tmp_path, limits)
    assert "--runtime=runc" in by_hand.split()


def test_the_engine_makes_the_container_in_that_runtime(
    docker_host: str, archive: Path, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another name of the runtime than the default one is found in the container's settings."""
    seen = []

    def start(runner: DockerRunner, container: str) -> Any:
        seen.append(runner.engine.inspect_container(container)["HostConfig"]["Runtime"])
        return begin(runner, container)

    begin = DockerRunner._start
    monkeypatch.setattr(DockerRunner, "_start", start)
    name = "io.containerd.runc.v2"
    image = runners.ready(archive, runtime="docker", base_image="", sandbox=name)
    assert "hello" in table.call(image).log
    assert set(seen) == {name}  # that of the probe as well


@pytest.mark.parametrize("runtime", ["docker", "podman"], indirect=True)
def test_a_runtime_that_the_engine_does_not_know_is_one_line(runtime: str, archive: Path) -> None:
    """It is the config's error, and no submission's."""
    with pytest.raises(ConfigError, match=r"^sandbox: .*nothing") as raised:
        runners.ready(archive, runtime=runtime, base_image="", sandbox="nothing")
    assert "\n" not in str(raised.value)


def test_the_sandbox_is_part_of_an_answers_key() -> None:
    """An answer from another sandbox is asked for again."""
    from segarena.predict.store import answer_key

    image = {"image_id": "sha256:1", "sha256": "2", "runtime": "docker"}
    limits = runners.Limits(10, 2**28)
    keys = {
        answer_key(known, "CASE", limits, gpu=False, seen="", origin=[])
        for known in (image, {**image, "sandbox": "runsc"})
    }
    assert len(keys) == 2
