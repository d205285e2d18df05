"""Archives as participants send them: whole ones run however packed, others say why not."""

import contextlib
import gzip
import io
import json
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest
import zstandard
from docker_archive import write_docker_archive

from segarena.config import find_submissions
from segarena.errors import ConfigError, EngineError, SubmissionError
from segarena.predict import image as image_module
from segarena.predict import runners
from segarena.predict.image import digest, image_of_archive
from segarena.predict.runners import bad_image, podman, watch
from segarena.predict.runners.apptainer import ApptainerRunner
from segarena.predict.runners.docker import DockerRunner

REPACKED: dict[str, Callable[[bytes], bytes]] = {
    "tar.gz": lambda tar: gzip.compress(tar, 1),
    "tgz": lambda tar: gzip.compress(tar, 1),
    "tar": lambda tar: tar,
    "tar.zst": zstandard.compress,
    "tar.xz": lambda tar: lzma.compress(tar, preset=0),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A submission's folder whose program prints a word."""
    made = tmp_path / "team"
    made.mkdir()
    (made / "predict.sh").write_text("echo hello from the team; whoami; id -u\n")
    return made


@pytest.fixture
def archive(folder: Path, base_image: Callable[..., Path], tmp_path: Path) -> Path:
    """An honest docker archive, not packed."""
    made = tmp_path / "team.tar"
    write_docker_archive(made, [base_image("tiny"), (folder, "/workspace")])
    return made


def refusal(archive: Path) -> str:
    with pytest.raises(SubmissionError) as caught:
        image_of_archive(archive)
    return str(caught.value)


def edited(archive: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Return a copy of an archive whose members have been changed."""
    with tarfile.open(archive) as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]
    change(members)
    made = archive.with_name("edited.tar")
    with tarfile.open(made, "w") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return made


@pytest.mark.parametrize("packing", REPACKED)
def test_every_packing_gives_the_same_image_and_runs(
    packing: str, archive: Path, engine: str, table: Any, tmp_path: Path
) -> None:
    """gz, zst, xz and plain archives have one image ID, and run."""
    packed = tmp_path / f"packed.{packing}"
    packed.write_bytes(REPACKED[packing](archive.read_bytes()))
    runner, image_id = DockerRunner(), image_of_archive(archive)["image_id"]
    with contextlib.suppress(docker.errors.ImageNotFound):  # loaded from another packing
        runner.engine.remove_image(image_id, force=True)
    ready = runner.ready(packed)
    assert ready["image_id"] == image_id
    assert "hello from the team" in table.call(ready).log


def test_a_truncated_archive_is_bad(archive: Path, tmp_path: Path) -> None:
    """Half a .tar.gz is told as what it is."""
    packed = tmp_path / "half.tar.gz"
    content = gzip.compress(archive.read_bytes(), 1)
    packed.write_bytes(content[: len(content) // 2])
    assert "not a readable docker archive" in refusal(packed)


def test_an_archive_that_lacks_its_last_bytes_is_bad(archive: Path, tmp_path: Path) -> None:
    """Even where every layer is there, a .gz without its checksum is not whole."""
    packed = tmp_path / "nearly.tar.gz"
    packed.write_bytes(gzip.compress(archive.read_bytes(), 1)[:-6])
    assert "not a readable docker archive" in refusal(packed)


def test_a_flipped_bit_is_found_in_a_packed_archive(archive: Path, tmp_path: Path) -> None:
    """The checksum of the .gz is compared."""
    content = bytearray(gzip.compress(archive.read_bytes(), 1))
    content[len(content) // 2] ^= 1
    (tmp_path / "flipped.tar.gz").write_bytes(content)
    message = refusal(tmp_path / "flipped.tar.gz")
    assert "not a readable docker archive" in message or "damaged" in message


def test_a_flipped_bit_is_found_in_a_plain_archive(archive: Path) -> None:
    """The digests of the layers are compared, so a plain .tar cannot be damaged unseen."""
    content = bytearray(archive.read_bytes())
    content[1_000_000] ^= 1
    archive.write_bytes(content)
    assert "is damaged" in refusal(archive)


def test_a_text_file_is_no_image(tmp_path: Path) -> None:
    """A file that only has the name of an archive is refused."""
    (tmp_path / "x.tar.gz").write_text("hello")
    assert "not a readable docker archive" in refusal(tmp_path / "x.tar.gz")


def test_an_empty_file_is_no_image(tmp_path: Path) -> None:
    """An upload of no bytes is refused."""
    (tmp_path / "x.tar.gz").write_bytes(b"")
    assert "not a readable docker archive" in refusal(tmp_path / "x.tar.gz")


def test_a_tar_of_something_else_is_no_image(tmp_path: Path, folder: Path) -> None:
    """A packed folder is not an image, and the message says how to make one."""
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        tar.add(folder, "team")
    assert "make it with `docker save`" in refusal(tmp_path / "x.tar.gz")


def test_an_oci_layout_without_images_is_refused(archive: Path) -> None:
    """tests/predict/test_layouts.py has those that can be used."""

    def as_oci(members: dict[str, bytes]) -> None:
        del members["manifest.json"]
        members["index.json"] = b"{}"
        members["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'

    assert "index.json is no list of images" in refusal(edited(archive, as_oci))


def test_several_images_in_one_archive_are_refused(archive: Path) -> None:
    """Which one would be the submission?"""

    def twice(members: dict[str, bytes]) -> None:
        members["manifest.json"] = json.dumps(json.loads(members["manifest.json"]) * 2).encode()

    assert "2 images in one archive" in refusal(edited(archive, twice))


def test_a_missing_layer_is_refused(archive: Path) -> None:
    """A layer that the manifest names must be there."""

    def less(members: dict[str, bytes]) -> None:
        del members[json.loads(members["manifest.json"])[0]["Layers"][0]]

    assert "is missing in the archive" in refusal(edited(archive, less))


@pytest.mark.parametrize("manifest", [b"{}", b"[]", b"[1]", b"nonsense", b'[{"Config": "x"}]'])
def test_a_strange_manifest_is_refused(manifest: bytes, archive: Path) -> None:
    """Whatever stands in manifest.json, the answer is one line."""
    assert "\n" not in refusal(edited(archive, lambda m: m.update({"manifest.json": manifest})))


def with_members(archive: Path, *names: str, kind: bytes = tarfile.REGTYPE) -> Path:
    """Return a copy of an archive with members more, each a copy of its manifest."""
    made = archive.with_name("more.tar")
    made.write_bytes(archive.read_bytes())
    with tarfile.open(archive) as tar:
        content = tar.extractfile("manifest.json").read()  # type: ignore[union-attr]
    with tarfile.open(made, "a") as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size = kind, len(content) if kind == tarfile.REGTYPE else 0
            entry.linkname = "x.json"
            tar.addfile(entry, io.BytesIO(content))
    return made


@pytest.mark.parametrize(
    "name", ["manifest.json", "./manifest.json", "/manifest.json", "a/../manifest.json", "a//b"]
)
def test_a_member_that_is_there_twice_is_refused(name: str, archive: Path) -> None:
    """However it is written: we would check the one, and an engine unpack the other."""
    assert "twice" in refusal(with_members(archive, name, "a/b"))


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_an_archive_of_other_things_than_files_is_refused(kind: bytes, archive: Path) -> None:
    """A hard link could give a member a second name; no docker archive holds one."""
    assert "which no docker archive holds" in refusal(with_members(archive, "x", kind=kind))


def test_a_member_below_a_link_is_refused(archive: Path) -> None:
    """It would be unpacked somewhere else than its name says."""
    linked = with_members(archive, "a", kind=tarfile.SYMTYPE)
    assert "below another file" in refusal(with_members(linked.rename(archive), "a/b"))


def test_a_name_of_control_characters_is_refused_printably(archive: Path) -> None:
    """The message is what somebody's terminal shows."""
    message = refusal(with_members(archive, "\x1b[2J\nx"))
    assert message.isprintable()


def test_an_archive_packed_again_with_tar_is_the_same_image(archive: Path, tmp_path: Path) -> None:
    """`tar c .` and podman write ./manifest.json; each member is there once."""
    again = tmp_path / "again.tar"
    with tarfile.open(archive) as tar, tarfile.open(again, "w") as made:
        for member in tar:
            content = tar.extractfile(member)
            member.name = f"./{member.name}"
            made.addfile(member, content)
    assert image_of_archive(again)["image_id"] == image_of_archive(archive)["image_id"]


def test_an_image_says_how_much_room_it_needs(archive: Path) -> None:
    """The sum of its layers, unpacked."""
    with tarfile.open(archive) as tar:
        layers = sum(m.size for m in tar if m.name.endswith("layer.tar") or "." not in m.name)
    assert image_of_archive(archive)["unpacked_bytes"] == layers


def test_an_archive_that_shrinks_to_nothing_is_refused(tmp_path: Path) -> None:
    """What unpacks to gigabytes from kilobytes is no image, whatever the bound is for others."""
    entry = tarfile.TarInfo("x")
    entry.size = 3 << 30
    path = tmp_path / "x.tar.zst"
    with path.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as stream:
        stream.write(entry.tobuf())
    assert "it holds more than 1 GiB" in refusal(path)


def test_xz_in_several_streams_and_with_padding_is_read(archive: Path, tmp_path: Path) -> None:
    """As `cat a.xz b.xz` and block-wise packers make it."""
    content, path = archive.read_bytes(), tmp_path / "x.tar.xz"
    half = len(content) // 2
    parts = [lzma.compress(part, preset=0) for part in (content[:half], content[half:])]
    path.write_bytes(parts[0] + bytes(8) + parts[1] + bytes(4))
    assert image_of_archive(path)["image_id"] == image_of_archive(archive)["image_id"]


def test_xz_that_asks_for_gigabytes_is_refused(tmp_path: Path) -> None:
    """A dictionary of 1.5 GiB is asked for by a few bytes of a header."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 64 << 20}]
    packed = bytearray(lzma.compress(b"x", filters=filters))
    assert packed[14:17] == b"\x21\x01\x1c"  # LZMA2, one byte of properties, 64 MiB
    packed[16] = 0x25
    packed[20:24] = zlib.crc32(packed[12:20]).to_bytes(4, "little")
    (tmp_path / "x.tar.xz").write_bytes(packed)
    assert "not a readable docker archive (Memory usage limit" in refusal(tmp_path / "x.tar.xz")


def test_an_archive_that_unpacks_to_terabytes_is_refused(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading stops at the bound."""
    monkeypatch.setattr(image_module, "LARGEST_BYTES", 1_000_000)
    assert "it holds more than" in refusal(archive)


def test_an_archive_that_is_gone_is_our_failure(tmp_path: Path) -> None:
    """A file that vanished says nothing about the submission."""
    with pytest.raises(EngineError, match="put it back"):
        image_of_archive(tmp_path / "gone.tar.gz")


def test_an_image_for_another_machine_is_refused(archive: Path, engine: str) -> None:
    """The message says how to build it for this one."""

    def for_arm(members: dict[str, bytes]) -> None:
        name = json.loads(members["manifest.json"])[0]["Config"]
        members[name] = members[name].replace(b"amd64", b"arm64")

    with pytest.raises(SubmissionError, match=r"made for linux/arm64.*--platform linux/amd64"):
        DockerRunner().ready(edited(archive, for_arm))


def test_a_tag_means_nothing(
    folder: Path, base_image: Callable[..., Path], engine: str, table: Any, tmp_path: Path
) -> None:
    """Two submissions with one tag each run their own image."""
    first, second = tmp_path / "first.tar", tmp_path / "second.tar"
    write_docker_archive(first, [base_image("tiny"), (folder, "/workspace")], tag="same:latest")
    one = DockerRunner().ready(first)
    (folder / "predict.sh").write_text("echo hello from the second\n")
    write_docker_archive(second, [base_image("tiny"), (folder, "/workspace")], tag="same:latest")
    DockerRunner().ready(second)
    assert "hello from the team" in table.call(one).log


def test_a_replaced_archive_does_not_change_a_run(archive: Path, engine: str, table: Any) -> None:
    """Once loaded, the image runs by its ID; the file may be replaced."""
    ready = DockerRunner().ready(archive)
    archive.write_bytes(b"something else")
    assert "hello from the team" in table.call(ready).log


def test_an_image_that_the_engine_lost_is_loaded_again(
    archive: Path, engine: str, table: Any
) -> None:
    """A pruned image comes back from its archive."""
    runner = DockerRunner()
    ready = runner.ready(archive)
    runner.engine.remove_image(runner._name(ready), force=True)
    assert "hello from the team" in table.call(ready).log


def test_an_image_that_the_engine_calls_otherwise_is_found_by_its_content(
    archive: Path, engine: str, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containerd's store has IDs of its own: the same layers and settings are the same image."""

    def with_config(**more: Any) -> Callable[[dict[str, bytes]], None]:
        def change(members: dict[str, bytes]) -> None:
            manifest = json.loads(members["manifest.json"])
            config = json.loads(members.pop(manifest[0]["Config"]))
            config["config"] |= more.pop("config", {})
            manifest[0]["Config"] = "new.json"
            members["new.json"] = json.dumps(config | more).encode()
            members["manifest.json"] = json.dumps(manifest).encode()

        return change

    runner = DockerRunner()
    one = runner.ready(archive)
    other = image_of_archive(edited(archive, with_config(config={"Env": ["A=1"]})))
    again = image_of_archive(edited(archive, with_config(author="Ada")))
    assert len({one["image_id"], other["image_id"], again["image_id"]}) == 3
    assert runner._name(again) == runner._name(one)
    assert runner._name(other) == ""
    monkeypatch.setattr(DockerRunner, "_load", None)
    assert "hello from the team" in table.call({**one, **again}).log


def test_an_image_lost_and_its_archive_replaced_is_our_failure(
    archive: Path, folder: Path, base_image: Callable[..., Path], engine: str, table: Any
) -> None:
    """Another image is never run in the place of the one that was described."""
    runner = DockerRunner()
    ready = runner.ready(archive)
    runner.engine.remove_image(runner._name(ready), force=True)
    (folder / "predict.sh").write_text("echo somebody else\n")
    write_docker_archive(archive, [base_image("tiny"), (folder, "/workspace")])
    with pytest.raises(EngineError, match="was replaced meanwhile"):
        table.call(ready)


@pytest.mark.parametrize("runtime", ["docker", "podman"], indirect=True)
def test_the_images_user_is_who_runs(
    folder: Path, base_image: Callable[..., Path], runtime: str, table: Any, tmp_path: Path
) -> None:
    """An image for nobody runs as nobody, who can write the outputs folder."""
    (folder / "predict.sh").write_text("id -u; echo x > outputs/x; ls outputs\n")
    made = tmp_path / "nobody.tar"
    write_docker_archive(made, [base_image("tiny"), (folder, "/workspace")], user="65534:65534")
    assert table.call(runners.runner(runtime).ready(made)).log.splitlines()[1:] == ["65534", "x"]


@pytest.mark.parametrize("runtime", ["docker", "podman"], indirect=True)
def test_the_images_entry_point_is_kept(
    folder: Path, base_image: Callable[..., Path], runtime: str, table: Any, tmp_path: Path
) -> None:
    """`sh predict.sh` is given to the image's entry point, as docker run does."""
    made = tmp_path / "entry.tar"
    layers = [base_image("tiny"), (folder, "/workspace")]
    write_docker_archive(made, layers, entrypoint=["env", "A=1"])
    assert "hello from the team" in table.call(runners.runner(runtime).ready(made)).log


STARTLESS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown user": ({"user": "somebody"}, "unable to find user somebody"),
    "unknown entry point": ({"entrypoint": ["nothing"]}, "exit code 127|failed to exec"),
    "no predict.sh": ({"remove": "predict.sh"}, "predict.sh"),
    "a file in the place of the inputs": ({"add": "inputs"}, "cannot be started"),
}


@pytest.mark.parametrize("runtime", ["docker", "podman"], indirect=True)
@pytest.mark.parametrize("name", STARTLESS)
def test_an_image_that_cannot_start_has_crashed(
    name: str,
    folder: Path,
    base_image: Callable[..., Path],
    runtime: str,
    table: Any,
    tmp_path: Path,
) -> None:
    """An image that does not start is the submission's failure, with what the engine says."""
    settings, words = STARTLESS[name]
    if "remove" in settings:
        (folder / settings["remove"]).unlink()
        (folder / "other").write_text("")
    if "add" in settings:
        (folder / settings["add"]).write_text("")
    made = tmp_path / "startless.tar"
    more = {key: value for key, value in settings.items() if key in {"user", "entrypoint"}}
    write_docker_archive(made, [base_image("tiny"), (folder, "/workspace")], **more)
    result = table.call(runners.runner(runtime).ready(made))
    assert result.status == "crashed"
    assert re.search(words, result.message + result.log)


@pytest.mark.parametrize("runtime", ["docker", "podman"], indirect=True)
def test_a_volume_of_the_image_cannot_be_filled(archive: Path, runtime: str, table: Any) -> None:
    """What the image declares as a volume counts as disk, and is removed with the container."""

    def with_volume(members: dict[str, bytes]) -> None:
        manifest = json.loads(members["manifest.json"])
        config = json.loads(members.pop(manifest[0]["Config"]))
        config["config"]["Volumes"] = {"/data": {}, "/workspace/outputs": {}}
        config["config"]["Entrypoint"] = ["sh", "-c", "cat /dev/zero > /data/x"]
        manifest[0]["Config"] = "new.json"
        members["new.json"] = json.dumps(config).encode()
        members["manifest.json"] = json.dumps(manifest).encode()

    def volumes() -> set[str]:
        if runtime == "podman":
            return set(podman._ask(["podman", "volume", "ls", "--quiet"]).split())
        return {volume["Name"] for volume in DockerRunner().engine.volumes()["Volumes"] or ()}

    before = volumes()
    result = table.call(runners.runner(runtime).ready(edited(archive, with_volume)))
    assert result.status == "too_much_output"
    assert volumes() <= before


def test_a_bad_image_is_recorded_without_a_container(
    tmp_path: Path, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every interaction of an unusable submission has the status bad_image and the reason."""
    monkeypatch.setattr(docker, "APIClient", None)
    broken = tmp_path / "x.tar.gz"
    broken.write_bytes(b"")
    result = table.call(bad_image(broken, "it is broken"))
    assert (result.status, result.message) == ("bad_image", "it is broken")
    assert not result.segs.any()
    assert result.record["seconds"] == 0


def test_two_submissions_of_one_name_are_refused(tmp_path: Path) -> None:
    """Before anything runs, the second one is named."""
    for name in ("team.tar.gz", "team.tar"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ConfigError, match="a second submission of the name 'team'"):
        find_submissions(tmp_path)


def test_a_damaged_cache_of_digests_is_made_anew(tmp_path: Path) -> None:
    """Half a cache file is no reason to stop."""
    source, cache = tmp_path / "a.tar", tmp_path / "cache.json"
    source.write_bytes(b"abc")
    cache.write_text('{"half')
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest(source, cache) == expected
    assert expected in cache.read_text()


@pytest.mark.parametrize("runtime", ["docker", "podman", "apptainer"], indirect=True)
def test_an_image_that_does_not_fit_is_not_loaded(
    runtime: str,
    folder: Path,
    base_image: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disk with less room than the image unpacks to is our failure, before anything is loaded."""
    monkeypatch.chdir(tmp_path)
    (folder / "new").write_text(str(tmp_path))  # no engine has this image yet
    made = tmp_path / "large.tar"
    write_docker_archive(made, [base_image("tiny"), (folder, "/workspace")])
    tried = []
    for engine, method in ((DockerRunner, "_loaded"), (ApptainerRunner, "_built")):
        monkeypatch.setattr(engine, method, lambda *_: tried.append(1) or "")
    monkeypatch.setattr(watch.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(EngineError, match="MiB are needed; make room"):
        runners.ready(made, runtime=runtime, base_image="")
    assert tried == []
