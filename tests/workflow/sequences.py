"""Random changes to a run, and the run that an empty folder would give, to compare with.

Every change is one that a year brings: cases and submissions come, go, are corrected and renamed;
protocols, metrics and limits change; files are touched, aged, cut and lost; runs are killed. After
each change one run must give what an empty folder gives, byte for byte, less what was measured of
time. No submission may be asked twice for what it has answered.
"""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from arena import PREDICT, PROTOCOL, Arena, new_arena

from segarena.predict.runners import calls_prefix

# Notes what it was asked: the folder of the call, then the input and the code by their content.
NOTED = """
import glob, hashlib, os
with open("NOTES", "a") as notes:
    for path in glob.glob(os.path.join(os.environ["INPUTS"], "*.npz")):
        with open(path, "rb") as file, open(__file__, "rb") as code:
            seen = hashlib.sha256(file.read()).hexdigest(), hashlib.sha256(code.read()).hexdigest()
        call = os.path.basename(os.path.dirname(os.environ["INPUTS"]))
        notes.write(f"{call}\\t{os.path.basename(path)} {seen[0]} {seen[1]}\\n")
"""
TIME = "RunningTime"  # a part of the names of its columns
DRAWING = ("case_picture", "answer_pictures", "report")
MEASURED = {
    *("seconds", "own_seconds", "case_seconds", "peak_memory_bytes", "host", "ended", "found"),
    *("limits", "source"),
}
METRICS: list[list[dict[str, Any]]] = [
    [{"name": "DSC"}, {"name": "NSD", "tolerance_mm": 2}],
    [{"name": "DSC"}, {"name": "NSD", "tolerance_mm": 1}],
    [{"name": "DSC"}, {"name": "NSD", "tolerance_mm": 2}, {"name": "IoU"}],
]


class Season:
    """A run that lives on: what is in its folders, and the changes that can happen to it."""

    def __init__(self, folder: Path, seed: int, base: "Season | None" = None) -> None:
        """Start a season in an empty folder, from a copy of another one's run if there is one."""
        self.random = random.Random(seed)
        self.folder = folder
        (folder / "run").mkdir(parents=True)
        self.count = 0
        self.kills = 0
        self.kinds: list[str] = []
        self.dropped: list[dict[str, Any]] = []
        if base is not None:
            self.arena = base.arena.copy(folder / "run")
            self.notes, self.works = base.notes, [*base.works, self.arena.work]
            self.protocols = dict(base.protocols)
            return
        self.arena = new_arena(folder / "run")
        self.notes, self.works = folder / "notes", [self.arena.work]
        self.protocols: dict[str, dict[str, Any]] = {}
        for name in ("one", "two"):
            self.arena.add_case(name)
        self.add_submission("ada")
        self.set_protocol(PROTOCOL | {"name": "short"})
        self.set_protocol(PROTOCOL | {"name": "other", "metrics": METRICS[1]})
        run(self.arena)

    # -- what can happen ---------------------------------------------------------------------

    def changes(self) -> list[Callable[[], str]]:
        """Return all changes; each does one and says what it did."""
        return [
            *(
                self.add_case,
                self.remove_case,
                self.correct_truth,
                self.correct_truth_by_an_old_file,
            ),
            *(self.correct_image, self.rename_case, self.touch_cases, self.age_cases),
            *(self.put_case_back, self.new_submission, self.remove_submission),
            *(self.change_submission, self.rename_submission, self.touch_submissions),
            *(self.change_metrics, self.raise_version, self.change_time, self.change_clicks),
            *(self.drop_protocol, self.bring_protocol_back, self.change_sheet, self.change_jobs),
            *(self.cut_a_result, self.lose_a_result, self.kill, self.copy_project),
        ]

    def add_case(self) -> str:
        self.count += 1
        name = f"case{self.count}"
        self.arena.add_case(name, shift=self.count % 4)
        return f"add case {name}"

    def remove_case(self) -> str:
        names = self.cases()
        if len(names) < 2:
            return self.add_case()
        name = self.random.choice(names)
        for kind in ("images", "labels"):
            removed = self.folder / "removed" / kind
            removed.mkdir(parents=True, exist_ok=True)
            shutil.move(self.arena.folder_of(kind) / f"{name}.npz", removed / f"{name}.npz")
        return f"remove case {name}"

    def put_case_back(self) -> str:
        removed = sorted((self.folder / "removed" / "images").glob("*.npz"))
        if not removed:
            return self.remove_case()
        name = self.random.choice(removed).stem
        for kind in ("images", "labels"):
            source = self.folder / "removed" / kind / f"{name}.npz"
            shutil.move(source, self.arena.folder_of(kind) / f"{name}.npz")
        return f"put case {name} back"

    def correct_truth(self, *, age: bool = False) -> str:
        name = self.random.choice(self.cases())
        path = self.arena.folder_of("labels") / f"{name}.npz"
        before = path.stat()
        gts = np.load(path)["gts"]
        z, y, x = (self.random.randrange(n) for n in gts.shape)
        gts[z, y, x] = 0 if gts[z, y, x] else 1
        np.savez(path, gts=gts)
        if age:
            old = before.st_mtime_ns - 86_400 * 10**9
            os.utime(path, ns=(old, old))
        return f"correct the truth of {name}{' by an older file' if age else ''}"

    def correct_truth_by_an_old_file(self) -> str:
        return self.correct_truth(age=True)

    def correct_image(self) -> str:
        name = self.random.choice(self.cases())
        path = self.arena.folder_of("images") / f"{name}.npz"
        with np.load(path, allow_pickle=True) as archive:
            arrays = {key: archive[key] for key in archive.files}
        arrays["imgs"] = arrays["imgs"] + 1
        np.savez(path, **arrays)
        return f"correct the image of {name}"

    def rename_case(self) -> str:
        name = self.random.choice(self.cases())
        self.count += 1
        for kind in ("images", "labels"):
            folder = self.arena.folder_of(kind)
            (folder / f"{name}.npz").rename(folder / f"renamed{self.count}.npz")
        return f"rename case {name}"

    def touch_cases(self) -> str:
        for kind in ("images", "labels"):
            for path in self.arena.folder_of(kind).iterdir():
                path.touch()
        return "touch all cases"

    def age_cases(self) -> str:
        for kind in ("images", "labels"):
            for path in self.arena.folder_of(kind).iterdir():
                os.utime(path, (10**9, 10**9))
        return "age all cases"

    def new_submission(self) -> str:
        self.count += 1
        self.add_submission(f"team{self.count}", f"# {self.count % 2}\n")
        return f"new submission team{self.count}"

    def remove_submission(self) -> str:
        names = self.submissions()
        if len(names) < 2:
            return self.new_submission()
        name = self.random.choice(names)
        shutil.rmtree(self.arena.folder_of("submissions") / name)
        return f"remove submission {name}"

    def change_submission(self) -> str:
        name = self.random.choice(self.submissions())
        self.count += 1
        value = self.random.choice(["i", "0"])
        source = PREDICT.replace('(("fg", i)', f'(("fg", {value})') + f"# {self.count}\n"
        self.arena.add_submission(name, self.source(source))
        return f"change submission {name}"

    def rename_submission(self) -> str:
        name = self.random.choice(self.submissions())
        self.count += 1
        folder = self.arena.folder_of("submissions")
        (folder / name).rename(folder / f"renamed{self.count}")
        return f"rename submission {name}"

    def touch_submissions(self) -> str:
        for path in self.arena.folder_of("submissions").rglob("*.*"):
            path.touch()
        return "touch all submissions"

    def change_metrics(self) -> str:
        return self.change_protocol(metrics=self.random.choice(METRICS))

    def raise_version(self) -> str:
        return self.change_protocol(version=self.random.randrange(2, 9))

    def change_time(self) -> str:
        time = {"seconds_per_label": self.random.randrange(50, 90), "on_overtime": "warn"}
        return self.change_protocol(time=time)

    def change_clicks(self) -> str:
        user = json.loads(json.dumps(PROTOCOL["user"]))
        user[1]["times"] = self.random.randrange(1, 3)
        return self.change_protocol(user=user)

    def change_protocol(self, **changes: Any) -> str:
        name = self.random.choice(sorted(self.protocols))
        self.set_protocol(self.protocols[name] | changes)
        return f"protocol {name}: {changes}"

    def drop_protocol(self) -> str:
        if len(self.protocols) < 2:
            return self.bring_protocol_back()
        name = self.random.choice(sorted(self.protocols))
        self.dropped.append(self.protocols.pop(name))
        self.name_protocols()
        return f"drop protocol {name}"

    def bring_protocol_back(self) -> str:
        if not self.dropped:
            return self.change_metrics()
        protocol = self.dropped.pop()
        self.set_protocol(protocol)
        return f"bring protocol {protocol['name']} back"

    def change_sheet(self) -> str:
        sheet = self.arena.work / "cases.tsv"
        groups = [self.random.choice(["a", "b"]) for _ in self.cases()]
        rows = [f"{case}\t{group}" for case, group in zip(self.cases(), groups, strict=True)]
        sheet.write_text("\n".join(["case\tcentre", *rows, ""]))
        self.arena.config["sheets"] = {"cases": "cases.tsv"}
        return f"sheet: {groups}"

    def change_jobs(self) -> str:
        jobs = self.random.choice(["session", "interaction"])
        self.arena.config["jobs"] = jobs
        return f"jobs: {jobs}"

    def cut_a_result(self) -> str:
        path = self.random.choice(self.results())
        before = path.stat()
        os.truncate(path, self.random.choice([0, before.st_size // 2]))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return f"cut {path.relative_to(self.arena.path())}"

    def lose_a_result(self) -> str:
        path = self.random.choice(self.results())
        path.unlink()
        return f"lose {path.relative_to(self.arena.path())}"

    def kill(self) -> str:
        """Kill a run of something new after a while, the whole group."""
        what = self.random.choice([self.add_case, self.change_submission, self.change_clicks])()
        self.drop_stale_rows()
        run = subprocess.Popen(
            self.arena.command("--omit-from", *DRAWING),
            env=self.arena.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(self.random.uniform(2, 8))
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            self.kills += 1
        run.wait()
        return f"{what}, killed"

    def copy_project(self) -> str:
        """The same code, unpacked again."""
        for path in self.arena.project.rglob("*"):
            if "__pycache__" not in path.parts:
                path.touch()
        return "clone again"

    # -- the run and what it must give ---------------------------------------------------------

    def step(self) -> str:
        """Let one change happen and run once; return what happened."""
        change = self.random.choice(self.changes())
        self.kinds.append(change.__name__)
        happened = change()
        self.drop_stale_rows()
        run(self.arena)
        return happened

    def faults(self) -> list[str]:
        """Return what is not as an empty folder would give it, and what was asked twice."""
        found = [f"differs: {name}" for name in differences(self.arena, self.fresh())]
        twice = self.asked_twice()
        # A killed run may have had two calls at work, whose answers nobody took.
        return found + ([f"asked twice: {twice}"] if twice > 2 * self.kills else [])

    def fresh(self) -> Arena:
        """Return a run of the same from an empty folder."""
        folder = self.folder / "fresh"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        arena = new_arena(folder)
        arena.config |= {
            key: self.arena.config[key] for key in ("jobs", "sheets") if key in self.arena.config
        }
        arena.config["protocols"] = self.arena.config["protocols"]
        for name in ("images", "labels", "submissions"):
            shutil.copytree(self.arena.work / name, arena.work / name)
        if "sheets" in arena.config:
            shutil.copy(self.arena.work / "cases.tsv", arena.work / "cases.tsv")
        run(arena)
        return arena

    def asked_twice(self) -> int:
        """Return how often a submission was asked for what it had answered."""
        return sum(n - 1 for n in Counter(self.calls(self.works)).values())

    def calls(self, works: list[Path]) -> list[str]:
        """Return what was asked in these runs: the file's name, its content and the code."""
        lines = [line.split("\t") for line in self.notes.read_text().splitlines()]
        prefixes = tuple(calls_prefix(work) for work in works)
        found = [asked for call, asked in lines if call.startswith(prefixes)]
        assert found, "no call was noted"
        return found

    def add_submission(self, name: str, extra: str = "") -> None:
        self.arena.add_submission(name, self.source(PREDICT + extra))

    def source(self, predict: str) -> str:
        return NOTED.replace("NOTES", str(self.notes)) + predict

    def set_protocol(self, protocol: dict[str, Any]) -> None:
        self.protocols[protocol["name"]] = protocol
        path = self.arena.folder / f"{protocol['name']}.yaml"
        path.write_text(yaml.safe_dump(protocol))
        self.name_protocols()

    def name_protocols(self) -> None:
        names = sorted(self.protocols)
        self.arena.config["protocols"] = [str(self.arena.folder / f"{name}.yaml") for name in names]

    def drop_stale_rows(self) -> None:
        """Keep the sheet in step with the cases, as its owner must."""
        if "sheets" not in self.arena.config:
            return
        sheet, names = self.arena.work / "cases.tsv", set(self.cases())
        head, *rows = sheet.read_text().splitlines()
        rows = [row for row in rows if row.split("\t")[0] in names]
        sheet.write_text("\n".join([head, *rows, ""]))

    def cases(self) -> list[str]:
        return sorted(path.stem for path in self.arena.folder_of("labels").iterdir())

    def submissions(self) -> list[str]:
        return sorted(path.name for path in self.arena.folder_of("submissions").iterdir())

    def results(self) -> list[Path]:
        """Return what is compared, and what it was made from."""
        return [self.arena.path(name) for name in contents(self.arena)]


def run(arena: Arena) -> None:
    """Run all but pictures and pages, which are not compared."""
    arena.run("--omit-from", *DRAWING)


def differences(one: Arena, fresh: Arena) -> list[str]:
    """Return the results of `fresh` that `one` does not have, or has otherwise."""
    expected, found = contents(fresh), contents(one)
    return [name for name, content in expected.items() if found.get(name) != content]


def contents(arena: Arena) -> dict[str, Any]:
    """Return all results but pictures and pages, by name, less what was measured of time."""
    found: dict[str, Any] = {}
    for stage in ("prepare", "prompt", "predict", "score", "rank"):
        for path in sorted(arena.path(stage).rglob("*")):
            if path.is_file() and not any(p.startswith(".") for p in path.parts[-2:]):
                name = str(path.relative_to(arena.path()))
                found[name] = _content(path)
    return {name: content for name, content in found.items() if content is not None}


def _content(path: Path) -> Any:
    if path.stat().st_size == 0:
        return b""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [
                {key: value for key, value in row.items() if TIME not in key}
                for row in csv.DictReader(file)
            ]
    if path.suffix == ".json":
        try:
            value = json.loads(path.read_bytes())
        except ValueError:
            return path.read_bytes()
        return {key: item for key, item in value.items() if key not in MEASURED}
    if path.suffix in {".npz", ".tsv"}:
        return path.read_bytes()
    return None  # logs, and tables that hold the same as a .csv
