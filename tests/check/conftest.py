"""A submission's folder, a short protocol, and a check of both."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from segarena.cli import main
from segarena.protocol import DATA

# Fills each box and paints a small cube at each click.
GOOD = """
import os
import numpy as np
inputs, outputs = os.environ["INPUTS"], os.environ["OUTPUTS"]
name = sorted(os.listdir(inputs))[0]
case = np.load(os.path.join(inputs, name), allow_pickle=True)
shape = case["imgs"].shape[:3]
segs = case["prev_pred"].copy() if "prev_pred" in case else np.zeros(shape, np.uint8)
if "prev_pred" not in case:
    for label, b in enumerate(case["boxes"] if "boxes" in case else (), 1):
        segs[b["z_min"]:b["z_max"] + 1, b["z_mid_y_min"]:b["z_mid_y_max"] + 1,
             b["z_mid_x_min"]:b["z_mid_x_max"] + 1] = label
for label, clicks in enumerate(case["clicks"] if "clicks" in case else (), 1):
    for kind, value in (("fg", label), ("bg", 0)):
        for z, y, x in clicks[kind]:
            segs[max(z - 1, 0):z + 2, max(y - 1, 0):y + 2, max(x - 1, 0):x + 2] = value
labels = segs
np.savez_compressed(os.path.join(outputs, name), segs=labels)
"""
SCRIPT = 'python3 "$(dirname "$0")/predict.py"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A submission's folder that answers well, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "team"
    made.mkdir()
    (made / "predict.sh").write_text(SCRIPT)
    (made / "predict.py").write_text(GOOD)
    return made


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """A protocol of a box and a click, with the limits of cvpr25."""
    protocol = yaml.safe_load((DATA / "config" / "protocols" / "cvpr25.yaml").read_text())
    protocol["name"] = "short"
    protocol["user"][1]["times"] = 1
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump(protocol))
    return path


@pytest.fixture
def report(short: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """A factory: the exit code and the JSON report of a check.

    only: the case to run, "" for all.
    """

    def check(
        submission: Path | str, *more: str, runtime: str = "process", only: str = "bundled"
    ) -> dict[str, Any]:
        words = [str(submission), "--protocol", str(short), "--runtime", runtime, "--json", *more]
        words += ["--only", only] * bool(only)
        code = main(["check", *words])
        return {"code": code, **json.loads(capsys.readouterr().out)}

    return check


@pytest.fixture
def protocol_of(tmp_path: Path) -> Callable[..., str]:
    """A factory: the path of a bundled protocol, changed."""

    def write(name: str, **changes: Any) -> str:
        path = tmp_path / "changed.yaml"
        protocol = yaml.safe_load((DATA / "config" / "protocols" / f"{name}.yaml").read_text())
        path.write_text(yaml.safe_dump({**protocol, "name": "changed", **changes}))
        return str(path)

    return write


@pytest.fixture
def finding() -> Callable[..., dict[str, Any]]:
    """A factory: the one finding of a report with this title."""

    def find(checked: dict[str, Any], what: str) -> dict[str, Any]:
        (found,) = [one for one in checked["findings"] if one["what"] == what]
        return found

    return find
