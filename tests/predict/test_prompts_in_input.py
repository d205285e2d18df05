"""What a submission reads of scribbles, of several clicks at once, and of boxes drawn anew."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from segarena.case import BOX_KEYS, Image, write_image
from segarena.predict.session import make_input

BOX = dict(zip(BOX_KEYS, (0, 3, 1, 4, 3, 9, 8), strict=True))
NOTHING = {"fg": [], "bg": []}
PROMPTS = {
    "labels": [1, 2],
    "boxes": None,
    "clicks": [NOTHING, NOTHING],
    "clicks_order": [[], []],
}


@pytest.fixture
def image_npz(tmp_path: Path) -> Path:
    """A prepared image with a box a label."""
    path = tmp_path / "c.image.npz"
    write_image(path, Image(np.zeros((4, 12, 12), np.uint8), (1.0, 1.0, 1.0), [BOX, BOX]))
    return path


def read(image_npz: Path, **prompts) -> dict[str, np.ndarray]:
    """What numpy loads of the input made from the prompts."""
    path = image_npz.with_name("c.npz")
    make_input(path, image_npz, {**PROMPTS, **prompts}, np.ones((4, 12, 12), np.uint8))
    with zipfile.ZipFile(path) as archive:
        assert len(set(archive.namelist())) == len(archive.namelist())
        assert archive.testzip() is None
        for name in archive.namelist():  # numpy before 1.26 knows no numpy._core
            assert b"numpy._core" not in archive.read(name)
    return dict(np.load(io.BytesIO(path.read_bytes()), allow_pickle=True))


def test_boxes_alone_bring_no_answer_before(image_npz: Path):
    """The prepared image as it is, and nothing else."""
    assert set(read(image_npz, boxes=[BOX, BOX])) == {"imgs", "spacing", "boxes"}


def test_boxes_drawn_anew_take_the_place_of_the_cases(image_npz: Path):
    """A jittered box, or one box less where a label is ignored."""
    moved = {**BOX, "z_mid_x_min": 0}
    assert read(image_npz, boxes=[moved, BOX])["boxes"].tolist() == [moved, BOX]
    assert read(image_npz, boxes=[BOX])["boxes"].tolist() == [BOX]


def test_scribbles_come_with_the_answer_before_and_without_clicks(image_npz: Path):
    """One entry per label in plain integers, and no key without prompts."""
    scribbles = [{"fg": [[0, 1, 2], [0, 1, 3]], "bg": []}, NOTHING]
    rounds = [[scribbles[0]], [NOTHING]]
    found = read(image_npz, scribbles=scribbles, scribbles_order=rounds)
    assert set(found) == {"imgs", "spacing", "scribbles", "scribbles_order", "prev_pred"}
    assert found["scribbles_order"].tolist() == rounds
    assert found["scribbles_order"].shape == (2,)
    assert found["scribbles"].tolist() == scribbles
    assert type(found["scribbles"][0]["fg"][0][0]) is int
    assert (found["prev_pred"] == 1).all()


def test_labels_clicked_unequally_often_have_lists_in_their_order(image_npz: Path):
    """Three clicks and one: an object array of lists, which every numpy reads."""
    clicks = [{"fg": [[0, 1, 2], [0, 2, 2]], "bg": [[0, 5, 5]]}, {"fg": [[0, 9, 9]], "bg": []}]
    order = [["fg", "fg", "bg"], ["fg"]]
    found = read(image_npz, clicks=clicks, clicks_order=order)
    assert found["clicks"].tolist() == clicks
    assert found["clicks_order"].dtype == object
    assert found["clicks_order"].tolist() == order


def test_labels_clicked_equally_often_have_the_references_order(image_npz: Path):
    """A rectangular array of text, as the reference evaluation writes it."""
    clicks = [{"fg": [[0, 1, 2]], "bg": []}, {"fg": [], "bg": [[0, 9, 9]]}]
    found = read(image_npz, clicks=clicks, clicks_order=[["fg"], ["bg"]])
    assert found["clicks_order"].dtype.kind == "U"
    assert found["clicks_order"].shape == (2, 1)
