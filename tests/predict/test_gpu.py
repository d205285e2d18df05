"""Which devices a job gets, with a driver that is only played: no GPU is needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segarena.errors import ConfigError, EngineError
from segarena.predict import gpu

TWO = "0, GPU-aaaa, NVIDIA H200, 570.1\n1, GPU-bbbb, NVIDIA H200, 570.1\n"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A factory: driver(text) puts an nvidia-smi on the PATH that prints this."""
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "SEGARENA_GPUS", "SEGARENA_CLUSTER_JOB"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def install(text: str) -> None:
        command = tmp_path / "nvidia-smi"
        command.write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\n")
        command.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        gpu.installed.cache_clear()

    yield install
    gpu.installed.cache_clear()


def test_without_the_key_no_device_is_taken(driver, monkeypatch: pytest.MonkeyPatch):
    """A GPU that is visible is not used unasked."""
    driver(TWO)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with gpu.taken(0):
        assert gpu.assigned() == ()
        assert gpu.described() is None


def test_slurms_devices_are_passed_by_uuid(driver, monkeypatch: pytest.MonkeyPatch):
    """A number counts within the job; a Docker daemon outside of it needs the UUID."""
    driver("0, GPU-cccc, NVIDIA H200, 570.1\n")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SEGARENA_CLUSTER_JOB", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with gpu.taken(1):
        assert gpu.assigned() == ("GPU-cccc",)
        assert gpu.described() == {
            "devices": ["GPU-cccc"],
            "model": "NVIDIA H200",
            "driver": "570.1",
        }


def test_slices_of_a_gpu_are_passed_as_they_are(driver, monkeypatch: pytest.MonkeyPatch):
    """MIG UUIDs reach the container; the model is the GPU's that they are cut from."""
    driver("0, GPU-cccc, NVIDIA H200, 570.1\n")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SEGARENA_CLUSTER_JOB", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-11,MIG-22")
    with gpu.taken(1):
        assert gpu.assigned() == ("MIG-11", "MIG-22")
        assert gpu.described()["model"] == "NVIDIA H200"


def test_a_slurm_job_without_a_device_is_our_failure(driver, monkeypatch: pytest.MonkeyPatch):
    """The submission is not run on a CPU when it should have had a GPU."""
    driver(TWO)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SEGARENA_CLUSTER_JOB", "1")
    with pytest.raises(EngineError, match="no GPU"), gpu.taken(1):
        pass


def test_two_jobs_never_share_a_device(driver, tmp_path: Path):
    """The second job takes the other device, and the third waits until one is free."""
    driver(TWO)
    program = (
        "import sys, time\nfrom segarena.predict import gpu\n"
        "with gpu.taken(2):\n print(gpu.assigned()[0], flush=True)\n sys.stdin.read()\n"
    )
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(Path(gpu.__file__).parents[2])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        assert {job.stdout.readline().strip() for job in jobs} == {"GPU-aaaa", "GPU-bbbb"}
        jobs[0].kill()  # a killed job gives its device back
        with gpu.taken(2):
            assert len(gpu.assigned()) == 1
    finally:
        for job in jobs:
            job.kill()
            job.communicate()


def test_a_job_waits_for_a_free_device(driver, tmp_path: Path):
    """With one slot, a second job gets the device only when the first has given it back."""
    driver(TWO)
    ended = tmp_path / "ended"
    program = (
        "import pathlib, sys, time\nfrom segarena.predict import gpu\n"
        "with gpu.taken(1):\n print('held', flush=True)\n time.sleep(1)\n"
        " pathlib.Path(sys.argv[1]).touch()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(gpu.__file__).parents[2])}
    job = subprocess.Popen(
        [sys.executable, "-c", program, ended], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert job.stdout.readline() == "held\n"
    with gpu.taken(1):
        assert ended.exists()
        assert gpu.assigned() == ("GPU-aaaa",)
    job.communicate()


def test_more_gpus_than_there_are_is_told_before_any_job(driver):
    """One line names the key and what to write."""
    driver(TWO)
    gpu.check(2, cluster=False)
    with pytest.raises(ConfigError, match=r"gpus: is 3, but 2 can be used here; write 2"):
        gpu.check(3, cluster=False)


def test_no_driver_is_no_gpu(driver, monkeypatch: pytest.MonkeyPatch):
    """A machine without nvidia-smi has none."""
    driver("")
    with pytest.raises(ConfigError, match="0 can be used here"):
        gpu.check(1, cluster=False)


def test_a_cluster_without_gpus_is_told_before_any_job(
    driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """sinfo names the nodes' devices."""
    driver("")
    sinfo = tmp_path / "sinfo"
    sinfo.write_text("#!/bin/sh\necho '(null)'\n")
    sinfo.chmod(0o755)
    with pytest.raises(ConfigError, match="no node of this cluster has a GPU"):
        gpu.check(1, cluster=True)
    sinfo.write_text("#!/bin/sh\necho 'gpu:h200:8(S:0-1)'\n")
    gpu.check(1, cluster=True)


def test_only_what_the_user_made_visible_is_handed_out(driver, monkeypatch: pytest.MonkeyPatch):
    """CUDA_VISIBLE_DEVICES of one's own shell narrows the slots."""
    driver(TWO)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with gpu.taken(1):
        assert gpu.assigned() == ("GPU-bbbb",)


def test_a_local_run_in_an_allocation_gives_each_call_one_device(
    driver, monkeypatch: pytest.MonkeyPatch
):
    """salloc and JupyterHub set SLURM_JOB_ID too: there a call has one of the visible devices."""
    driver(TWO)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with gpu.taken(2):
        assert gpu.assigned() == ("GPU-aaaa",)


def test_jobs_of_slurm_are_marked(driver, monkeypatch: pytest.MonkeyPatch):
    """A run with Slurm's executor marks its jobs, which then have all that Slurm gave them."""
    driver(TWO)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("SEGARENA_CLUSTER_JOB", "")
    gpu.mark_jobs(cluster=True)
    with gpu.taken(1):
        assert gpu.assigned() == ("GPU-aaaa", "GPU-bbbb")
    gpu.mark_jobs(cluster=False)
    with gpu.taken(2):
        assert gpu.assigned() == ("GPU-aaaa",)
