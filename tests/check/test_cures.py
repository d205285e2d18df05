"""What is printed leads to what its author can do."""

import pytest

from segarena.check.cures import cure_of, shell_warnings

PRINTED = {
    # what programs print in a container as ours: what the cure must say
    "OSError: [Errno 30] Read-only file system: '/workspace/cache'": "/workspace/cache",
    "sh: can't create /workspace/x: Read-only file system": "read-only",
    "PermissionError: [Errno 13] Permission denied: '/data/x'": "may not use /data/x",
    "PermissionError: [Errno 13] Permission denied: '/.cache'": "ENV HOME=/tmp",
    "PermissionError: [Errno 13] Permission denied: '/root/.cache/torch'": "ENV HOME=/tmp",
    "PermissionError: [Errno 13] Permission denied: '/workspace/outputs/x'": "do not change its",
    "mkdir: can't create directory '//.cache/': Permission denied": "ENV HOME=/tmp",
    "mkdir: cannot create directory '/data/x': Permission denied": "may not use /data/x",
    "sh: 1: cannot create tmp.txt: Permission denied": "may not use tmp.txt",
    "predict.sh: 2: ./run.sh: Permission denied": "chmod +x ./run.sh",
    "socket.gaierror: [Errno -3] Temporary failure in name resolution": "put weights",
    "wget: bad address 'example.org'": "put weights",
    "OSError: We couldn't connect to 'https://huggingface.co'": "HF_HUB_OFFLINE",
    "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find": "HF_HUB_OFFLINE",
    "RuntimeError: unable to open shared memory object </torch_1>": "num_workers=0",
    "unable to write to file </torch_1>: No space left on device (28)": "num_workers=0",
    "OSError: [Errno 28] No space left on device": "8 GiB in /tmp, 2 GiB in /dev/shm",
    "dd: error writing '/dev/shm/x': No space left on device": "shared memory",
    "ModuleNotFoundError: No module named 'numpy._core'": "versions of numpy",
    "A module that was compiled using NumPy 1.x cannot be run in NumPy 2": "versions of numpy",
    "ModuleNotFoundError: No module named 'torch'": "lacks the Python module torch",
    "RuntimeError: Found no NVIDIA driver on your system.": "--gpu",
    "AssertionError: Torch not compiled with CUDA enabled": "torch without CUDA",
    "RuntimeError: Attempting to deserialize object on a CUDA device": "map_location='cpu'",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate": "smaller patches",
    "RuntimeError: CUDA error: no kernel image is available": "CUDA architecture",
    "ImportError: libGL.so.1: cannot open shared object file": "opencv-python-headless",
    "ImportError: libgomp.so.1: cannot open shared object file": "libgomp.so.1",
    "RuntimeError: cannot cache function: no locator available for file": "NUMBA_CACHE_DIR=/tmp",
    "exec python3: Exec format error": "--platform",
    "sh: 0: cannot open predict.sh: No such file": "copy it there",
    "predict.sh: line 1: python4: not found": "python4",
    "KeyError: 'boxes is not a file in the archive'": "ask for each",
    "ValueError: Object arrays cannot be loaded when allow_pickle=False": "allow_pickle=True",
    "IndexError: index 46 is out of bounds for axis 0 with size 20": "(z, y, x)",
    "main.py: error: unrecognized arguments: sh predict.sh": "ENTRYPOINT []",
    "/usr/bin/sh: /usr/bin/sh: cannot execute binary file": "ENTRYPOINT []",
    "predict.sh: 1: set: Illegal option -o pipefail": "not by bash",
    "predict.sh: 1: set: Illegal option -": "Windows line ends",
    "python3: can't open file '/workspace/predict.py\\r': [Errno 2]": "Windows line ends",
    "predict.sh: line 2: \n: not found": "Windows line ends",
    "Segmentation fault (core dumped)": "faulthandler",
}


def crashed(printed: str, **more: object) -> dict[str, object]:
    message = "predict.sh ended with exit code 1"
    return {"status": "crashed", "message": message, "printed": printed, **more}


@pytest.mark.parametrize("printed", PRINTED)
def test_every_usual_failure_has_its_cure(printed: str) -> None:
    """What a program prints leads to what its author can do."""
    assert PRINTED[printed] in cure_of(crashed(printed))


def test_the_last_error_counts() -> None:
    """What the shell complained of before did not end the program."""
    printed = "predict.sh: 1: source: not found\nModuleNotFoundError: No module named 'torch'\nbye"
    assert "torch" in cure_of(crashed(printed))
    assert "source" not in cure_of(crashed("predict.sh: 1: source: not found\nValueError: no"))


def test_who_runs_is_named() -> None:
    """A user reads who he is; root reads that he has no capabilities."""
    denied = crashed("PermissionError: [Errno 13] Permission denied: '/data'")
    assert "runs as user 1000," in cure_of(denied, "user 1000")
    assert "capabilities" not in cure_of(denied, "user 1000")


SHAPES = {
    "(1, 20, 64, 72)": "segs=labels[0]",
    "(20, 64, 72, 1)": "labels[..., 0]",
    "(4, 20, 64, 72)": "channels.argmax(0)",
    "(20, 64, 72, 4)": "channels.argmax(-1)",
    "(72, 64, 20)": "transpose(2, 1, 0)",
    "(64, 20, 72)": "transpose(1, 0, 2)",
    "(92160,)": "shape (20, 64, 72)",
    "(10, 32, 36)": "undo crops",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_wrong_shape_has_its_own_cure(shape: str) -> None:
    """Axes too many, one channel per label, and other orders each have their own cure."""
    message = f"'segs' has the shape {shape}, the image has (20, 64, 72)"
    assert SHAPES[shape] in cure_of({"status": "bad_answer", "message": message, "printed": ""})


def test_a_wrong_name_is_no_matter_of_the_log() -> None:
    """What was printed on the way is no cure where the answer has another name."""
    message = "no 'a.npz' in the outputs folder (it holds 'a.nii.gz'); use the input file's name"
    call = {"status": "no_answer", "message": message, "printed": "x: not found"}
    assert "os.path.basename" in cure_of(call)


@pytest.mark.parametrize("status", ["no_answer", "bad_answer", "timed_out", "out_of_memory"])
def test_a_failure_without_words_has_a_cure_too(status: str) -> None:
    """Where nothing was printed the status alone says what to do."""
    assert cure_of({"status": status, "message": "", "printed": ""})


SHELL_LINES = {
    "predict.sh: 1: source: not found": "`. ./FILE`",
    "predict.sh: 3: [[: not found": "[ ... ]",
    "predict.sh: 2: conda: not found": "/opt/conda/envs",
    "predict.sh: 2: pip: not found": "no network",
    "predict.sh: line 2: model: command not found": "calls model",
    "predict.sh: 4: Bad substitution": "not by bash",
}


@pytest.mark.parametrize("line", SHELL_LINES)
def test_what_the_shell_complains_of_is_found(line: str) -> None:
    """Each complaint has its line and its own cure."""
    ((found, cure),) = shell_warnings(f"loading\n{line}\ndone\n")
    assert found == line
    assert SHELL_LINES[line] in cure


def test_a_programs_own_words_are_no_complaint() -> None:
    """A log that speaks of what it did not find is none of the shell's."""
    assert not shell_warnings("checkpoint not found, using the default\nno syntax error\n")
