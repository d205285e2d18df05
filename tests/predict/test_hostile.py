"""What a submission can do wrong, in real containers: each has its status, and the run goes on.

docs/isolation.md lists these tests line by line.
"""

import io
import pickle
import struct
import zipfile
from typing import Any

import numpy as np
import pytest

SHAPE = (4, 6, 8)
GOOD = np.zeros(SHAPE, np.uint8)
GOOD[1:3, 1:5, 2:6] = 1


def npz(array: np.ndarray, key: str = "segs") -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{key: array})
    return buffer.getvalue()


def zipped(content: bytes, packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        archive.writestr("segs.npy", content)
    return buffer.getvalue()


def header(shape: tuple[int, ...], dtype: str = "|u1", length: int | None = None) -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    version = b"\x93NUMPY\x02\x00"
    return version + struct.pack("<I", len(text) if length is None else length) + text


COPY = "cp answer.npz outputs/CASE.npz"

ANSWERS = {
    # name: (the file, status, what the message must say)
    "float": (npz(GOOD.astype(np.float32)), "ok", ""),
    "bool": (npz(GOOD.astype(bool)), "ok", ""),
    "int64": (npz(GOOD.astype(np.int64)), "ok", ""),
    "fortran order": (npz(np.asfortranarray(GOOD)), "ok", ""),
    "label not in the truth": (npz(GOOD * 7), "ok", ""),
    "half values": (npz(GOOD * np.float32(0.5)), "bad_answer", "not whole numbers"),
    "nan": (npz(np.where(GOOD, np.float32("nan"), 0)), "bad_answer", "not whole numbers"),
    "infinite": (npz(np.where(GOOD, np.float64("inf"), 0)), "bad_answer", "not whole numbers"),
    "negative": (npz(-GOOD.astype(np.int16)), "bad_answer", "negative label -1"),
    "huge label": (npz(GOOD.astype(np.uint64) << np.uint64(40)), "bad_answer", "above 65535"),
    "complex": (npz(GOOD.astype(np.complex64)), "bad_answer", "complex64"),
    "text": (npz(GOOD.astype(str)), "bad_answer", "expected whole numbers"),
    "wrong key": (npz(GOOD, "seg"), "bad_answer", "no key 'segs'; it has 'seg'"),
    "wrong shape": (npz(GOOD[1:]), "bad_answer", "shape (3, 6, 8), the image has (4, 6, 8)"),
    "one axis too many": (npz(GOOD[None]), "bad_answer", "drop the first axis"),
    "a single number": (npz(np.uint8(1)), "bad_answer", "shape ()"),
    "empty file": (b"", "bad_answer", "is empty"),
    "truncated zip": (npz(GOOD)[:-30], "bad_answer", "no whole .npz file"),
    "damaged data": (npz(GOOD)[:90] + b"\0\xff\0" + npz(GOOD)[93:], "bad_answer", "no whole"),
    "not a zip": (b"hello" * 100, "bad_answer", "no whole .npz file"),
    "bare npy": (header(SHAPE) + GOOD.tobytes(), "bad_answer", "no whole"),
    "bare pickle": (pickle.dumps([1]), "bad_answer", "no whole .npz file"),
    "promise of terabytes": (
        zipped(header((10**6, 10**6, 8)) + b"\0" * 100),
        "bad_answer",
        "shape (1000000, 1000000, 8)",
    ),
    "zip bomb behind an honest header": (
        zipped(header(SHAPE) + GOOD.tobytes() + b"\0" * (300 << 20)),
        "bad_answer",
        "unpacks to",
    ),
    "header of gigabytes": (zipped(header(SHAPE, length=2**31)), "bad_answer", "header is broken"),
    "nested header": (zipped(header(SHAPE).replace(b"4", b"(" * 5000)), "bad_answer", "header"),
    "packed with lzma": (zipped(npz(GOOD), zipfile.ZIP_LZMA), "bad_answer", "packed in a way"),
}

DEEDS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    # name: (predict.sh, more limits, status, what the message must say)
    "honest": (COPY, {}, "ok", ""),
    "exits non-zero": (f"{COPY}; exit 3", {}, "crashed", "exit code 3"),
    "exits 0 without a file": ("true", {}, "no_answer", "it is empty"),
    "wrong name": ("cp answer.npz outputs/case.npz", {}, "no_answer", "it holds 'case.npz'"),
    "link to the host": ("ln -s /etc/passwd outputs/CASE.npz", {}, "bad_answer", "a link"),
    "link to its own file": (
        "cp answer.npz outputs/a; ln -s a outputs/CASE.npz",
        {},
        "bad_answer",
        "a link",
    ),
    "hard link": (
        "cp answer.npz outputs/a; ln outputs/a outputs/CASE.npz",
        {},
        "bad_answer",
        "second name",
    ),
    "device": ("mknod outputs/CASE.npz c 1 5", {}, "crashed", "exit code 1"),
    "fifo": ("mkfifo outputs/CASE.npz", {}, "bad_answer", "a fifo"),
    "socket": (
        "nc -ll -l local:outputs/CASE.npz 2>/dev/null & "
        "python3 -c 'import socket; socket.socket(1).bind(\"outputs/CASE.npz\")'",
        {},
        "bad_answer",
        "a socket",
    ),
    "folder in place of the file": ("mkdir outputs/CASE.npz", {}, "bad_answer", "a folder"),
    "setuid file": (f"cp /bin/sh outputs/sh; chmod 4755 outputs/sh; {COPY}", {}, "ok", ""),
    "unreadable file": (f"{COPY}; chmod 000 outputs/CASE.npz outputs", {}, "ok", ""),
    "10 TB sparse file": (
        "truncate -s 10995116277760 outputs/CASE.npz",
        {},
        "bad_answer",
        "10,995,116,277,760 bytes",
    ),
    "100,000 files": (
        "i=0; while [ $i -lt 100000 ]; do : > outputs/$i; i=$((i+1)); done",
        {},
        "too_much_output",
        "more than 1,000 files",
    ),
    "gigabytes of output": (
        "cat /dev/zero > outputs/x",
        {},
        "too_much_output",
        "in the outputs folder",
    ),
    "gigabytes beside its input": (
        "cat /dev/zero > inputs/x",
        {},
        "too_much_output",
        "in outputs and beside the input",
    ),
    "gigabytes beside its code": (
        "cat /dev/zero > /workspace/x",
        {},
        "too_much_output",
        "written beside /tmp",
    ),
    "20,000 files beside its code": (
        "mkdir /workspace/d; cd /workspace/d; "
        "i=0; while [ $i -lt 1000000 ]; do : > $i; i=$((i+1)); done",
        {},
        "too_much_output",
        "files written beside /tmp",
    ),
    "gigabytes in /tmp": ("cat /dev/zero > /tmp/x || exit 5", {}, "crashed", "exit code 5"),
    "gigabytes in shared memory": (
        "cat /dev/zero > /dev/shm/x || exit 5",
        {"shared_memory_gb": 0.01},
        "crashed",
        "exit code 5",
    ),
    "fork bomb": (
        "b() { b | b & b; }; b",
        {"processes": 64, "seconds": 3},
        "crashed|timed_out",
        "",
    ),
    "all memory": (
        "x=a; while :; do x=$x$x; done",
        {"memory_gb": 0.05},
        "out_of_memory",
        "limit of 51.2 MiB",
    ),
    "a child eats all memory": (
        "sh -c 'x=a; while :; do x=$x$x; done'; exit 0",
        {"memory_gb": 0.05},
        "out_of_memory",
        "limit of 51.2 MiB",
    ),
    "sleeps for ever": ("sleep 100000", {"seconds": 1}, "timed_out", "stopped after"),
    "ignores SIGTERM": (
        "trap '' TERM INT HUP; while :; do sleep 1; done",
        {"seconds": 1},
        "timed_out",
        "stopped",
    ),
    "writes, then sleeps": (f"{COPY}; sleep 1000", {"seconds": 1}, "timed_out", "stopped"),
    "background process": (f"sleep 100000 & {COPY}", {}, "ok", ""),
    "prints 10 MB": (f"yes abcdefghi | head -c 10000000; {COPY}", {}, "ok", ""),
    "prints gigabytes": (
        f"yes abcdefghi; {COPY}",
        {"printed_gb": 0.02},
        "too_much_output",
        "20.5 MiB printed",
    ),
    "prints one line of 20 MB": (f"head -c 20000000 /dev/zero | tr '\\0' x; {COPY}", {}, "ok", ""),
    "closes what it prints to": (f"exec >&- 2>&-; sleep 1; {COPY}", {}, "ok", ""),
    "closes what it prints to, then sleeps": (
        "exec >&- 2>&-; sleep 1000",
        {"seconds": 2},
        "timed_out",
        "stopped after",
    ),
    "writes beside its code": (f"mkdir cache; date > cache/x; {COPY}", {}, "ok", ""),
    "may not write beside its code": (
        f"date > cache || exit 9; {COPY}",
        {"write_beside_code": False},
        "crashed",
        "exit code 9",
    ),
    "a program that is not executable": ("./answer.npz", {}, "crashed", "126"),
    "a program that is not there": ("python4 predict.py", {}, "crashed", "127"),
    "kills everything that it can": ("kill -9 -1; sleep 1; kill -9 $$", {}, "crashed", ""),
}


# Where there is no limit of the kernel's, but a look ten times a second.
WATCHED = {
    "gigabytes in /tmp": ("too_much_output", "in /tmp"),
    "gigabytes in shared memory": ("too_much_output", "in /dev/shm"),
    "fork bomb": (
        "too_much_output|crashed|timed_out",
        "",
    ),  # the kernel bounds it, the look ends it
}
CALLED = [(name, runtime) for name in DEEDS for runtime in ("docker", "podman", "apptainer")]


@pytest.mark.parametrize("name", ANSWERS)
def test_a_strange_answer_gives_its_status_and_a_message(name: str, call: Any) -> None:
    """A strange answer file is taken where it can be, and refused with the reason elsewhere."""
    content, status, words = ANSWERS[name]
    result = call(COPY, {"answer.npz": content})
    assert (result.status, words in result.message) == (status, True), result.message
    if status == "ok":
        assert result.segs.dtype == np.uint8
        assert ((result.segs > 0) == (GOOD > 0)).all()
    else:
        assert not result.segs.any()


@pytest.mark.parametrize(("name", "runtime"), CALLED, indirect=["runtime"])
def test_a_misdeed_gives_its_status_and_a_message(name: str, runtime: str, call: Any) -> None:
    """A misdeed ends in its status and a message that the team can act on, with every engine."""
    script, more, status, words = DEEDS[name]
    if runtime == "apptainer":
        status, words = WATCHED.get(name, (status, words))
    limits = {key: value for key, value in more.items() if key != "seconds"}
    time = {"seconds_per_label": more["seconds"]} if "seconds" in more else {}
    kind = "numpy" if name == "socket" else "tiny"
    result = call(script, {"answer.npz": npz(GOOD)}, kind=kind, limits=limits, time=time)
    assert result.status in status.split("|"), result.record
    assert words in result.message
    assert (result.segs == (GOOD if status == "ok" else 0)).all()
    assert len(result.log) < 300_000
