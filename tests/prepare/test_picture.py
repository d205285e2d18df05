import numpy as np
import pytest
from PIL import Image as Pillow

from segarena.errors import CaseError
from segarena.prepare.nifti import check_case, prepare_case
from segarena.prepare.picture import read_picture

ROWS, COLUMNS = 6, 9


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "images" / "p.png"
    path.parent.mkdir()
    grey = np.arange(ROWS * COLUMNS, dtype=np.uint8).reshape(ROWS, COLUMNS)
    Pillow.fromarray(grey).save(path)
    return path


@pytest.fixture
def label(tmp_path):
    path = tmp_path / "labels" / "p.png"
    path.parent.mkdir()
    Pillow.fromarray(labels()).save(path)
    return path


def labels():
    array = np.zeros((ROWS, COLUMNS), np.uint8)
    array[1:3, 4:8] = 255
    return array


def prepared(image, label, **options):
    chosen = {"case": "p", "modality": None, "window": None, "box": True, "seed": 1} | options
    return prepare_case(image, label, **chosen)


def test_a_grey_picture_is_one_slice_of_rows_and_columns(image, label):
    """Row and column of the picture are y and x; a pixel is 1 mm; 255 becomes label 1."""
    case, truth, warnings = prepared(image, label, window="26.5/53")
    assert case.imgs.shape == (1, ROWS, COLUMNS)
    assert case.imgs[0, 5, 8] == 255
    assert case.imgs[0, 0, 5] == int(5 / 53 * 255)
    assert case.spacing_mm == (1.0, 1.0, 1.0)
    assert truth.label_ids == {1: 255}
    assert (truth.gts == (labels() > 0)).all()
    box = case.boxes[0]
    assert [box[key] for key in ("z_mid_x_min", "z_mid_x_max", "z_mid_y_min", "z_mid_y_max")] == [
        4,
        7,
        1,
        2,
    ]
    assert warnings == []


def test_a_colour_picture_keeps_its_channels(image, label):
    """RGB pixels are taken as they are."""
    colours = np.arange(ROWS * COLUMNS * 3, dtype=np.uint8).reshape(ROWS, COLUMNS, 3)
    Pillow.fromarray(colours).save(image)
    assert (prepared(image, label)[0].imgs == colours[None]).all()


def test_sixteen_bits_are_read_as_they_are(image):
    """A 16-bit PNG keeps its values."""
    deep = (np.arange(ROWS * COLUMNS, dtype=np.uint16) * 1000).reshape(ROWS, COLUMNS)
    Pillow.fromarray(deep).save(image)
    pixels = read_picture(image).data[:, :, 0].T
    assert (pixels == deep).all()


def test_one_bit_is_a_mask(image, label):
    """A PNG of one bit a pixel is an image of black and white and a label map of one label."""
    Pillow.fromarray(labels() > 0).save(label)
    Pillow.fromarray(labels() > 0).save(image)
    case, truth, _ = prepared(image, label)
    assert (case.imgs == np.where(truth.gts, 255, 0)).all()
    assert truth.label_ids == {1: 1}


def test_a_palette_holds_labels_in_a_label_map_and_colours_in_an_image(image, label):
    """The index of a palette is the label; of an image it is the colour that counts."""
    picture = Pillow.fromarray(labels() // 255 * 2, mode="P")
    picture.putpalette([0, 0, 0, 9, 9, 9, 200, 100, 50])
    picture.save(image)
    picture.save(label)
    case, truth, _ = prepared(image, label)
    assert case.imgs[0, 1, 4].tolist() == [200, 100, 50]
    assert truth.label_ids == {1: 2}


@pytest.mark.parametrize(("mode", "shape"), [("RGBA", (1, 6, 9, 3)), ("LA", (1, 6, 9))])
def test_alpha_is_left_out_with_a_warning(image, label, mode, shape):
    """Transparency is no intensity."""
    Pillow.open(image).convert(mode).save(image)
    case, _, (warning,) = prepared(image, label)
    assert case.imgs.shape == shape
    assert warning == f"{image}: the alpha channel is left out"


def test_a_jpeg_is_read(image, label):
    """A JPEG may be an image."""
    jpeg = image.with_suffix(".jpg")
    Pillow.new("RGB", (COLUMNS, ROWS), (10, 200, 30)).save(jpeg)
    case, _, _ = prepared(jpeg, label)
    assert np.abs(case.imgs.astype(int) - [10, 200, 30]).max() <= 3


def test_a_rotation_in_the_exif_is_a_warning(image, label):
    """A rotation that only viewers apply is told and not applied."""
    jpeg = image.with_suffix(".jpg")
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.new("L", (COLUMNS, ROWS), 7).save(jpeg, exif=exif)
    case, _, warnings = prepared(jpeg, label)
    assert case.imgs.shape == (1, ROWS, COLUMNS)
    assert f"{jpeg}: its EXIF rotation is not applied" in warnings


def refusal(image, label):
    with pytest.raises(CaseError) as raised:
        prepared(image, label)
    assert check_case(image, label) == [str(raised.value)]
    return str(raised.value)


def test_sizes_that_differ_are_refused(image, label):
    """A label map of another size names both."""
    Pillow.fromarray(labels()[:-1]).save(label)
    assert "its shape (9, 5, 1) is not the image's, (9, 6, 1)" in refusal(image, label)


def test_a_colour_label_map_is_refused(image, label):
    """Colours are no labels, even where they look grey."""
    Pillow.open(label).convert("RGB").save(label)
    assert refusal(image, label).startswith(f"{label}: colours or other values")


def test_an_empty_label_map_is_refused(image, label):
    """A black label map has nothing to segment."""
    Pillow.new("L", (COLUMNS, ROWS)).save(label)
    assert refusal(image, label).startswith(f"{label}: the label map is empty; ")


def test_what_is_no_picture_is_refused(image, label):
    """A file that only has the name is told."""
    image.write_bytes(b"no picture")
    assert refusal(image, label) == (
        f"{image}: not a PNG or JPEG picture but a text file, not the data"
    )


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "GIF", "BMP"])
def test_labels_in_another_format_under_the_name_png_are_refused(image, label, kind):
    """A label map that is JPEG or another format inside is told, whatever its name says."""
    Pillow.fromarray(labels()).convert("RGB" if kind == "WEBP" else "L").save(label, format=kind)
    line = refusal(image, label)
    assert line.startswith(f"{label}: {kind} in spite of its name")
    assert line.endswith("use PNG")


def disc(smooth):
    """Return a disc of 255 whose edge is drawn `smooth` times finer and averaged."""
    fine = np.hypot(*np.mgrid[-15 : 15 : 30j * smooth, -20 : 20 : 40j * smooth]) < 9.5
    blocks = fine.reshape(30, smooth, 40, smooth).mean(axis=(1, 3))
    return (blocks * 255).astype(np.uint8)


@pytest.mark.parametrize("smooth", [2, 4, 16])
def test_a_mask_with_soft_edges_is_a_warning(image, label, smooth):
    """An antialiased mask is played with each grey value as a label, and a warning says so."""
    Pillow.fromarray(disc(smooth)).save(image)
    Pillow.fromarray(disc(smooth)).save(label)
    _, truth, warnings = prepared(image, label)
    assert len(truth.labels) >= 4
    assert any("a mask with soft edges" in warning for warning in warnings)


def test_a_mask_that_was_a_jpeg_once_is_a_warning(image, label, tmp_path):
    """A PNG made from a JPEG has the JPEG's noise around its edges: many labels, all thin."""
    Pillow.fromarray(disc(1)).save(image)
    Pillow.fromarray(disc(1)).save(tmp_path / "lossy.jpg")
    Pillow.open(tmp_path / "lossy.jpg").save(label)
    _, _, warnings = prepared(image, label)
    assert any("a mask with soft edges" in warning for warning in warnings)


def test_many_real_labels_are_no_soft_mask(image, label):
    """Twelve cells of their own ids, some only a line of pixels, are labels."""
    cells = np.zeros((30, 40), np.uint8)
    for number in range(12):
        row, column = 2 + number // 4 * 9, 1 + number % 4 * 9
        cells[row : row + (1 if number % 3 else 5), column : column + 5] = number + 1
    Pillow.fromarray(cells).save(image)
    Pillow.fromarray(cells).save(label)
    assert prepared(image, label)[2] == []


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_picture_is_refused(image, label, damage):
    """A PNG cut off, or with a flipped bit that its checksum finds, is not read."""
    content = bytearray(image.read_bytes())
    if damage == "truncated":
        content = content[:60]
    else:
        content[50] ^= 0xFF
    image.write_bytes(bytes(content))
    assert refusal(image, label).startswith(f"{image}: cannot be read")


def test_several_frames_are_refused(image, label):
    """An animation is several pictures."""
    frames = [Pillow.new("L", (COLUMNS, ROWS), value) for value in (1, 2)]
    frames[0].save(image, save_all=True, append_images=frames[1:])
    assert refusal(image, label) == f"{image}: 2 frames: give one picture per file"
