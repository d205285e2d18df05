"""Answers are read on a budget, and only a disk that fails is put down to us."""

import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from segarena.case import npy_bytes
from segarena.predict.answer import BadAnswer, NoAnswer, take_answer

SHAPE = (4, 6, 8)
SEGS = np.arange(192, dtype=np.uint8).reshape(SHAPE) % 3
MANY = 1 << 30


def answer(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("segs.npy", npy_bytes(SEGS))
    return path


def test_a_byte_of_the_end_record_is_the_answers_fault(tmp_path: Path):
    """Each byte of an answer's directory and end record changed in four ways: the good label map or
    a BadAnswer, never an error of ours (17 such bytes used to stop the run)."""
    path = answer(tmp_path / "c1.npz")
    good = path.read_bytes()
    rejected = 0
    for place in range(good.index(b"PK\x01\x02"), len(good)):
        for change in (0x01, 0x80, 0xFF, 0x55):
            path.write_bytes(good[:place] + bytes([good[place] ^ change]) + good[place + 1 :])
            try:
                assert (take_answer(path, SHAPE, MANY) == SEGS).all()
            except BadAnswer:
                rejected += 1
    assert rejected > 100


@pytest.mark.parametrize("offset", [0xFFFFFFFE, 0x80000000, 1 << 20])
def test_a_directory_that_begins_elsewhere_is_the_answers_fault(offset: int, tmp_path: Path):
    """An offset before the start or behind the end of the file."""
    path = answer(tmp_path / "c1.npz")
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, len(content) - 6, offset)
    path.write_bytes(content)
    with pytest.raises(BadAnswer, match=r"c1\.npz is no whole \.npz file"):
        take_answer(path, SHAPE, MANY)


def test_a_message_is_one_printable_line(tmp_path: Path):
    """Names of members and what a header declares are the stranger's; the message is bounded."""
    path = tmp_path / "c1.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(5):
            archive.writestr(f"{number}\x1b[2J\n" + "x" * 60_000, b"")
    with pytest.raises(BadAnswer) as caught:
        take_answer(path, SHAPE, MANY)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_an_outputs_folder_that_is_gone_holds_no_answer(tmp_path: Path):
    """A program that removed it, or put a file in its place, has given no answer."""
    with pytest.raises(NoAnswer, match="the outputs folder is gone"):
        take_answer(tmp_path / "outputs" / "c1.npz", SHAPE, MANY)
    (tmp_path / "outputs").write_text("")
    with pytest.raises(NoAnswer, match="the outputs folder is gone"):
        take_answer(tmp_path / "outputs" / "c1.npz", SHAPE, MANY)


@pytest.mark.parametrize("closed", ["folder", "answer", "both"])
def test_what_a_program_closed_to_us_is_read(closed: str, tmp_path: Path):
    """With Apptainer the program runs as the caller, so `chmod 000` closes the answer to us too."""
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    path = answer(outputs / "c1.npz")
    child = os.fork()
    if child == 0:
        ended = 1
        try:
            if os.geteuid() == 0:
                for place in (tmp_path, *tmp_path.parents):
                    if place.stat().st_uid == os.geteuid() and place != Path("/"):
                        place.chmod(place.stat().st_mode | 0o055)
                for place in (outputs, path):
                    os.chown(place, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
            if closed in ("answer", "both"):
                path.chmod(0)
            if closed in ("folder", "both"):
                outputs.chmod(0)
            ended = 0 if (take_answer(path, SHAPE, MANY) == SEGS).all() else 1
        finally:
            os._exit(ended)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
