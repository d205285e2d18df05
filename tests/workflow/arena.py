"""A run of the real Snakefile in a temporary copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "workflow", "src", "config", "profiles", "envs")

# Fills each box and paints a 3-voxel cube of the label (or of 0) at each click.
PREDICT = """
import glob, os
import numpy as np
for path in glob.glob(os.path.join(os.environ["INPUTS"], "*.npz")):
    case = np.load(path, allow_pickle=True)
    segs = np.zeros(case["imgs"].shape[:3], np.uint8)
    for i, b in enumerate(case["boxes"] if "boxes" in case.files else (), 1):
        segs[b["z_min"]:b["z_max"] + 1, b["z_mid_y_min"]:b["z_mid_y_max"] + 1,
             b["z_mid_x_min"]:b["z_mid_x_max"] + 1] = i
    for i, clicks in enumerate(case["clicks"] if "clicks" in case.files else (), 1):
        for kind, value in (("fg", i), ("bg", 0)):
            for z, y, x in clicks[kind]:
                segs[max(z - 1, 0):z + 2, max(y - 1, 0):y + 2, max(x - 1, 0):x + 2] = value
    np.savez_compressed(os.path.join(os.environ["OUTPUTS"], os.path.basename(path)), segs=segs)
"""

PROTOCOL: dict[str, Any] = {
    "name": "short",
    "version": 1,
    "title": "A box and one click",
    "source": "the tests",
    "seed": 42,
    "user": [
        {"prompt": "box", "times": 1},
        {"prompt": "click", "times": 1, "rule": "largest_error"},
    ],
    "on_failure": "previous",
    "time": {"seconds_per_label": 60, "per": "case", "on_overtime": "warn"},
    "limits": {"memory_gb": 1},
    "metrics": [{"name": "DSC"}, {"name": "NSD", "tolerance_mm": 2}],
    "series": {"auc_from": 1},
    "ranking": {"metrics": ["DSC_Final"], "scheme": "rank_then_mean"},
}


@dataclass
class Arena:
    """A project copy, a working directory with its cases and submissions, and a config."""

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    engine: str | None = None

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def project(self) -> Path:
        return self.folder / "project"

    def path(self, *parts: str) -> Path:
        """Return a path under results/."""
        return self.work.joinpath("results", *parts)

    def command(self, *arguments: str) -> list[str]:
        """Return the command of a run."""
        config = self.folder / "config.yaml"
        config.write_text(yaml.safe_dump(self.config))
        snakemake = [sys.executable, "-m", "snakemake", "--snakefile", f"{self.project}/Snakefile"]
        where = ["--directory", str(self.work), "--configfile", str(config), "--cores", "2"]
        return [*snakemake, *where, *arguments]

    def environment(self) -> dict[str, str]:
        """Return the caller's environment without what would lead to another copy's package."""
        passed = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return passed | ({"DOCKER_HOST": self.engine} if self.engine else {})

    def run(self, *arguments: str, expect: int = 0) -> str:
        """Run the workflow and return what it printed."""
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == expect, done.stdout
        return done.stdout

    def plan(self) -> dict[str, int]:
        """Return how many jobs of each rule a run would start now."""
        printed = self.run("--dry-run")
        table = printed.rpartition("Job stats:")[2].partition("\ntotal ")[0]
        return {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", table, re.M)}

    def add_case(self, name: str, *, shift: int = 0) -> None:
        """Write a case of two cuboids."""
        gts = np.zeros((8, 24, 20), np.uint8)
        gts[2:6, 4 + shift : 12 + shift, 3:9] = 1
        gts[3:7, 10:20, 12:18] = 2
        boxes = np.array([_box(gts == label) for label in (1, 2)], object)
        imgs = (gts * 90 + 20).astype(np.uint8)
        spacing = np.array([2.0, 1.0, 1.0])
        np.savez(self.folder_of("images") / f"{name}.npz", imgs=imgs, spacing=spacing, boxes=boxes)
        np.savez(self.folder_of("labels") / f"{name}.npz", gts=gts)

    def add_submission(self, name: str, source: str = PREDICT) -> None:
        """Write a submission's folder."""
        folder = self.folder_of("submissions") / name
        folder.mkdir(exist_ok=True)
        (folder / "predict.sh").write_text('python3 "$(dirname "$0")/predict.py"\n')
        (folder / "predict.py").write_text(source)

    def add_protocol(self, **changes: Any) -> None:
        """Write the short protocol, with changes, and play it."""
        protocol = {**PROTOCOL, **changes}
        path = self.folder / f"{protocol['name']}.yaml"
        path.write_text(yaml.safe_dump(protocol))
        self.config["protocols"] = [str(path)]

    def folder_of(self, kind: str) -> Path:
        """Return a folder of the working directory, made if need be."""
        folder = self.work / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def copy(self, folder: Path) -> "Arena":
        """Return a copy with the same file times, as a finished run lies on a disk."""
        shutil.copytree(self.folder, folder, symlinks=True, dirs_exist_ok=True)
        other = Arena(folder, dict(self.config), self.engine)
        other.config["protocols"] = [
            path.replace(str(self.folder), str(folder)) for path in self.config["protocols"]
        ]
        return other


def _box(mask: np.ndarray) -> dict[str, int]:
    z, y, x = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    ends = {"z_min": z[0], "z_max": z[-1], "z_mid": z[len(z) // 2]}
    ends |= {"z_mid_x_min": x[0], "z_mid_y_min": y[0], "z_mid_x_max": x[-1], "z_mid_y_max": y[-1]}
    return {key: int(value) for key, value in ends.items()}


def new_arena(folder: Path) -> Arena:
    """Return an arena in `folder`: a project copy and a config, no cases and no submissions."""
    project = folder / "project"
    project.mkdir()
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            ignore = shutil.ignore_patterns("*.pyc", "*.tmp.*")  # compiled kernels come along
            shutil.copytree(source, project / part, symlinks=True, ignore=ignore)
        else:
            shutil.copy2(source, project / part)
    config = {
        "cases": {"images": "images", "labels": "labels"},
        "submissions": "submissions",
        "runtime": "process",
    }
    arena = Arena(folder, config)
    arena.add_protocol()
    return arena
