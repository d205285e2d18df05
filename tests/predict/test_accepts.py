"""What a submission says of itself is read while the workflow is parsed, so on a budget."""

import io
import json
import resource
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import zstandard

from segarena.predict.accepts import refusal

LAYER = "0" * 64


def layer(text: str | None, *, name: str = "workspace/segarena.yaml") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        content = (text or "").encode()
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def archive(path: Path, *layers: bytes) -> Path:
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = json.dumps([{"Config": "c.json", "Layers": names}]).encode()
    with tarfile.open(path, "w") as made:
        for name, content in [*zip(names, layers, strict=True), ("./manifest.json", manifest)]:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return path


def reason_of(source: Path) -> str | None:
    return refusal(source, ["click"], source.parent / "cache" / "accepts.json")


def test_the_last_layer_to_say_so_rules(tmp_path: Path):
    """As in the image: a later layer writes the file again, or takes it away."""
    boxes, clicks = layer("accepts: [boxes]"), layer("accepts: [clicks]")
    away = layer(None, name="workspace/.wh.segarena.yaml")
    assert reason_of(archive(tmp_path / "a.tar", clicks, boxes)) == (
        "it does not accept clicks (segarena.yaml)"
    )
    assert reason_of(archive(tmp_path / "b.tar", boxes, clicks)) is None
    assert reason_of(archive(tmp_path / "c.tar", boxes, away)) is None


@pytest.mark.parametrize(
    "text",
    ["accepts: &a [*a]", "a: " + "[" * 5000, "accepts: " + "9" * 50_000, "x" * 70_000, "\x1b[2J"],
    ids=["an alias", "nested lists", "an endless number", "too long", "an escape sequence"],
)
def test_a_hostile_file_leaves_the_submission_out(text: str, tmp_path: Path):
    """In one bounded, printable line."""
    reason = reason_of(archive(tmp_path / "a.tar", layer(text)))
    assert reason is not None
    assert reason.startswith("segarena.yaml: ")
    assert reason.isprintable()
    assert len(reason) < 500


def test_a_link_in_a_folder_is_not_followed(tmp_path: Path):
    """What it leads to would stand in a message, and so in the report."""
    secret = tmp_path / "secret"
    secret.write_text("accepts: [boxes]")
    folder = tmp_path / "team"
    folder.mkdir()
    (folder / "segarena.yaml").symlink_to(secret)
    assert reason_of(folder) is None


def packed(path: Path, header: tarfile.TarInfo, fill: bytes) -> Path:
    with path.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as stream:
        stream.write(header.tobuf(tarfile.GNU_FORMAT))
        for _ in range(512):
            stream.write(fill * (4 << 20))
    return path


@pytest.mark.parametrize(
    ("name", "kind", "fill"),
    [
        ("manifest.json", tarfile.REGTYPE, b" "),
        ("manifest.json", tarfile.REGTYPE, b"["),
        ("x", tarfile.XHDTYPE, b"\0"),
        ("x", tarfile.XGLTYPE, b"\0"),
        ("x", tarfile.GNUTYPE_LONGNAME, b"a"),
    ],
)
def test_an_archive_that_unpacks_to_gigabytes_is_not_held_in_memory(
    name: str, kind: bytes, fill: bytes, tmp_path: Path
):
    """In a process with 600 MB of addresses, both by the parsing and by the predict stage."""
    header = tarfile.TarInfo(name)
    header.type, header.size = kind, 2 << 30
    path = packed(tmp_path / "a.tar.zst", header, fill)
    code = (
        "import sys; from pathlib import Path\n"
        "from segarena.predict.accepts import refusal\n"
        "from segarena.predict.image import image_of_archive\n"
        "from segarena.errors import SubmissionError\n"
        "path = Path(sys.argv[1])\n"
        "assert refusal(path, ['click'], path.with_name('cache.json')) is None\n"
        "try: image_of_archive(path)\n"
        "except SubmissionError as error: print(error)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20)),
        env={"OPENBLAS_NUM_THREADS": "1", "PATH": ""},
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("a.tar.zst: ")
