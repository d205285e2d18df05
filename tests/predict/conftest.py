"""Real engines with two small base images, and one call of a submission made of a few files."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from docker_archive import write_docker_archive

from segarena.case import Image, read_answer, write_answer, write_image
from segarena.files import read_json, write_json
from segarena.predict import runners
from segarena.predict.runners.docker import DockerRunner
from segarena.predict.session import answer
from segarena.predict.store import Store
from segarena.prompt.user import no_prompts, with_box

SHAPE = (4, 6, 8)
BOX = {
    "z_min": 1,
    "z_max": 2,
    "z_mid": 1,
    "z_mid_x_min": 2,
    "z_mid_y_min": 1,
    "z_mid_x_max": 5,
    "z_mid_y_max": 4,
}
RULES: dict[str, Any] = {
    "name": "test",
    "version": 1,
    "on_failure": "previous",
    "time": {"seconds_per_label": 60, "per": "case", "on_overtime": "zero"},
    "limits": {"memory_gb": 0.5, "output_gb": 0.01, "disk_gb": 0.05, "tmp_gb": 0.1},
}


@dataclass(frozen=True)
class CallResult:
    """What one interaction left behind."""

    segs: np.ndarray
    record: dict[str, Any]
    log: str

    @property
    def status(self) -> str:
        return self.record["status"]

    @property
    def message(self) -> str:
        return self.record["message"]


@dataclass(frozen=True)
class Table:
    """One case ready for a call: its image, the prompts, and the answer before."""

    folder: Path
    rules: dict[str, Any]
    previous: np.ndarray | None = None
    used_seconds: float = 0.0
    before: dict[str, Any] = field(default_factory=dict)
    store: Store | None = None
    with_gpu: bool = False

    def call(self, image: dict[str, Any], prompts: dict[str, Any] | None = None) -> CallResult:
        folder = self.folder
        imgs = np.arange(np.prod(SHAPE), dtype=np.uint8).reshape(SHAPE)
        write_image(folder / "image.npz", Image(imgs, (3.0, 1.0, 1.0), [BOX]))
        usual = {**with_box(no_prompts([1]), [BOX]), "interaction": 2}
        write_json(folder / "prompts.json", prompts or usual)
        before = None
        if self.previous is not None:
            before = folder / "1.npz"
            write_answer(before, self.previous)
            write_json(folder / "1.json", {**self.before, "case_seconds": self.used_seconds})
        answer(
            image=image,
            case="CASE",
            image_npz=folder / "image.npz",
            prompts_json=folder / "prompts.json",
            previous_npz=before,
            rules=self.rules,
            answer_npz=folder / "2.npz",
            record_json=folder / "2.json",
            store=self.store,
            with_gpu=self.with_gpu,
        )
        return CallResult(
            read_answer(folder / "2.npz"),
            read_json(folder / "2.json"),
            (folder / "2.log").read_text(encoding="utf-8"),
        )


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """A case of 4 x 6 x 8 voxels with one label, never called for before."""
    return Table(tmp_path, RULES)


@pytest.fixture(scope="session")
def loaded(
    request: pytest.FixtureRequest,
    base_image: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., str]:
    """A factory: loaded("tiny", "docker") gives a base image as that runtime wants it named."""
    known: dict[tuple[str, str], str] = {}

    def load(kind: str, runtime: str = "docker") -> str:
        if (kind, runtime) not in known:
            if runtime == "docker":
                request.getfixturevalue("engine")
            archive = tmp_path_factory.mktemp("base") / f"segarena-test-{kind}.tar"
            write_docker_archive(archive, [base_image(kind)])
            known[kind, runtime] = _named(archive, runtime)
            archive.unlink()
        return known[kind, runtime]

    return load


def _named(archive: Path, runtime: str) -> str:
    if runtime == "docker":
        engine = DockerRunner()
        return engine._name(engine.ready(archive))
    if runtime == "podman":
        return runners.runner(runtime).ready(archive)["image_id"]
    sif = archive.with_suffix(".sif")
    plain = "--mksquashfs-args=-noI -noD -noF"  # packing would take most of the time
    build = ["apptainer", "--silent", "build", plain, sif, f"docker-archive:{archive}"]
    subprocess.run(build, check=True, capture_output=True)
    return str(sif)


@pytest.fixture
def submission(
    loaded: Callable[..., str], runtime: str, tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """A factory: submission({"predict.sh": "..."}) is a folder in a base image, ready to be run."""

    def make(files: dict[str, str | bytes], kind: str = "tiny") -> dict[str, Any]:
        folder = tmp_path / "submission"
        folder.mkdir()
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (folder / name).write_bytes(data)
        return runners.ready(folder, runtime=runtime, base_image=loaded(kind, runtime))

    return make


@pytest.fixture
def call(submission: Callable[..., dict[str, Any]], table: Table) -> Callable[..., CallResult]:
    """A factory: call("echo hi") runs that predict.sh on the case once, with the usual limits."""

    def once(
        predict_sh: str,
        files: dict[str, str | bytes] | None = None,
        *,
        kind: str = "tiny",
        limits: dict[str, Any] | None = None,
        time: dict[str, Any] | None = None,
    ) -> CallResult:
        rules = {
            **RULES,
            "limits": RULES["limits"] | (limits or {}),
            "time": RULES["time"] | (time or {}),
        }
        image = submission({"predict.sh": predict_sh, **(files or {})}, kind)
        return replace(table, rules=rules).call(image)

    return once
