"""What only Apptainer needs; tests/predict/test_hostile.py has the misdeeds with every engine."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segarena.case import Image, read_answer, write_image
from segarena.errors import ConfigError, EngineError
from segarena.files import read_json, write_json
from segarena.predict.runners import Limits
from segarena.predict.runners.apptainer import ApptainerRunner
from segarena.predict.session import answer
from segarena.prompt.user import no_prompts, with_box

SHAPE = (4, 6, 8)
BOX = dict.fromkeys(("z_min", "z_mid", "z_mid_x_min", "z_mid_y_min"), 1)
BOX |= {"z_max": 2, "z_mid_x_max": 5, "z_mid_y_max": 4}
RULES: dict[str, Any] = {
    "name": "test",
    "version": 1,
    "on_failure": "previous",
    "time": {"seconds_per_label": 30, "per": "case", "on_overtime": "zero"},
    "limits": {"memory_gb": 0.3, "output_gb": 0.01, "tmp_gb": 0.05, "processes": 200},
}
HONEST = "cp answer.npz outputs/CASE.npz"


@dataclass(frozen=True)
class CallResult:
    """What one interaction left behind."""

    segs: np.ndarray
    record: dict[str, Any]
    log: str


@pytest.fixture
def call(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    submission_archive: Callable[..., Path],
    missing: Callable[[str], None],
) -> Callable[..., CallResult]:
    """A factory: call("echo hi") runs that predict.sh in Apptainer on a small case, once."""
    if not shutil.which("apptainer"):
        missing("there is no Apptainer (tests/engines/install-apptainer.sh installs one)")
    monkeypatch.chdir(tmp_path)

    def once(predict_sh: str, **limits: Any) -> CallResult:
        folder = tmp_path / "submission"
        folder.mkdir()
        (folder / "predict.sh").write_text(predict_sh)
        np.savez(folder / "answer.npz", segs=np.ones(SHAPE, np.uint8))
        image = ApptainerRunner().ready(
            submission_archive(folder, tmp_path / "team.tar.gz", kind="tiny")
        )
        write_image(tmp_path / "image.npz", Image(np.zeros(SHAPE, np.uint8), (3, 1, 1), [BOX]))
        write_json(
            tmp_path / "prompts.json", {**with_box(no_prompts([1]), [BOX]), "interaction": 1}
        )
        seconds = limits.pop("seconds", 30)
        answer(
            image=image,
            case="CASE",
            image_npz=tmp_path / "image.npz",
            prompts_json=tmp_path / "prompts.json",
            previous_npz=None,
            rules=RULES
            | {
                "limits": RULES["limits"] | limits,
                "time": {"seconds_per_label": seconds, "per": "case", "on_overtime": "zero"},
            },
            answer_npz=tmp_path / "1.npz",
            record_json=tmp_path / "1.json",
        )
        log = (tmp_path / "1.log").read_text()
        return CallResult(read_answer(tmp_path / "1.npz"), read_json(tmp_path / "1.json"), log)

    return once


def test_an_honest_submission_gives_its_answer(call: Callable[..., CallResult]):
    """The archive is built once, run, and its answer counts."""
    result = call(HONEST)
    assert result.record["status"] == "ok"
    assert (result.segs == 1).all()
    assert result.record["runtime"] == "apptainer"


def test_exit_code_255_is_the_submissions_when_its_program_ran(call: Callable[..., CallResult]):
    """Apptainer's own code for what it cannot start is not mistaken for the program's."""
    result = call("echo 'FATAL: not really' >&2; exit 255")
    assert (result.record["status"], result.record["exit_code"]) == ("crashed", 255)


def test_a_hanging_submission_is_stopped_with_all_its_children(call: Callable[..., CallResult]):
    """Nothing of the call runs any more afterwards."""
    result = call("sleep 4242 & sleep 4242", seconds=2)
    assert result.record["status"] == "timed_out"
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if _is_sleep(path)]


def test_too_many_processes_end_the_call(call: Callable[..., CallResult]):
    """A flood of processes is stopped from outside."""
    result = call("i=0; while [ $i -lt 400 ]; do sleep 20 & i=$((i+1)); done; wait")
    assert result.record["status"] == "too_much_output"
    assert "processes" in result.record["message"]


def test_a_call_is_shut_in(call: Callable[..., CallResult], monkeypatch: pytest.MonkeyPatch):
    """No network, no capability, nothing of the host's files, processes or environment."""
    monkeypatch.setenv("SECRET", "told")
    monkeypatch.setenv("APPTAINER_BIND", "/root:/host")
    result = call(
        "cat /proc/net/dev; grep CapEff /proc/self/status; env; ls / /host /root /home; "
        "ls -d /proc/[0-9]*; echo x > inputs/x && echo inputs can be written; "
        "echo x > beside && echo beside the code; " + HONEST
    )
    assert result.record["status"] == "ok"
    log = result.log
    assert "eth0" not in log
    assert "CapEff:\t0000000000000000" in log
    assert "SECRET" not in log
    assert "No such file or directory" in log
    assert "inputs can be written" in log
    assert "beside the code" in log
    assert log.count("/proc/") < 20


def test_the_devices_of_the_job_reach_the_call(
    call: Callable[..., CallResult], monkeypatch: pytest.MonkeyPatch
):
    """CUDA_VISIBLE_DEVICES names exactly the job's devices, and --nv is asked for."""
    monkeypatch.setenv("SEGARENA_GPUS", "MIG-1,GPU-2")
    result = call("echo have $CUDA_VISIBLE_DEVICES; " + HONEST)
    assert "have MIG-1,GPU-2" in result.log


def test_without_devices_no_gpu_is_seen(call: Callable[..., CallResult]):
    """Nothing uses a GPU unasked."""
    result = call('echo "have ($CUDA_VISIBLE_DEVICES)"; ' + HONEST)
    assert "have ()" in result.log


def test_an_archive_that_cannot_be_built_is_ours(call: Callable[..., CallResult], tmp_path: Path):
    """A missing archive is the infrastructure's failure; nobody scores 0 for it."""
    image = {"source": str(tmp_path / "gone.tar.gz"), "image_id": "sha256:0"}
    with pytest.raises(EngineError, match="gone"):
        ApptainerRunner()._sif(image)


def test_a_folder_runs_in_an_archive_as_well(
    call: Callable[..., CallResult], tmp_path: Path, submission_archive: Callable[..., Path]
):
    """base_image may be a docker archive; what it has in /workspace is hidden by the folder."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "hello").write_text("hello from the base")
    base = submission_archive(tmp_path / "base", tmp_path / "base.tar.gz", kind="tiny")
    folder, calls = tmp_path / "ada", tmp_path / "calls"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "x").write_text("hello from the folder")
    (folder / "predict.sh").write_text("ls hello; cat data/x; date > data/y || echo read-only")
    for name in ("inputs", "outputs"):
        (calls / name).mkdir(parents=True)
    image = ApptainerRunner(str(base)).ready(folder)
    places = calls / "inputs", calls / "outputs", calls / "log"
    outcome = ApptainerRunner().run(image, *places, Limits(30, 2**29))
    log = (calls / "log").read_text()
    assert outcome.exit_code == 0
    assert "ls: hello: No such file" in log
    assert "hello from the folder" in log
    assert "read-only" in log


def test_a_base_that_is_not_there_is_the_configs_error(
    call: Callable[..., CallResult], tmp_path: Path
):
    """The line says what base_image means with this runtime."""
    (tmp_path / "predict.sh").write_text("true")
    with pytest.raises(ConfigError, match=r"no file .python:3\.12.; .* a SIF file"):
        ApptainerRunner("python:3.12").ready(tmp_path)


def _is_sleep(path: Path) -> bool:
    try:
        return b"4242" in path.read_bytes()
    except OSError:
        return False
