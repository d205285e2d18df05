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
from segarena.prompt.user import first_words, say_box

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
class Played:
    """What one interaction left behind."""

    segs: np.ndarray
    record: dict[str, Any]
    log: str


@pytest.fixture
def play(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    submission_archive: Callable[..., Path],
    missing: Callable[[str], None],
) -> Callable[..., Played]:
    """A factory: play("echo hi") runs that predict.sh in Apptainer on a small case, once."""
    if not shutil.which("apptainer"):
        missing("there is no Apptainer (tests/engines/install-apptainer.sh installs one)")
    monkeypatch.chdir(tmp_path)

    def once(predict_sh: str, **limits: Any) -> Played:
        folder = tmp_path / "submission"
        folder.mkdir()
        (folder / "predict.sh").write_text(predict_sh)
        np.savez(folder / "answer.npz", segs=np.ones(SHAPE, np.uint8))
        image = ApptainerRunner().ready(
            submission_archive(folder, tmp_path / "team.tar.gz", kind="tiny")
        )
        write_image(tmp_path / "image.npz", Image(np.zeros(SHAPE, np.uint8), (3, 1, 1), [BOX]))
        write_json(tmp_path / "said.json", {**say_box(first_words([1]), [BOX]), "interaction": 1})
        seconds = limits.pop("seconds", 30)
        answer(
            image=image,
            case="CASE",
            image_npz=tmp_path / "image.npz",
            said_json=tmp_path / "said.json",
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
        return Played(read_answer(tmp_path / "1.npz"), read_json(tmp_path / "1.json"), log)

    return once


def test_an_honest_submission_gives_its_answer(play: Callable[..., Played]):
    """The archive is built once, run, and its answer counts."""
    played = play(HONEST)
    assert played.record["status"] == "ok"
    assert (played.segs == 1).all()
    assert played.record["runtime"] == "apptainer"


def test_exit_code_255_is_the_submissions_when_its_program_ran(play: Callable[..., Played]):
    """Apptainer's own code for what it cannot start is not mistaken for the program's."""
    played = play("echo 'FATAL: not really' >&2; exit 255")
    assert (played.record["status"], played.record["exit_code"]) == ("crashed", 255)


def test_a_hanging_submission_is_stopped_with_all_its_children(play: Callable[..., Played]):
    """Nothing of the call runs any more afterwards."""
    played = play("sleep 4242 & sleep 4242", seconds=2)
    assert played.record["status"] == "timed_out"
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if _is_sleep(path)]


def test_too_many_processes_end_the_call(play: Callable[..., Played]):
    """A flood of processes is stopped from outside."""
    played = play("i=0; while [ $i -lt 400 ]; do sleep 20 & i=$((i+1)); done; wait")
    assert played.record["status"] == "too_much_output"
    assert "processes" in played.record["message"]


def test_a_call_is_shut_in(play: Callable[..., Played], monkeypatch: pytest.MonkeyPatch):
    """No network, no capability, nothing of the host's files, processes or environment."""
    monkeypatch.setenv("SECRET", "told")
    monkeypatch.setenv("APPTAINER_BIND", "/root:/host")
    played = play(
        "cat /proc/net/dev; grep CapEff /proc/self/status; env; ls / /host /root /home; "
        "ls -d /proc/[0-9]*; echo x > inputs/x || echo inputs are read-only; "
        "echo x > beside && echo beside the code; " + HONEST
    )
    assert played.record["status"] == "ok"
    log = played.log
    assert "eth0" not in log
    assert "CapEff:\t0000000000000000" in log
    assert "SECRET" not in log
    assert "No such file or directory" in log
    assert "inputs are read-only" in log
    assert "beside the code" in log
    assert log.count("/proc/") < 20


def test_the_devices_of_the_job_reach_the_call(
    play: Callable[..., Played], monkeypatch: pytest.MonkeyPatch
):
    """CUDA_VISIBLE_DEVICES names exactly the job's devices, and --nv is asked for."""
    monkeypatch.setenv("SEGARENA_GPUS", "MIG-1,GPU-2")
    played = play("echo have $CUDA_VISIBLE_DEVICES; " + HONEST)
    assert "have MIG-1,GPU-2" in played.log


def test_without_devices_no_gpu_is_seen(play: Callable[..., Played]):
    """Nothing uses a GPU unasked."""
    played = play('echo "have ($CUDA_VISIBLE_DEVICES)"; ' + HONEST)
    assert "have ()" in played.log


def test_an_archive_that_cannot_be_built_is_ours(play: Callable[..., Played], tmp_path: Path):
    """A missing archive is the infrastructure's failure; nobody scores 0 for it."""
    image = {"source": str(tmp_path / "gone.tar.gz"), "image_id": "sha256:0"}
    with pytest.raises(EngineError, match="gone"):
        ApptainerRunner()._sif(image)


def test_a_folder_runs_in_an_archive_as_well(
    play: Callable[..., Played], tmp_path: Path, submission_archive: Callable[..., Path]
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


def test_a_base_that_is_not_there_is_the_configs_error(play: Callable[..., Played], tmp_path: Path):
    """The line says what base_image means with this runtime."""
    (tmp_path / "predict.sh").write_text("true")
    with pytest.raises(ConfigError, match=r"no file .python:3\.12.; .* a SIF file"):
        ApptainerRunner("python:3.12").ready(tmp_path)


def _is_sleep(path: Path) -> bool:
    try:
        return b"4242" in path.read_bytes()
    except OSError:
        return False
