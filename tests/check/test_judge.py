"""What the calls of a check show; most is tested with real calls in test_mistakes.py."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segarena.check.cases import bundled
from segarena.check.judge import FAILED, NOT_JUDGED, _gpu_memory, _turn_of, judged, time_of
from segarena.check.report import Report
from segarena.protocol import load

FULL: dict[str, Any] = {
    "case": "one",
    "interaction": 1,
    "prompt": "box",
    "status": "out_of_memory",
    "message": "needed more memory than the limit of 4 GiB",
    "printed": "",
    "seconds": 5.0,
    "case_seconds": 5.0,
    "labels": 3,
    "peak_memory_bytes": 2**32,
    "invented_voxels": {},
    "scores": {"DSC": None, "NSD": None},
    "folder": "kept/one/1",
}


@pytest.mark.parametrize(("memory_gb", "level"), [(2**40, NOT_JUDGED), (0.001, FAILED)])
def test_memory_that_the_machine_lacks_is_not_the_submissions_fault(
    memory_gb: float, level: str
) -> None:
    """Where the challenge gives more than this machine has, the verdict is NOT JUDGED."""
    protocol = load("cvpr25")
    protocol["limits"] = {"memory_gb": memory_gb}
    report = Report("team", protocol, Path("kept"), calls=[FULL])
    report.findings = judged([FULL], protocol, {})
    (found,) = [one for one in report.findings if one.what == "out_of_memory"]
    assert found.level == level
    assert report.verdict == ("NOT JUDGED" if level == NOT_JUDGED else "FAIL")
    assert not report.passed


def test_time_counts_as_the_protocol_says() -> None:
    """Per case all calls so far, per call the one; three labels have three times the seconds."""
    call = {**FULL, "case_seconds": 12.0}
    assert time_of(call, {"time": {"seconds_per_label": 90, "per": "case"}}) == (12.0, 270)
    assert time_of(call, {"time": {"seconds_per_label": 90}}) == (5.0, 270)


def test_turned_answers_are_told_from_bad_ones(tmp_path: Path) -> None:
    """In the cube each turn is found by its name; neither the truth nor noise is turned."""
    bundled()["bundled-cube"].write(tmp_path)
    gts = np.load(tmp_path / "truth.npz")["gts"]
    assert _turn_of(gts, gts, {1}) == ""
    assert _turn_of(gts.transpose(2, 1, 0), gts, {1}) == "axes (x, y, z)"
    assert _turn_of(gts.transpose(0, 2, 1), gts, {1}) == "axes (z, x, y)"
    assert _turn_of(gts[:, ::-1], gts, {1}) == "y reversed"
    assert _turn_of(gts[::-1, :, ::-1], gts, {1}) == "z, x reversed"
    noise = np.random.default_rng(0).integers(0, 2, gts.shape).astype(np.uint8)
    assert _turn_of(noise, gts, {1}) == ""
    assert _turn_of(np.zeros_like(gts), gts, {1}) == ""


def test_an_answer_in_another_memory_order_is_found(tmp_path: Path) -> None:
    """An array (x, y, z) that was written into the image's shape is the truth, reshaped."""
    bundled()["bundled"].write(tmp_path)
    gts = np.load(tmp_path / "truth.npz")["gts"]
    answer = gts.transpose(2, 1, 0).reshape(gts.shape)
    assert _turn_of(answer, gts, {1, 2, 3}) == "reshaped from (x, y, z)"


def test_the_memory_of_a_gpu_is_said() -> None:
    """The most that any call held; nothing where no call had a GPU."""
    calls = [
        {**FULL, "status": "ok", "gpu_use": {"peak_memory_bytes": peak}}
        for peak in (None, 3 * 2**30)
    ]
    found = [*_gpu_memory(calls)]
    assert [one.detail for one in found] == ["3 GiB at most"]
    assert [*_gpu_memory([FULL])] == []
