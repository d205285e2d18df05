"""Archives lose the names of their images on the way to an engine, and nothing else."""

import contextlib
import io
import json
import tarfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker_archive import write_docker_archive

from segarena.errors import EngineError
from segarena.predict import runners
from segarena.predict.image import image_of_archive
from segarena.predict.runners import podman
from segarena.predict.runners.docker import DockerRunner
from segarena.predict.runners.untagged import untagged

ONE = b'[{"Config": "c.json", "Layers": []}]'


def archive_of(members: dict[str, bytes]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    stream.seek(0)
    return stream


def members_of(chunks: Iterator[bytes]) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]


def test_what_names_an_image_is_left_out() -> None:
    """Tags, `repositories` and an OCI layout's annotations do not reach the engine."""
    image = {"Config": "c.json", "Layers": ["l/layer.tar"]}
    named = {**image, "RepoTags": ["base:1", "python:3.11"], "Parent": "sha256:1"}
    sent = members_of(
        untagged(
            archive_of(
                {
                    "index.json": b'{"manifests": []}',
                    "oci-layout": b"{}",
                    "./repositories": b"{}",
                    "c.json": b"{}",
                    "l/layer.tar": bytes(range(256)) * 5000,
                    "./manifest.json": json.dumps([named]).encode(),
                }
            )
        )
    )
    assert sent.keys() == {"c.json", "l/layer.tar", "manifest.json"}
    assert sent["l/layer.tar"] == bytes(range(256)) * 5000
    assert json.loads(sent["manifest.json"]) == [{**image, "RepoTags": None}]


def test_a_second_manifest_does_not_reach_the_engine() -> None:
    """An archive that has one was refused before; where it appears later, nothing goes on."""
    with pytest.raises(EngineError, match="in the archive twice"):
        list(untagged(archive_of({"manifest.json": ONE, "./manifest.json": b"a second one"})))


def test_links_between_layers_and_long_names_stay() -> None:
    """Old archives have a link where two layers are equal."""
    stream = archive_of({"a" * 200: b"1"})
    with tarfile.open(fileobj=stream, mode="a") as tar:
        link = tarfile.TarInfo("b/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, f"../{'a' * 200}"
        tar.addfile(link)
    stream.seek(0)
    with tarfile.open(fileobj=io.BytesIO(b"".join(untagged(stream)))) as tar:
        assert tar.getnames() == ["a" * 200, "b/layer.tar"]
        assert tar.getmember("b/layer.tar").linkname == f"../{'a' * 200}"


@pytest.mark.parametrize("content", [b"nothing", b"\x1f\x8bnothing" * 200])
def test_an_archive_that_is_none_any_more_is_our_failure(content: bytes) -> None:
    """It was looked at before, so somebody replaced it."""
    with pytest.raises(EngineError, match="cannot be read any more"):
        list(untagged(io.BytesIO(content)))


@pytest.fixture
def tag() -> Iterator[str]:
    """A name that no image has, taken away from whichever has it in the end."""
    name = f"segarena-test-{uuid.uuid4().hex}:1"
    yield name
    with contextlib.suppress(Exception):
        DockerRunner().engine.remove_image(name)
    with contextlib.suppress(EngineError):
        podman._ask([podman._command(), "untag", name])


def ids_of(runtime: str, name: str) -> set[str]:
    """Return the ID of the image that has a name, if one has it."""
    if runtime == "podman":
        listed = podman._ask(["podman", "images", "--no-trunc", "--quiet", name]).split()
        return set(listed)
    try:
        return {DockerRunner().engine.inspect_image(name)["Id"]}
    except docker.errors.ImageNotFound:
        return set()


def named_image(runtime: str, name: str, base_image: Callable[..., Path], folder: Path) -> None:
    """Load an image of its own under a name: with its last name an engine takes an image away."""
    archive = folder / "named.tar"
    write_docker_archive(archive, [base_image("tiny")], env=[f"NAMED={name}"])
    give_name(runtime, runners.runner(runtime).ready(archive)["image_id"], name)


def give_name(runtime: str, image_id: str, name: str) -> None:
    if runtime == "podman":
        podman._ask(["podman", "tag", image_id, name])
    else:
        DockerRunner().engine.tag(image_id, name.partition(":")[0], name.partition(":")[2])


@pytest.mark.parametrize("runtime", ["docker", "podman"], indirect=True)
def test_an_archive_neither_moves_nor_makes_a_name(
    runtime: str,
    tag: str,
    base_image: Callable[..., Path],
    table: Any,
    tmp_path: Path,
) -> None:
    """Neither base_image's name in an archive nor one that nobody has changes anything."""
    named_image(runtime, tag, base_image, tmp_path)
    before = ids_of(runtime, tag)
    assert len(before) == 1
    folder = tmp_path / "hostile"
    folder.mkdir()
    (folder / "predict.sh").write_text("echo the hostile image\n")
    (folder / "unique").write_text(tag)
    archive = tmp_path / "hostile.tar"
    write_docker_archive(archive, [base_image("tiny"), (folder, "/workspace")], tag=tag)
    with_more_tags(archive, [tag, f"more-{tag}"])
    image = runners.runner(runtime).ready(archive)
    assert "the hostile image" in table.call(image).log
    assert ids_of(runtime, tag) == before
    assert ids_of(runtime, f"more-{tag}") == set()
    honest = tmp_path / "honest"
    honest.mkdir()
    (honest / "predict.sh").write_text("cat unique || echo the base image\n")
    image = runners.ready(honest, runtime=runtime, base_image=tag)
    assert "the base image" in table.call(image).log


def with_more_tags(archive: Path, tags: list[str]) -> None:
    with tarfile.open(archive) as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    [image] = json.loads(members["manifest.json"])
    members["manifest.json"] = json.dumps([{**image, "RepoTags": tags}]).encode()
    archive.write_bytes(archive_of(members).getvalue())


@pytest.mark.parametrize("runtime", ["docker", "podman"], indirect=True)
def test_a_folder_runs_in_the_image_that_the_name_was_first(
    runtime: str,
    tag: str,
    base_image: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """Where base_image's name is moved during a run, the ID looked up before counts."""
    named_image(runtime, tag, base_image, tmp_path)
    first = runners.runner(runtime, tag).base_id()
    archive = tmp_path / "other.tar"
    write_docker_archive(archive, [base_image("tiny")], env=[f"UNIQUE={tag}"])
    other = runners.runner(runtime).ready(archive)["image_id"]
    give_name(runtime, other, tag)
    (tmp_path / "team").mkdir()
    (tmp_path / "team/predict.sh").write_text("true\n")
    asked = {"runtime": runtime, "base_image": tag}
    image_id = runners.ready(tmp_path / "team", base_id=first, **asked)["image_id"]
    assert image_id.removeprefix("sha256:") == first.removeprefix("sha256:")
    with pytest.raises(EngineError, match="--forcerun base_image"):
        runners.ready(tmp_path / "team", base_id=f"sha256:{'0' * 64}", **asked)


@pytest.mark.parametrize("runtime", ["apptainer"], indirect=True)
def test_a_base_image_that_was_replaced_is_told(
    runtime: str, base_image: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Apptainer base_image is a file, and another file in its place is an error."""
    monkeypatch.chdir(tmp_path)
    base = tmp_path / "base.tar"
    write_docker_archive(base, [base_image("tiny")])
    first = runners.runner(runtime, str(base)).base_id()
    assert first == image_of_archive(base)["image_id"]
    (tmp_path / "team").mkdir()
    (tmp_path / "team/predict.sh").write_text("true\n")
    write_docker_archive(base, [base_image("tiny")], env=["OTHER=1"])
    with pytest.raises(EngineError, match="another image than when the run began"):
        runners.ready(tmp_path / "team", runtime=runtime, base_image=str(base), base_id=first)
