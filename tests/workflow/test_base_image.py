"""base_image is looked up once for a run, and again only when somebody asks for it."""

import uuid
from pathlib import Path
from typing import Any

import docker
from arena import Arena
from docker_archive import write_docker_archive

from segarena.files import read_json
from segarena.predict.runners.docker import DockerRunner


def test_a_moved_name_counts_only_when_it_is_asked_for(
    empty_arena: Arena, engine: str, base_image: Any, tmp_path: Path
) -> None:
    """A folder added after the name was moved runs in the first image, until --forcerun."""
    arena = empty_arena
    arena.engine = engine
    name = f"segarena-test-{uuid.uuid4().hex}"
    ids = []
    for number in range(2):
        archive = tmp_path / f"{number}.tar"
        write_docker_archive(archive, [base_image("tiny")], env=[f"NUMBER={number}"])
        ids.append(DockerRunner().ready(archive)["image_id"])
    client = docker.APIClient(base_url=engine)
    arena.config |= {"runtime": "docker", "base_image": f"{name}:1"}
    arena.add_case("case_0")
    arena.add_submission("early")
    try:
        client.tag(ids[0], name, "1")
        arena.run("--until", "image")
        client.tag(ids[1], name, "1")
        arena.add_submission("late")
        arena.run("--until", "image")
        taken = [read_json(arena.path("predict", t, "image.json")) for t in ("early", "late")]
        assert [image["image_id"] for image in taken] == [ids[0], ids[0]]
        arena.run("--until", "image", "--forcerun", "base_image")
        taken = [read_json(arena.path("predict", t, "image.json")) for t in ("early", "late")]
        assert [image["image_id"] for image in taken] == [ids[1], ids[1]]
    finally:
        client.remove_image(f"{name}:1")
        client.close()
