"""Run a folder's predict.sh as a plain process: for trusted code only, nothing is isolated."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from segarena.errors import EngineError, SubmissionError
from segarena.predict import gpu
from segarena.predict.runners import Image, Limits, Outcome, Serving
from segarena.predict.runners.watch import reopen
from segarena.provenance import folder_digest

_LOOK_SECONDS = 0.05


class ProcessRunner:
    """`sh predict.sh` in the submission's folder, INPUTS and OUTPUTS naming the two folders."""

    def base_id(self) -> str:
        return ""

    def ready(self, source: Path, base_id: str = "") -> Image:
        if not (source / "predict.sh").is_file():
            raise SubmissionError(f"{source}: runtime process needs a folder with a predict.sh")
        serves = (source / "serve.sh").is_file()
        return {
            "runtime": "process",
            "source": str(source),
            "sha256": folder_digest(source),
            "image_id": None,
            "serves": serves,
        }

    def run(
        self,
        image: Image,
        inputs: Path,
        outputs: Path,
        log: Path,
        limits: Limits,
        serving: Serving | None = None,
    ) -> Outcome:
        environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "HOME": str(outputs.parent),
            "INPUTS": str(inputs),
            "OUTPUTS": str(outputs),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": ",".join(gpu.assigned()),
        }
        started = time.monotonic()
        with log.open("wb") as printed:
            try:
                process = subprocess.Popen(
                    ["sh", limits.script],
                    cwd=image["source"],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise EngineError(f"{image['source']}: cannot start sh ({error})") from error
            try:
                timed_out = _wait(process, started + limits.seconds, serving)
            finally:
                _end_group(process)
            exit_code = process.returncode
        seconds = time.monotonic() - started
        reopen(inputs, outputs)
        return Outcome(exit_code, seconds=seconds, own_seconds=seconds, timed_out=timed_out)

    def by_hand(self, image: Image, inputs: Path, outputs: Path, limits: Limits) -> str:
        folders = shlex.join([f"INPUTS={inputs}", f"OUTPUTS={outputs}"])
        path = f'PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"'
        return f"cd {shlex.quote(image['source'])} && env {path} {folders} sh predict.sh"


def _wait(process: subprocess.Popen[bytes], deadline: float, serving: Serving | None) -> bool:
    """Wait until a process ends; return whether it must be ended instead."""
    while serving is None or not serving.stop:
        left = deadline - time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=left if serving is None else min(left, _LOOK_SECONDS))
            return False
        if time.monotonic() >= deadline:
            break
    return True


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End whatever the call left behind, background processes included."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
