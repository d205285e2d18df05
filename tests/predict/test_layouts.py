"""Images as people build them: other working directories, entry points and archive layouts."""

import gzip
import hashlib
import io
import json
import lzma
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from docker_archive import write_docker_archive

from segarena.errors import SubmissionError
from segarena.predict import runners
from segarena.predict.accepts import refusal
from segarena.predict.image import image_of_archive

ENGINES = ["docker", "podman", "apptainer"]
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": lambda layer: layer,
    "+gzip": lambda layer: gzip.compress(layer, 1),
    "+zstd": lambda layer: zstandard.compress(layer, 1),
    "+xz": lambda layer: lzma.compress(layer, preset=0),
}


@pytest.fixture
def team(tmp_path: Path) -> Path:
    """A submission's folder that says where it is and with which words it was started."""
    folder = tmp_path / "team"
    folder.mkdir()
    (folder / "predict.sh").write_text('echo "at $PWD, A=$A, $(ls)"\n')
    (folder / "infer_case.sh").write_text('echo "at $PWD, A=$A, args $*"\n')
    return folder


@pytest.fixture
def call(
    team: Path,
    base_image: Callable[..., Path],
    runtime: str,
    table: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., str]:
    """A factory: call(where, ...) packs the folder there, runs it once and returns its log."""
    monkeypatch.chdir(tmp_path)

    def once(where: str = "/workspace", **settings: Any) -> str:
        made = tmp_path / "team.tar"
        write_docker_archive(made, [base_image("tiny"), (team, where)], **settings)
        return table.call(runners.ready(made, runtime=runtime, base_image="")).log

    return once


@pytest.mark.parametrize("runtime", ENGINES, indirect=True)
def test_the_images_working_directory_is_where_it_runs(call: Callable[..., str]):
    """A predict.sh that is elsewhere than in /workspace is found there (GUESTS G3's layout)."""
    assert "at /ahus, A=, infer_case.sh" in call("/ahus", workdir="/ahus")


@pytest.mark.parametrize("runtime", ENGINES, indirect=True)
def test_an_image_without_a_working_directory_runs_in_the_root(call: Callable[..., str]):
    """As Docker has it: predict.sh beside /bin is found, one in /workspace is not."""
    assert "at /, A=" in call("/", workdir="")


@pytest.mark.parametrize("runtime", ENGINES, indirect=True)
def test_a_working_directory_that_is_not_there_is_made(call: Callable[..., str]):
    """Docker makes it; the script is given to sh by its whole path through the entry point."""
    log = call("/code", workdir="/made", entrypoint=["sh", "/code/predict.sh"])
    assert "at /made, A=" in log


@pytest.mark.parametrize("runtime", ENGINES, indirect=True)
@pytest.mark.parametrize(
    ("entrypoint", "expected"),
    [
        (["env", "A=1"], "at /workspace, A=1, infer_case.sh"),
        (["env", "A=$B x", "sh", "infer_case.sh"], "A=$B x, args sh predict.sh"),
    ],
)
def test_the_entry_point_is_given_the_command_in_every_engine(
    entrypoint: list[str], expected: str, call: Callable[..., str]
):
    """A wrapper runs it, a script of its own ignores it, and no shell reads its words again."""
    assert expected in call(entrypoint=entrypoint)


def layout_of(
    archive: Path, packing: str = "", *, architectures: tuple[str, ...] = ("",), damage: str = ""
) -> Path:
    """Write an OCI layout with the image of a docker archive, as `docker buildx` writes one.

    architectures: one image each; where there are several, an index in the index, with what a
    builder notes beside them.
    """
    with tarfile.open(archive) as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]
    image = json.loads(members["manifest.json"])[0]
    blobs: dict[str, bytes] = {}

    def blob(content: bytes, kind: str, **more: Any) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        about = {"mediaType": f"application/vnd.oci.image.{kind}", "size": len(content)}
        return {**about, "digest": f"sha256:{digest}", **more}

    listed = []
    for architecture in architectures:
        config = json.loads(members[image["Config"]])
        if architecture:
            config["architecture"] = architecture
        packed = [PACKED[packing](members[name]) for name in image["Layers"]]
        manifest = {
            "schemaVersion": 2,
            "config": blob(json.dumps(config, sort_keys=True).encode(), "config.v1+json"),
            "layers": [blob(layer, f"layer.v1.tar{packing}") for layer in packed],
        }
        platform = {"platform": {"os": "linux", "architecture": architecture}}
        about = blob(json.dumps(manifest).encode(), "manifest.v1+json")
        listed.append({**about, **(platform if architecture else {})})
    if len(architectures) > 1:
        note = blob(json.dumps({"layers": []}).encode(), "manifest.v1+json")
        notes = {"vnd.docker.reference.type": "attestation-manifest"}
        platform = {"architecture": "unknown", "os": "unknown"}
        listed.append({**note, "annotations": notes, "platform": platform})
        listed = [blob(json.dumps({"manifests": listed}).encode(), "index.v1+json")]
    files = {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": listed}).encode(),
        **blobs,
    }
    if damage:
        name = next(n for n, content in blobs.items() if damage in content.decode("latin-1"))
        files[name] = files[name].replace(damage.encode(), damage.upper().encode())
    made = archive.with_name(f"layout{packing}.tar")
    with tarfile.open(made, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return made


@pytest.fixture
def archive(team: Path, base_image: Callable[..., Path], tmp_path: Path) -> Path:
    """A docker archive of the folder on a small base."""
    (team / "segarena.yaml").write_text("accepts: [boxes]\n")
    made = tmp_path / "team.tar"
    write_docker_archive(made, [base_image("tiny"), (team, "/workspace")])
    return made


@pytest.mark.parametrize("packing", PACKED)
def test_an_oci_layout_is_the_same_image_however_its_layers_are_packed(
    packing: str, archive: Path, tmp_path: Path
):
    """Same ID, same settings, and its segarena.yaml is found."""
    plain = image_of_archive(archive)
    layout = layout_of(archive, packing)
    found = image_of_archive(layout)
    differs = {key for key in plain if plain[key] != found[key]}
    assert differs <= {"sha256", "size_bytes", "image_id", "content"}
    assert found["content"] == plain["content"]
    assert refusal(layout, {"click"}, tmp_path / "cache") is not None


@pytest.mark.parametrize("runtime", ENGINES, indirect=True)
@pytest.mark.parametrize("packing", PACKED)
def test_every_engine_runs_an_oci_layout(
    packing: str, archive: Path, runtime: str, table: Any, monkeypatch: pytest.MonkeyPatch
):
    """Also one whose layers the engine could not unpack itself."""
    monkeypatch.chdir(archive.parent)
    layout = layout_of(archive, packing)
    log = table.call(runners.ready(layout, runtime=runtime, base_image="")).log
    assert "at /workspace" in log


@pytest.mark.parametrize("runtime", ENGINES, indirect=True)
def test_every_engine_runs_a_docker_archive_with_layers_of_zstd(
    archive: Path, runtime: str, table: Any, monkeypatch: pytest.MonkeyPatch
):
    """Old engines cannot unpack such layers, so they are unpacked on the way."""
    monkeypatch.chdir(archive.parent)
    with tarfile.open(archive) as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    made = archive.with_name("zstd.tar")
    with tarfile.open(made, "w") as tar:
        for name, content in members.items():
            packed = zstandard.compress(content, 1) if name.endswith("layer.tar") else content
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(packed)
            tar.addfile(entry, io.BytesIO(packed))
    assert "at /workspace" in table.call(runners.ready(made, runtime=runtime, base_image="")).log


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
@pytest.mark.parametrize("runtime", ["podman"], indirect=True)
def test_what_podman_saves_runs(form: str, archive: Path, runtime: str, table: Any, tmp_path: Path):
    """`podman save` in both of its forms, with Podman itself as the one who packs."""
    image = runners.ready(archive, runtime=runtime, base_image="")
    saved = tmp_path / "saved.tar"
    save = ["podman", "save", "--format", form, "--output", saved, image["image_id"]]
    subprocess.run(save, check=True, capture_output=True)
    found = runners.ready(saved, runtime=runtime, base_image="")
    assert found["content"] == image["content"]
    assert "at /workspace" in table.call(found).log


def test_of_several_images_that_of_this_machine_is_taken(archive: Path):
    """What a builder notes beside them is no image; two for no machine at all are refused."""
    both = layout_of(archive, architectures=("amd64", "arm64"))
    import platform

    expected = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    assert image_of_archive(both)["architecture"] == expected
    others = layout_of(archive, architectures=("s390x", "riscv64"))
    with pytest.raises(SubmissionError, match=r"2 images in one archive \(riscv64, s390x\)"):
        image_of_archive(others)


@pytest.mark.parametrize("part", ["schemaVersion", "rootfs"])
def test_a_damaged_blob_of_a_layout_is_found(part: str, archive: Path):
    """A manifest or a configuration that is not what its digest says is not used."""
    with pytest.raises(SubmissionError, match="missing in the archive or damaged"):
        image_of_archive(layout_of(archive, damage=part))
