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
from segarena.predict.runners import Image, Limits, Outcome
from segarena.predict.runners.watch import reopen
from segarena.provenance import folder_digest


class ProcessRunner:
    """`sh predict.sh` in the submission's folder, INPUTS and OUTPUTS naming the two folders."""

    def base_id(self) -> str:
        return ""

    def ready(self, source: Path, base_id: str = "") -> Image:
        if not (source / "predict.sh").is_file():
            raise SubmissionError(f"{source}: runtime process needs a folder with a predict.sh")
        return {
            "runtime": "process",
            "source": str(source),
            "sha256": folder_digest(source),
            "image_id": None,
        }

    def run(self, image: Image, inputs: Path, outputs: Path, log: Path, limits: Limits) -> Outcome:
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
                    ["sh", "predict.sh"],
                    cwd=image["source"],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise EngineError(f"{image['source']}: cannot start sh ({error})") from error
            timed_out = False
            try:
                exit_code = process.wait(timeout=limits.seconds)
            except subprocess.TimeoutExpired:
                timed_out = True
            finally:
                _end_group(process)
            if timed_out:
                exit_code = process.returncode
        seconds = time.monotonic() - started
        reopen(outputs)
        return Outcome(exit_code, seconds=seconds, own_seconds=seconds, timed_out=timed_out)

    def by_hand(self, image: Image, inputs: Path, outputs: Path, limits: Limits) -> str:
        folders = shlex.join([f"INPUTS={inputs}", f"OUTPUTS={outputs}"])
        return f"cd {shlex.quote(image['source'])} && env {folders} sh predict.sh"


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End whatever the call left behind, background processes included."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
