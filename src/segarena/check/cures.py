"""What a program prints when it goes wrong, and what its author can do about it."""

import math
import re
from typing import Any

Call = dict[str, Any]

NETWORK = (
    r"Temporary failure in name resolution|Network is unreachable|Name or service not known|"
    r"Failed to resolve|Max retries exceeded|bad address|[Cc]ould not resolve host|"
    r"We couldn't connect to|LocalEntryNotFoundError|Failed to establish a new connection"
)
_NETWORK_CURE = (
    "needs the network, and there is none: put weights and other files into the image when it is "
    "built (for Hugging Face also ENV HF_HUB_OFFLINE=1)"
)
_SH_CANNOT = r"(?:can't|cannot) (?:create|touch|open|remove) (?:directory )?"
_NOT_BASH = "predict.sh is run by sh, not by bash"
_HOME = "write to /tmp: ENV HOME=/tmp in the Dockerfile moves all caches there"
_NAME_CURE = (
    "write the answer under the input file's own name: os.path.join(outputs, "
    "os.path.basename(input_path))"
)

# What sh prints for what it does not know, and goes on.
SHELL = (
    (r"\bsource: not found", f"{_NOT_BASH}: write `. ./FILE` in place of `source FILE`"),
    (r"\[\[: not found", f"{_NOT_BASH}: write [ ... ] in place of [[ ... ]]"),
    (
        r"\bconda: not found|Run 'conda init'|CondaError: Run",
        "call the environment's own python by its path, such as /opt/conda/envs/NAME/bin/python, "
        "in place of `conda activate`",
    ),
    (
        r"\b(pip3?|wget|curl|apt-get|apt): not found",
        "{0} is not in the image, and there is no network: install everything when the image is "
        "built",
    ),
    (
        r"[\"']?\(\"? unexpected|Syntax error",
        f"{_NOT_BASH}: put the script into main.sh and write `exec bash main.sh` in predict.sh",
    ),
    (
        r"Illegal option -o pipefail|set: -: invalid option|Bad substitution",
        f"{_NOT_BASH}: leave out what bash alone knows, or put the script into main.sh and write "
        "`exec bash main.sh` in predict.sh",
    ),
    (
        r"([^\s:'\"]+): (?:command )?not found",
        "calls {0}, which the image does not have: install it when the image is built",
    ),
)

_CARRIAGE_RETURN = (
    "predict.sh has Windows line ends: run `sed -i 's/\\r$//' predict.sh` and build again; set the "
    "editor, or git (core.autocrlf=input), to LF"
)

CURES = (
    (
        r"\.(?:py|sh)\\r'|Illegal option -\s*\??\s*$|: \??: not found|: not found\?$|"
        r"\\r': command not found|^: not found$|\^M: ",
        _CARRIAGE_RETURN,
    ),
    (
        rf"{_SH_CANNOT}'?([^:'\n]+)'?: Read-only file",
        "writes to {0}, which is read-only at run time: move it to /tmp",
    ),
    (
        r"Read-only file system: '?([^'\n]+)",
        "writes to {0} at run time: move it to /tmp, or do it when the image is built",
    ),
    (
        r"no locator available for file",
        "numba has no place for its cache: ENV NUMBA_CACHE_DIR=/tmp in the Dockerfile",
    ),
    (
        r"Permission denied: '?(/workspace/outputs[^'\n]*|/[^'\n]*outputs/[^'\n]*)",
        "may not write {0}, although everybody may write to outputs: do not change its mode or its "
        "owner, and remove a file of your own there before you write it again",
    ),
    (
        r"Permission denied: '?((?:/root|/+\.|/home)[^'\n]*|[^'\n]*\.cache[^'\n]*)",
        f"may not write {{0}}: {_HOME}",
    ),
    (
        rf"{_SH_CANNOT}'?((?:/root|/+\.|/home)[^':\n]*)'?: Permission denied",
        f"may not write {{0}}: {_HOME}",
    ),
    (
        r"Permission denied: '?([^'\n]+)",
        "runs as {user}, who may not use {0}: write to /tmp or to outputs, or give it to that user "
        "when the image is built (COPY --chown, RUN chmod a+rX)",
    ),
    (
        rf"{_SH_CANNOT}'?([^:'\n]+)'?: Permission denied",
        "runs as {user}, who may not use {0}: write to /tmp or to outputs",
    ),
    (
        r"([^\s:]+): Permission denied",
        "{0} is not executable: RUN chmod +x {0} in the Dockerfile, or call it with its "
        "interpreter (sh {0}, python3 {0})",
    ),
    (NETWORK, _NETWORK_CURE),
    (
        r"/dev/shm|unable to (?:open|allocate|mmap) shared memory|</torch_|Bus error",
        "uses more shared memory (/dev/shm) than there is ({shm:g} GiB): use fewer workers in data "
        "loaders (num_workers=0), and put files elsewhere",
    ),
    (
        r"No space left on device",
        "fills its room: {tmp:g} GiB in /tmp, {shm:g} GiB in /dev/shm, {disk:g} GiB elsewhere; "
        "write less",
    ),
    (
        r"numpy\._core|compiled using NumPy 1\.x|numpy\.dtype size changed",
        "mixes versions of numpy: pin the version that the program was made with in the image",
    ),
    (
        r"libGL\.so\.1|libgthread-2\.0|libSM\.so",
        "opencv needs libraries of a screen: install opencv-python-headless in place of "
        "opencv-python",
    ),
    (
        r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file",
        "lacks the library {0}: install the package that has it when the image is built",
    ),
    (
        r"No module named '?([\w.]+)",
        "lacks the Python module {0}: install it in the image, for the python of predict.sh",
    ),
    (
        r"Torch not compiled with CUDA",
        "the image has a torch without CUDA: install the CUDA build, or use the CPU "
        "(torch.cuda.is_available() tells)",
    ),
    (
        r"Attempting to deserialize object on a CUDA device",
        "the weights are of a GPU and there is none here: torch.load(path, map_location='cpu'), or "
        "check with --gpu",
    ),
    (
        r"CUDA out of memory|CUDA error: out of memory|OutOfMemoryError: CUDA",
        "needs more memory than the GPU has: smaller patches, float16, torch.no_grad()",
    ),
    (
        r"no kernel image is available",
        "its torch is not built for this GPU: install a build for its CUDA architecture",
    ),
    (
        r"No CUDA GPUs are available|Found no NVIDIA driver|CUDA driver version is insufficient|"
        r"libcuda\.so\.1",
        "needs a GPU, which this check did not have: check with --gpu where there is one, or use "
        "the CPU where torch.cuda.is_available() is False",
    ),
    (
        r"[Ee]xec format error",
        "holds programs for another kind of processor: build with --platform linux/amd64",
    ),
    (
        r"(?:can't open|cannot open) '?predict\.sh|predict\.sh: No such file",
        "has no predict.sh in its working directory: set WORKDIR in the Dockerfile, copy it there",
    ),
    (
        r"Object arrays cannot be loaded when allow_pickle=False",
        "boxes and clicks are object arrays: np.load(path, allow_pickle=True)",
    ),
    (
        r"KeyError: ['\"]?(?:boxes|clicks|clicks_order|scribbles|scribbles_order|prev_pred)",
        "assumes that every input has boxes, clicks and prev_pred: ask for each with `in`",
    ),
    (
        r"IndexError: index \d+ is out of bounds for axis",
        "goes beyond the image: clicks are (z, y, x), and the image is (z, y, x); only spacing is "
        "(x, y, z)",
    ),
    (
        r"unrecognized arguments: sh predict\.sh|cannot execute binary file",
        "the image's ENTRYPOINT does not run `sh predict.sh`: ENTRYPOINT [] in the Dockerfile",
    ),
    (
        r"unable to find user ([\w.-]+)",
        "the Dockerfile has USER {0}, whom the image does not know: RUN useradd {0} before it",
    ),
    (
        r"[Ss]egmentation fault|exit code 139",
        "a compiled library breaks: run the call again (below) with `python3 -X faulthandler`, "
        "which says where; often two versions do not fit",
    ),
    (
        r"exit code 137|^Killed$",
        "it was killed, most often for its memory: use less",
    ),
    (
        r"is that of an earlier call",
        "write the answer again at each call, also where nothing has changed",
    ),
    (
        r"'segs' is an array of Python objects",
        "save a plain array: np.savez_compressed(path, segs=np.asarray(labels, np.uint8))",
    ),
    (
        r"has no key 'segs'",
        "give the array its name: np.savez_compressed(path, segs=labels)",
    ),
    (
        r"values that are not whole numbers",
        "probabilities are no label map: with background as the first channel write "
        "np.argmax(probabilities, axis=0).astype(np.uint8); of a single label write "
        "(probability > 0.5).astype(np.uint8)",
    ),
    (
        r"the negative label|the label \d+, above",
        "write 0 for background and the labels' own numbers, 1 to n",
    ),
)

STATUS_CURES = {
    "no_answer": "write the label map to outputs under the input file's own name; the log shows "
    "whether the program broke off before (add `set -e` to predict.sh, leave out `|| true`)",
    "bad_answer": "save it with np.savez_compressed(path, segs=labels), labels as uint8 (D, H, W)",
    "timed_out": "speed it up, or return a partial answer before the limit",
    "out_of_memory": "use less memory: work on the box's surroundings, or in float16",
    "too_much_output": "write the one answer file only, and print less",
    "crashed": "predict.sh must end with exit code 0, which is that of its last command; the log "
    "and the call itself (below) show more",
    "bad_image": "save the archive again",
}
_LOG_COUNTS = {"crashed", "no_answer", "timed_out", "too_much_output"}


def cure_of(call: Call, user: str = "") -> str:
    """Return what the author can do about a call that failed; user: who the program runs as."""
    return _of_message(call) or _of_log(call, user) or _of_status(call)


def _of_message(call: Call) -> str:
    """Return the cure where our own message is enough, whatever was printed, else ""."""
    if call["status"] == "out_of_memory":
        return STATUS_CURES["out_of_memory"]
    return _NAME_CURE if "(it holds " in call["message"] else _shape_cure(call["message"])


def _of_log(call: Call, user: str) -> str:
    """Return the cure of what stands last in the log: what was before did not end the program."""
    message = call["message"]
    printed = f"{message}\n{call['printed']}" if call["status"] in _LOG_COUNTS else message
    last, cure = -1, ""
    for pattern, text in (*CURES, *_at_the_end(printed)):
        for found in re.finditer(pattern, printed, re.MULTILINE):
            line = printed.count("\n", 0, found.start())
            if line > last:
                last, cure = line, _filled(text, found, call, user)
    return cure


def _of_status(call: Call) -> str:
    if call["status"] == "crashed" and call.get("perfect_label"):
        return (
            "one label had no error left, so no click was added for it and clicks_order ends in "
            "None there: leave such a label as it is"
        )
    if "ENTRYPOINT (" in call["message"]:
        return "the log shows what the ENTRYPOINT ran; write ENTRYPOINT [] in the Dockerfile"
    return STATUS_CURES[call["status"]]


def _at_the_end(printed: str) -> tuple[tuple[str, str], ...]:
    """Return the shell's complaints where they are the last that was printed: sh goes on after."""
    last = "\n".join(printed.rstrip().splitlines()[-1:])
    return tuple((p, cure) for p, cure in SHELL if re.search(p, last))[:1]


def _filled(text: str, found: re.Match[str], call: Call, user: str) -> str:
    groups = [group for group in found.groups() if group]
    limits = call.get("room", {})
    rooms = {"tmp": limits.get("tmp_gb", 8), "shm": limits.get("shared_memory_gb", 2)}
    return text.format(*groups, user=user or "root", disk=limits.get("disk_gb", 4), **rooms)


def _shape_cure(message: str) -> str:
    """Return the cure of an answer of another shape than the image's, "" where it has it."""
    found = re.search(r"'segs' has the shape \(([\d, ]*)\), the image has \(([\d, ]*)\)", message)
    if not found:
        return ""
    answer, image = (tuple(map(int, re.findall(r"\d+", group))) for group in found.groups())
    channels = "one channel per label is no label map: with background as the first channel write "
    without = "without it np.where(channels.max(0) > 0.5, channels.argmax(0) + 1, 0)"
    cures = (
        (answer == (1, *image), "drop the first axis: segs=labels[0]"),
        (answer == (*image, 1), "drop the last axis: segs=labels[..., 0]"),
        (answer[1:] == image, f"{channels}channels.argmax(0).astype(np.uint8), {without}"),
        (answer[:-1] == image, f"{channels}channels.argmax(-1).astype(np.uint8)"),
        (answer == image[::-1], "its axes are (x, y, z): segs=labels.transpose(2, 1, 0)"),
        (
            sorted(answer) == sorted(image) and len(set(image)) == len(image),
            "its axes are in another order: segs=labels.transpose"
            f"({', '.join(str(answer.index(size)) for size in image if size in answer)})",
        ),
        (
            math.prod(answer) == math.prod(image),
            f"write it in the image's shape {image}, which is (z, y, x)",
        ),
    )
    otherwise = (
        f"answer on the image's own voxels {image}: undo crops, padding and resampling (nearest "
        "neighbour for labels)"
    )
    return next((cure for fits, cure in cures if fits), otherwise)


def shell_warnings(printed: str) -> list[tuple[str, str]]:
    """Return the lines in which sh complains, each with its cure, however the call ended."""
    found = []
    for line in printed.splitlines():
        cures = ((p, cure, re.search(p, line)) for p, cure in SHELL)
        match = next(((cure, m) for _, cure, m in cures if m), None)
        if match and re.search(r"not found|Illegal option|Syntax error|[Bb]ad substitution", line):
            cure, where = match
            found.append((line.strip(), cure.format(*(g for g in where.groups() if g))))
    return found
