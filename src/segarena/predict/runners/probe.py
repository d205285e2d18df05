"""A known-good image: if it does not run here and now, it is no submission's fault.

It is made from a few bytes, so nothing has to be fetched: one layer that holds one static program,
built from probe.c beside this file. It reads its input and writes an answer as a submission does,
as the same user, under the same settings.
"""

import base64
import hashlib
import io
import json
import platform
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from segarena.errors import SegArenaError

if TYPE_CHECKING:
    from segarena.predict.runners import Runner

# probe.c as that file says, for each processor: zlib, then base64.
_X86_64 = (
    "eNqrd/VxY2JkZIABJgY7BhBvA4MDmO8AFX+BUAIUswCqc2BgZWABq2UFq4cAmD4Y/Q4qDqNhxgQ+LUlhYyAeCEBp"
    "V8MDx1xU/gPpS/tyGR0YdoDc7nH8+Jz////7dB7iZ/XoPO7ReqBSzPASUMkOG6CW/dxAwqPzGj/ra3GP3hKV/0CJ"
    "XSB3+HQeAKr/f6L0suOuJUCBfa1oBu5yBKrCaiQPwsgdIKNg5nqAnQAyEqHYo/M6ROk//fL8ouzigsTkVP3MvILS"
    "kmL9gqL8pFQGJPH80hIkCXdnZysFDZfUpMzEPAVDIz0jPQNdQxPtlNQkQ6NSQ02oEAODXnFGcUlRSWISg15JakUJ"
    "g15RfkpiSSKDXnJ+bm5qXgkDxYAbGndsGPEMAXvR1DOi8QWhYkZQPijuIDSEb4hDP4yWhLIN0NTNgypQJ6AfRDNj"
    "8ddRqAIlAu4HAHiQgOU="
)
_AARCH64 = (
    "eNqrd/VxY2JkZIABJobtDCDeBgYHMN8BKm7ABFcCFLMAqnNgYGNgBatlBauHAJg+GG0ANRpGc0DVBT4tSWFjIB4I"
    "QOn/zgwXOdgbLiXwNEwCGjmBiaHhkiID20RmIP3fnsESKHalgfnHthXcQDWMDZcYgeIgNSB5kByyXiUOoN4EtonN"
    "JhC5BUwQfQ1Y9IHEGRgwxYFOEnlozzDxBdBcJaiYPAPTa8Y//0Oe/v8vDpLj4IDIMSPJHwTKvwbK65fnF2UXFyQm"
    "p+pn5hWUlhTrFxTlJ6UyIInnl5YgSaCFB2NVEANLhRyjNI88WEwCiO/8+///AkjSkU/A3dnZSkHDJTUpMzFPwdBI"
    "z0jPQNfQRBPKZGDQK84oLikqSUxi0CtJrShh0CvKT0ksSWTQS82ITytKzE1l0EvOz81NzSthoArgBrkZiNkw0gsE"
    "XEBTz4LGF4TqN4LyGxgdoDSEb4imnhGNloSyYcl5B1T/DqgCDTT9HGh8Zah+AzTxB1D98gTsB9HMWMLlP1SBDg79"
    "MAAAJ1GNqQ=="
)
_PROGRAMS = {"x86_64": ("amd64", _X86_64), "aarch64": ("arm64", _AARCH64)}

_CURES = {
    11: "a program in a container cannot read its input as user {user}: may every user enter "
    "TMPDIR ({folder}), and does no access rule (ACL, SELinux label, NFS export) keep it out?",
    12: "a program in a container cannot write its output as user {user}: is TMPDIR ({folder}) on "
    "a disk that this user may write to and that has room?",
}


def probe(runner: "Runner", user: str, prefix: str) -> str:
    """Run the probe image once, GPU included; return why it fails here and now, "" if it runs.

    user: a numeric UID or UID:GID, "" for root, "caller" for whoever calls. prefix: how its
    temporary folder is to begin.
    """
    from segarena.predict.runners import Limits

    limits = Limits(
        seconds=60,
        memory_bytes=2**27,
        tmp_bytes=2**20,
        shared_memory_bytes=2**20,
        disk_bytes=2**24,
        user="caller" if user == "caller" else "image",
    )
    with tempfile.TemporaryDirectory(prefix=prefix) as name:
        folder = Path(name)
        inputs, outputs = folder / "inputs", folder / "outputs"
        for place, mode in ((inputs, 0o755), (outputs, 0o777)):
            place.mkdir()
            place.chmod(mode)
        (inputs / "probe").write_bytes(b"x")
        (inputs / "probe").chmod(0o644)
        archive = folder / "probe.tar"
        if not write_archive(archive, "" if user == "caller" else user):
            return f"there is no probe for this kind of processor ({platform.machine()})"
        try:
            image = runner.ready(archive)
            outcome = runner.run(image, inputs, outputs, folder / "log", limits)
        except SegArenaError as error:
            return str(error)
        if outcome.cannot_start:
            return outcome.cannot_start
        if outcome.exit_code != 0:
            cure = _CURES.get(outcome.exit_code or 0, "it ended with exit code {code}")
            return cure.format(user=user or "root", folder=folder.parent, code=outcome.exit_code)
        if not (outputs / "probe").exists():
            return f"what it wrote is not in TMPDIR ({folder.parent}); does the engine see it?"
    return ""


def write_archive(path: Path, user: str) -> bool:
    """Write the probe image as a docker archive; return whether there is one for this machine."""
    if platform.machine() not in _PROGRAMS:
        return False
    architecture, packed = _PROGRAMS[platform.machine()]
    # The folder has an entry of its own: without one the engine's vfs driver makes it unreadable.
    layer = _tar({"bin/": b"", "bin/sh": zlib.decompress(base64.b64decode(packed))})
    digest = hashlib.sha256(layer).hexdigest()
    settings = {"Env": ["PATH=/bin"], "User": user, "Labels": {"segarena": "probe"}}
    about = {
        "architecture": architecture,
        "os": "linux",
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    config = json.dumps(about, sort_keys=True).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": None, "Layers": [f"{digest}/layer.tar"]}]
    members = {f"{digest}/layer.tar": layer, name: config}
    path.write_bytes(_tar({**members, "manifest.json": json.dumps(manifest).encode()}))
    return True


def _tar(members: dict[str, bytes]) -> bytes:
    """Return a tar of these files, the same bytes every time."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            entry.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()
