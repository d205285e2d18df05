"""Write a docker archive (what `docker save` writes) without an engine; standard library only.

    python docker_archive.py NAME.tar.gz LAYER [LAYER...] [--cmd WORD...] [--tag NAME:TAG]

A LAYER is a .tar file (a base image's root file system) or FOLDER=/path/in/image. For a
participant without Docker: a base layer plus the folder with predict.sh is a submission. The bytes
depend on the contents alone (sorted members, no times, no owners), so the image ID, the sha256 of
the image's configuration, is the same wherever the same files are packed.
"""

import argparse
import gzip
import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

Layer = Path | tuple[Path, str]

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NEVER = "1970-01-01T00:00:00Z"


def write_docker_archive(
    out: Path,
    layers: Iterable[Layer],
    *,
    cmd: Sequence[str] = ("sh", "predict.sh"),
    tag: str | None = None,
    workdir: str = "/workspace",
    env: Sequence[str] = (),
    entrypoint: Sequence[str] = (),
    user: str = "",
) -> str:
    """Write `out` (.tar, or .tar.gz/.tgz) and return its image ID, "sha256:...".

    Each layer is a .tar file or a pair (folder, path in the image). `tag` defaults to the archive's
    own name. `entrypoint` is left out of the image's configuration where empty.
    """
    out = Path(out)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        tars = []
        for number, layer in enumerate(layers):
            if isinstance(layer, tuple):
                packed = Path(scratch, f"{number}.tar")
                _pack_folder(layer[0], layer[1], packed)
                tars.append(packed)
            else:
                tars.append(Path(layer))
        digests = [_sha256(path) for path in tars]
        settings = {"Env": [PATH, *env], "WorkingDir": workdir, "Cmd": list(cmd), "User": user}
        if entrypoint:
            settings["Entrypoint"] = list(entrypoint)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "created": NEVER,
                "config": settings,
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{d}" for d in digests]},
                "history": [{"created": NEVER} for _ in digests],
            },
            sort_keys=True,
        ).encode()
        image_id = hashlib.sha256(config).hexdigest()
        manifest = {
            "Config": f"{image_id}.json",
            "RepoTags": [tag or f"{out.name.split('.')[0].lower()}:latest"],
            "Layers": [f"{digest}/layer.tar" for digest in digests],
        }
        part = Path(scratch, "archive")
        with ExitStack() as stack:
            stream = stack.enter_context(part.open("wb"))
            if out.suffix in {".gz", ".tgz"}:
                stream = stack.enter_context(gzip.GzipFile("", "wb", 1, stream, mtime=0))
            archive = stack.enter_context(tarfile.open(fileobj=stream, mode="w|"))
            for digest, path in dict(zip(digests, tars, strict=True)).items():
                with path.open("rb") as content:
                    _add(archive, f"{digest}/layer.tar", content, path.stat().st_size)
            for name, data in (
                (f"{image_id}.json", config),
                ("manifest.json", json.dumps([manifest]).encode()),
            ):
                _add(archive, name, io.BytesIO(data), len(data))
        part.replace(out)
    return f"sha256:{image_id}"


def _pack_folder(folder: Path, where: str, out: Path) -> None:
    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as tar:
        inside = Path(where.strip("/"))
        for parent in reversed([inside, *inside.parents][:-1]):
            entry = tarfile.TarInfo(str(parent))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path in sorted(folder.rglob("*")):
            if "__pycache__" not in path.parts:
                name = str(inside / path.relative_to(folder))
                tar.add(path, name, recursive=False, filter=_anonymous)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    # What git keeps of a mode, so that every checkout packs the same bytes.
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def _add(archive: tarfile.TarFile, name: str, content: io.BufferedIOBase, size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    archive.addfile(entry, content)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _layer(text: str) -> Layer:
    folder, equals, where = text.partition("=")
    return (Path(folder), where) if equals else Path(text)


def main() -> None:
    """Run as a command; prints the image ID."""
    parser = argparse.ArgumentParser(description="Write a docker archive without an engine.")
    parser.add_argument("out", type=Path, metavar="NAME.tar.gz")
    parser.add_argument("layers", type=_layer, nargs="+", metavar="FILE.tar|FOLDER=/path")
    parser.add_argument("--tag", help="NAME:TAG, by default the archive's name")
    parser.add_argument("--cmd", nargs="+", default=["sh", "predict.sh"], metavar="WORD")
    given = parser.parse_args()
    print(write_docker_archive(given.out, given.layers, cmd=given.cmd, tag=given.tag))


if __name__ == "__main__":
    main()
