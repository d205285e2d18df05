"""An answer is asked for again unless it is certain that it need not be."""

from pathlib import Path
from typing import Any

import pytest

from segarena.files import read_json, write_json
from segarena.predict import kept

IMAGE = {"sha256": "a", "image_id": "b", "runtime": "docker", "source": "/here/team.tar.gz"}


class Call:
    """Writes an answer and a record, and counts how often."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.times = folder, 0
        self.answer, self.record = folder / "1.npz", folder / "1.json"

    def __call__(self) -> None:
        self.times += 1
        self.answer.write_bytes(b"answer %d" % self.times)
        write_json(self.record, {"status": "ok", "time": self.times})

    def once(self, mark: str, **also: Any) -> bool:
        return kept.once(self.answer, self.record, mark, self, **also)

    def lose_outputs(self) -> None:
        """Delete what Snakemake deletes before it runs a job."""
        self.answer.unlink()
        self.record.unlink()


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """A call that was made once, as "mark"."""
    made = Call(tmp_path)
    assert made.once("mark", gpu=None)
    return made


def test_a_kept_answer_comes_back(call: Call):
    """Answer and record are as they were, and nothing is called."""
    before = call.answer.read_bytes(), call.record.read_bytes()
    call.lose_outputs()
    assert not call.once("mark")
    assert (call.answer.read_bytes(), call.record.read_bytes()) == before
    assert call.times == 1


def test_the_record_tells_what_else_is_to_be_known(call: Call):
    """What the caller adds stands beside what the call wrote."""
    record = read_json(call.record)
    assert record["gpu"] is None
    assert record["status"] == "ok"


def test_other_inputs_are_another_call(call: Call):
    """An answer made from something else is not used."""
    call.lose_outputs()
    assert call.once("another mark")
    assert call.times == 2


def test_a_damaged_answer_is_asked_for_again(call: Call):
    """An answer that is not the one its record tells of is not used."""
    call.lose_outputs()
    (call.folder / ".kept" / "1.npz").write_bytes(b"half an ans")
    assert call.once("mark")


def test_the_same_call_elsewhere_is_not_made_again(call: Call, tmp_path: Path):
    """An answer made from the same is copied: same bytes, another file, and nothing is called."""
    other = Call(tmp_path)
    other.answer, other.record = tmp_path / "b" / "1.npz", tmp_path / "b" / "1.json"
    other.answer.parent.mkdir()
    assert not other.once("mark", same=call.answer)
    assert other.answer.read_bytes() == call.answer.read_bytes()
    assert other.record.read_bytes() == call.record.read_bytes()
    assert not other.answer.samefile(call.answer)
    assert other.times == 0


def test_another_call_elsewhere_is_not_used(call: Call, tmp_path: Path):
    """What it was made from decides, not where it lies."""
    other = Call(tmp_path / "b")
    other.folder.mkdir()
    assert other.once("another mark", same=call.answer)


def test_half_a_record_is_no_record(call: Call):
    """A record that cannot be read keeps nothing."""
    call.lose_outputs()
    (call.folder / ".kept" / "1.json").write_text("{")
    assert call.once("mark")


def test_a_call_that_fails_keeps_nothing(tmp_path: Path):
    """The infrastructure's failure leaves no answer for the next job to find."""

    def fails() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        kept.once(tmp_path / "1.npz", tmp_path / "1.json", "mark", fails)
    assert not list(tmp_path.rglob("*.json"))


def test_a_second_name_takes_no_bytes(call: Call):
    """The kept answer is the same file."""
    assert call.answer.samefile(call.folder / ".kept" / "1.npz")


def test_the_mark_follows_what_decides_and_nothing_else(tmp_path: Path):
    """A moved archive is the same submission; another image, file or protocol part is not."""
    said, other = tmp_path / "said", tmp_path / "other"
    said.write_text("click")
    other.write_text("no click")
    values = {"code": "1", "gpu": False}
    mark = kept.made_from(image=IMAGE, files=[said], values=values)
    moved = {**IMAGE, "source": "/there/team.tar.gz"}
    assert kept.made_from(image=moved, files=[said], values=values) == mark
    assert kept.made_from(image={**IMAGE, "image_id": "c"}, files=[said], values=values) != mark
    assert kept.made_from(image=IMAGE, files=[other], values=values) != mark
    assert kept.made_from(image=IMAGE, files=[said], values={**values, "gpu": True}) != mark
