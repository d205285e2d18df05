"""Mistakes that only a container shows: the verdict is true, and the cure works when followed.

The image is a busybox with a folder in it; its answer lies ready.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from docker_archive import write_docker_archive

from segarena.check.cases import bundled
from segarena.check.source import archive_cure

ANSWER = "cp /workspace/answer.npz outputs/$(ls inputs)"


@dataclass(frozen=True)
class Image:
    """A predict.sh and the settings of its image."""

    script: str = ANSWER
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Mistake:
    """A wrong image, the finding with a part of its cure, and the image after the cure."""

    wrong: Image
    what: str
    cure: str
    cured: Image = Image()
    level: str = "FAILED"
    detail: str = ""


MISTAKES = {
    "another working directory": Mistake(
        Image(settings={"workdir": "/tmp"}), "crashed", "set WORKDIR in the Dockerfile"
    ),
    "an entry point of its own": Mistake(
        Image(settings={"entrypoint": ["cat"]}),
        "crashed",
        "ENTRYPOINT []",
        detail="ENTRYPOINT (cat)",
    ),
    "a shell as entry point": Mistake(
        Image(settings={"entrypoint": ["/bin/sh"]}), "crashed", "ENTRYPOINT []"
    ),
    "no HOME for a user": Mistake(
        Image(f"set -e; mkdir -p $HOME/.cache/torch; {ANSWER}", {"user": "1000"}),
        "crashed",
        "ENV HOME=/tmp",
        Image(
            f"set -e; mkdir -p $HOME/.cache/torch; {ANSWER}", {"user": "1000", "env": ["HOME=/tmp"]}
        ),
    ),
    "a file beside the code": Mistake(
        Image(f"set -e; echo 1 > /workspace/tmp.txt; {ANSWER}", {"user": "1000"}),
        "crashed",
        "runs as user 1000, who may not use /workspace/tmp.txt: write to /tmp",
        Image(f"set -e; echo 1 > /tmp/tmp.txt; {ANSWER}", {"user": "1000"}),
    ),
    "an unknown user": Mistake(
        Image(settings={"user": "algorithm"}),
        "crashed",
        "RUN useradd algorithm",
        Image(settings={"user": "1000"}),
    ),
    "a download": Mistake(
        Image(f"set -e; wget http://example.org/weights; {ANSWER}"),
        "crashed",
        "put weights and other files into the image",
    ),
    "a download that may fail": Mistake(
        Image(f"wget http://example.org/weights; {ANSWER}"),
        "network",
        "put what it loads into the image",
        level="warning",
    ),
    "much shared memory": Mistake(
        Image(f"set -e; dd if=/dev/zero of=/dev/shm/x bs=1M count=99; {ANSWER}"),
        "crashed",
        "shared memory (/dev/shm) than there is (0.01 GiB)",
    ),
    "much memory": Mistake(
        Image(f"set -e; tail /dev/zero; {ANSWER}"),
        "out_of_memory",
        "use less memory",
        detail="the limit of 51.2 MiB",
    ),
    "a cache beside the code": Mistake(
        Image(f"mkdir -p /root/.cache; echo 1 > /root/.cache/x; {ANSWER}"),
        "beside its code",
        "move it to /tmp",
        Image(f"echo 1 > /tmp/x; {ANSWER}"),
        level="warning",
        detail="/root/.cache/x",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found_and_its_cure_works(
    name: str,
    engine: str,
    base_image: Callable[..., Path],
    report: Callable[..., dict[str, Any]],
    protocol_of: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The finding is there with its level, detail and cure; after the cure it is gone."""
    monkeypatch.chdir(tmp_path)
    mistake = MISTAKES[name]
    limits = {"memory_gb": 0.05, "shared_memory_gb": 0.01}
    protocol = protocol_of("cvpr25", limits=limits)

    def checked(image: Image, archive: Path) -> dict[str, Any]:
        made = tmp_path / f"{archive.stem}-folder"
        made.mkdir()
        (made / "predict.sh").write_text(f"{image.script}\n")
        bundled()["bundled-cube"].write(made)
        with np.load(made / "truth.npz") as truth:
            np.savez_compressed(made / "answer.npz", segs=truth["gts"])
        layers = [base_image("tiny"), (made, "/workspace")]
        write_docker_archive(archive, layers, **image.settings)
        words = ("--protocol", protocol)
        return report(archive, *words, runtime="docker", only="bundled-cube:1")

    found = checked(mistake.wrong, tmp_path / "wrong.tar")
    (one,) = [one for one in found["findings"] if one["what"] == mistake.what]
    assert one["level"] == mistake.level
    assert mistake.cure in one["cure"]
    assert mistake.detail in one["detail"]
    cured = checked(mistake.cured, tmp_path / "cured.tar")
    assert cured["verdict"] == "PASS", cured["findings"]


def test_another_machines_image_has_its_cure(tmp_path: Path) -> None:
    """What `ready` says of an arm64 image leads to the option of docker build."""
    archive = tmp_path / "team.tar"
    archive.write_bytes(b"x")
    reason = (
        "team.tar: the image is made for linux/arm64, ...; build it with --platform linux/amd64"
    )
    assert "docker build --platform linux/amd64" in archive_cure(archive, reason)
