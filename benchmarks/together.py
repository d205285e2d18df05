"""Twenty hostile submissions and three honest ones play together; the honest tables stay the same.

    python benchmarks/together.py docker|podman|apptainer

The honest ones are played alone first, then with the others in a folder of its own. Every hostile
one must end as a result with a status, none may stop the run, and the tables of the honest ones,
running times aside, must be those of the run alone. Needs the base images of the tests
(tests/engines/make-base-image.sh) and the engine.
"""

import collections
import csv
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "workflow"), str(ROOT / "tests" / "engines")]

from arena import PREDICT, Arena, new_arena  # noqa: E402
from docker_archive import write_docker_archive  # noqa: E402

from segarena.files import read_json  # noqa: E402
from segarena.predict.image import image_of_archive  # noqa: E402

HONEST = {
    "honest-1": PREDICT,
    "honest-2": PREDICT.replace('b["z_mid_x_max"] + 1', 'b["z_mid_x_max"] + 2'),
    "honest-3": PREDICT.replace("z - 1, 0):z + 2", "z - 2, 0):z + 3"),
}
LIMITS = {
    "memory_gb": 0.5,
    "processes": 200,
    "tmp_gb": 0.1,
    "shared_memory_gb": 0.1,
    "output_gb": 0.02,
    "output_files": 100,
    "printed_gb": 0.01,
    "disk_gb": 0.1,
}
SCRIPTS = {
    "forks": "bomb() { bomb | bomb & }; bomb; sleep 60",
    "memory": "tail /dev/zero",
    "output": "dd if=/dev/zero of=outputs/x bs=1M",
    "files": 'i=0; while :; do : > "outputs/$i"; i=$((i+1)); done',
    "prints": "yes",
    "sleeps": "trap '' TERM INT HUP; while :; do sleep 1; done",
    "shared": "dd if=/dev/zero of=/dev/shm/x bs=1M; dd if=/dev/zero of=/tmp/x bs=1M; sleep 60",
    "beside": "dd if=/dev/zero of=x bs=1M; dd if=/dev/zero of=/x bs=1M; sleep 60",
    "closes": "for f in inputs/*; do cp $f outputs/; done; chmod 000 outputs/* outputs",
    "kills": "kill -9 -1; sleep 60",
    "daemon": "(setsid sh -c 'sleep 30; cp /etc/passwd outputs/x' &); exit 0",
    "spies": "cat /proc/1/environ; find / -name '*truth*'; ls -R /submission /workspace",
    "links": "ln -s /etc/passwd outputs/one.npz; mkfifo outputs/two.npz; mkdir outputs/three.npz",
}
PICKLE = """
import os, numpy as np
class Evil:
    def __reduce__(self):
        return (os.system, ("touch /tmp/segarena-was-here",))
name = os.listdir("inputs")[0]
np.savez("outputs/" + name, segs=np.array([Evil()], dtype=object))
"""


def main() -> int:
    """Return 0 where the honest tables are the same and every hostile call has a status."""
    runtime = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        tiny, numpy_layer = (_layer(kind) for kind in ("tiny", "numpy"))
        base = _base(Path(folder), runtime, numpy_layer)
        tables, seconds = {}, {}
        for name in ("alone", "together"):
            arena = _arena(Path(folder, name), runtime, base)
            if name == "together":
                _add_hostile(arena, tiny)
            started = time.monotonic()
            arena.run(*_targets(arena))
            seconds[name] = time.monotonic() - started
            tables[name] = _honest_tables(arena)
        statuses = _statuses(arena)
    for name, counts in sorted(statuses.items()):
        print(f"{name:10s} {dict(counts)}")
    same = tables["alone"] == tables["together"]
    took = ", ".join(f"{name} {took:.0f} s" for name, took in seconds.items())
    print(f"{runtime}: {len(statuses)} hostile submissions, {len(HONEST)} honest; {took}")
    print(f"{len(tables['alone'])} tables of the honest ones are the same: {same}")
    assert not Path("/tmp/segarena-was-here").exists(), "an answer was unpickled"
    return 0 if same and len(statuses) == 20 else 1


def _layer(kind: str) -> Path:
    cache = os.environ.get("SEGARENA_TEST_CACHE", f"{tempfile.gettempdir()}/segarena-test-cache")
    command = [ROOT / "tests/engines/make-base-image.sh", cache, kind]
    made = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Path(made.stdout.strip())


def _base(folder: Path, runtime: str, layer: Path) -> str:
    """Give the engine the base image of the folders; return what the config calls it."""
    archive = folder / "segarena-together.tar"
    write_docker_archive(archive, [layer])
    if runtime == "apptainer":
        return str(archive)
    subprocess.run([runtime, "load", "--quiet", "--input", archive], check=True)
    return image_of_archive(archive)["image_id"]


def _arena(folder: Path, runtime: str, base: str) -> Arena:
    folder.mkdir()
    arena = new_arena(folder)
    arena.add_protocol(
        time={"seconds_per_label": 8, "per": "call", "on_overtime": "warn"}, limits=LIMITS
    )
    arena.config |= {"runtime": runtime, "base_image": base}
    arena.add_case("one")
    for name, source in HONEST.items():
        arena.add_submission(name, source)
    return arena


def _add_hostile(arena: Arena, tiny: Path) -> None:
    """Add twenty submissions that try what they can: thirteen programs, six images, one folder."""
    place = arena.folder_of("submissions")
    scratch = arena.folder / "scratch"
    for name, script in SCRIPTS.items():
        _archive(place, name, tiny, scratch, script)
    _archive(place, "user", tiny, scratch, "true", user="99999999999")
    _archive(place, "entry", tiny, scratch, "true", entrypoint=["/nope"])
    (scratch / "text.tar").write_text("no tar at all\n" * 100)
    write_docker_archive(place / "layer.tar", [tiny, scratch / "text.tar"])
    for name, kind, member in (
        ("fifo", tarfile.FIFOTYPE, "etc/passwd"),
        ("link", tarfile.SYMTYPE, "workspace"),
    ):
        entry = tarfile.TarInfo(member)
        entry.type, entry.linkname = kind, "/proc" if kind == tarfile.SYMTYPE else ""
        with tarfile.open(scratch / f"{name}.tar", "w") as tar:
            tar.addfile(entry)
        write_docker_archive(place / f"{name}.tar", [tiny, scratch / f"{name}.tar"], user="nobody")
    (place / "garbage.tar.gz").write_bytes(os.urandom(100_000))
    folder = place / "names"
    folder.mkdir()
    (folder / "predict.sh").write_text("cat a/prepare/*; python3 evil.py\n")
    (folder / "evil.py").write_text(PICKLE)
    for odd in ("a,src=results", "a,results", "a:b:ro", "new\nline", "--mount=x", "\x1b[31mred"):
        (folder / odd).write_text("x")
    shutil.rmtree(scratch)


def _archive(  # type: ignore[no-untyped-def]
    place: Path, name: str, tiny: Path, scratch: Path, script: str, **settings
) -> None:
    folder = scratch / name
    folder.mkdir(parents=True)
    (folder / "predict.sh").write_text(f"{script}\n")
    write_docker_archive(place / f"{name}.tar", [tiny, (folder, "/workspace")], **settings)


def _targets(arena: Arena) -> list[str]:
    """Return the tables of the honest ones and the last records of all others."""
    names = {path.name.partition(".")[0] for path in arena.folder_of("submissions").iterdir()}
    tables = [f"results/score/short/{name}_metrics.csv" for name in HONEST]
    return [*tables, *(f"results/predict/short/{name}/one/2.json" for name in names - set(HONEST))]


def _honest_tables(arena: Arena) -> dict[str, list[list[str]]]:
    """Return the scores and the table of each honest submission, running times left out."""
    found = {}
    for name in HONEST:
        for path in (
            arena.path("score", "short", f"{name}_metrics.csv"),
            *sorted(arena.path("score", "short", name).glob("*.csv")),
        ):
            with path.open(newline="") as file:
                rows = list(csv.reader(file))
            kept = [i for i, key in enumerate(rows[0]) if "RunningTime" not in key]
            found[str(path.relative_to(arena.work))] = [[row[i] for i in kept] for row in rows]
    return found


def _statuses(arena: Arena) -> dict[str, collections.Counter[str]]:
    """Return how often each hostile submission's calls ended in which way."""
    found = {}
    for folder in arena.path("predict", "short").iterdir():
        if folder.name not in HONEST:
            records = [read_json(path) for path in folder.glob("*/*.json")]
            found[folder.name] = collections.Counter(record["status"] for record in records)
    return found


if __name__ == "__main__":
    sys.exit(main())
