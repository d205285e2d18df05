import gzip
import logging
import struct

import nibabel
import numpy as np
import pytest

from segarena.errors import CaseError
from segarena.prepare.nifti import answer_to_nifti, prepare_case
from segarena.prepare.volume import read_volume


def rejected(path):
    with pytest.raises(CaseError) as raised:
        read_volume(path)
    line = str(raised.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line


@pytest.fixture
def plain(pair):
    """An uncompressed copy of the image."""
    path = pair.images / "plain.nii"
    path.write_bytes(gzip.decompress(pair.image.read_bytes()))
    return path


def patched(path, offset, content):
    data = bytearray(path.read_bytes())
    data[offset : offset + len(content)] = content
    path.write_bytes(bytes(data))


def test_a_good_file_is_read_as_nibabel_reads_it(pair):
    """Voxels, affine and spacing of a plain file are what nibabel says."""
    volume = read_volume(pair.image)
    expected = nibabel.load(pair.image)
    assert (volume.data == np.asarray(expected.dataobj)).all()
    assert (volume.affine == expected.affine).all()
    assert volume.spacing == pytest.approx(expected.header.get_zooms())
    assert volume.warnings == []


@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_truncated_gzip_is_refused(pair, part):
    """A gzip that was not copied whole is told as truncated."""
    content = pair.image.read_bytes()
    pair.image.write_bytes(content[: int(len(content) * part)])
    assert "truncated" in rejected(pair.image)


def test_a_gzip_without_its_last_bytes_is_refused(pair):
    """All voxels may be there: without CRC and length the file is not whole."""
    pair.image.write_bytes(pair.image.read_bytes()[:-8])
    assert "truncated" in rejected(pair.image)


def test_a_wrong_crc_is_refused(pair):
    """nibabel does not look at the CRC; here a flipped bit is found."""
    content = bytearray(pair.image.read_bytes())
    content[-8] ^= 1
    pair.image.write_bytes(bytes(content))
    assert "damaged" in rejected(pair.image)


def test_damaged_deflate_data_are_refused(pair):
    """Bytes that are no deflate stream end in one line."""
    content = pair.image.read_bytes()
    pair.image.write_bytes(content[:10] + b"\xff" * 50 + content[60:])
    assert "damaged" in rejected(pair.image)


def test_bytes_after_the_gzip_are_refused_unless_they_are_zeros(pair):
    """Padding is harmless; anything else means that the file is not what was written."""
    content = pair.image.read_bytes()
    pair.image.write_bytes(content + bytes(512))
    assert read_volume(pair.image).warnings == []
    pair.image.write_bytes(content + b"abc")
    assert "damaged" in rejected(pair.image)


FOREIGN = {
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n": "`git lfs pull`",
    b"\n<!DOCTYPE html><html><head>": "a web page",
    b"<HTML><body>404": "a web page",
    b"<?xml version='1.0'?><Error>": "an XML text",
    b"PK\x03\x04" + bytes(600): "a zip archive: unpack it",
    bytes(128) + b"DICM" + bytes(500): "DICOM: convert the series to NIfTI",
    b"NRRD0004\ntype: short\n": "NRRD: convert it",
    b"ObjectType = Image\n": "MetaImage",
    b"\x89HDF\r\n\x1a\n" + bytes(600): "HDF5",
    b"id,age\n1,40\n": "a text file",
    bytes(1000): "nothing but zeros",
    b"": "an empty file",
}


@pytest.mark.parametrize("content", FOREIGN, ids=FOREIGN.values())
@pytest.mark.parametrize("form", ["plain", "named gz", "inside gz"])
def test_what_is_no_image_is_told_by_name_with_what_to_do(tmp_path, content, form):
    """A git-lfs pointer, a web page, DICOM and others are named, plain or inside a gzip."""
    path = tmp_path / ("c.nii" if form == "plain" else "c.nii.gz")
    path.write_bytes(gzip.compress(content) if form == "inside gz" else content)
    line = rejected(path)
    assert line.startswith(f"{path}: not a NIfTI file but ")
    assert FOREIGN[content] in line


@pytest.mark.parametrize("inter", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("slope", [1.0, 2.5])
def test_a_shift_that_is_no_number_is_refused(pair, slope, inter):
    """A slope that is whole with a scl_inter that is none is told with both."""
    pair.write_image(scl_slope=slope, scl_inter=inter)
    assert rejected(pair.image).endswith(
        "set scl_inter to a number, 0 where values are not shifted"
    )


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_a_slope_that_is_none_scales_nothing(pair, slope):
    """Without a slope values are as stored, whatever scl_inter says, as NIfTI has it."""
    pair.write_image(scl_slope=slope, scl_inter=np.nan)
    assert (read_volume(pair.image).data == pair.image_data).all()


@pytest.mark.parametrize("codes", [(6, 6), (100, 0), (0, 6), (6, 1), (1, 32000)])
def test_a_form_code_that_nifti_does_not_have_is_a_form(pair, codes):
    """Any code above 0 says that there is a form, as in niftilib and ITK, and a warning says so."""
    expected = read_volume(pair.image).affine
    pair.write_image(sform_code=codes[0], qform_code=codes[1])
    volume = read_volume(pair.image)
    assert volume.affine == pytest.approx(expected, abs=1e-4)
    (warning,) = volume.warnings
    assert f"sform and qform codes are {codes}, NIfTI has 0 to 5" in warning


def test_an_answer_to_a_form_code_that_nifti_does_not_have_lies_in_the_same_place(pair, tmp_path):
    """Exported, the answer has codes that every reader takes as forms, and the image's affine."""
    pair.write_image(sform_code=6, qform_code=6)
    pair.write_label(sform_code=6, qform_code=6)
    _, truth, _ = prepare_case(
        pair.image, pair.label, case="c", modality=None, window=None, box=True, seed=1
    )
    nibabel.save(answer_to_nifti(truth.gts, truth), tmp_path / "answer.nii")
    back = nibabel.load(tmp_path / "answer.nii")
    assert (int(back.header["sform_code"]), int(back.header["qform_code"])) == (2, 2)
    assert back.affine == pytest.approx(read_volume(pair.image).affine)


def test_a_missing_byte_is_refused(plain):
    """An uncompressed file one byte short is told with both numbers."""
    plain.write_bytes(plain.read_bytes()[:-1])
    assert "7x6x5 voxels of int16 need 772 bytes, the file has 771" in rejected(plain)


def test_a_header_alone_is_refused(plain):
    """A header without voxels is told."""
    plain.write_bytes(plain.read_bytes()[:352])
    assert "truncated" in rejected(plain)


def test_less_than_a_header_is_refused(plain):
    """A file that ends within its header is none."""
    plain.write_bytes(plain.read_bytes()[:200])
    assert "not a NIfTI file, or cut off within its header" in rejected(plain)


def test_an_empty_file_is_refused(plain):
    """Nothing at all is no NIfTI file."""
    plain.write_bytes(b"")
    assert "not a NIfTI file" in rejected(plain)


def test_an_empty_gzip_is_refused(pair):
    """A gzip file of no bytes is no NIfTI file."""
    pair.image.write_bytes(b"")
    assert "not a NIfTI file" in rejected(pair.image)


@pytest.mark.parametrize("which", ["compressed", "plain"])
def test_dimensions_that_the_file_cannot_hold_are_refused_before_they_are_allocated(
    pair, plain, which
):
    """A header of 32767 voxels along each axis asks for 70 TB: it gets none."""
    path = plain
    patched(plain, 40, struct.pack("<4h", 3, 32767, 32767, 32767))
    if which == "compressed":
        path = pair.image
        path.write_bytes(gzip.compress(plain.read_bytes()))
    assert f"32767x32767x32767 voxels of int16 need {2 * 32767**3 + 352}" in rejected(path)


def test_an_offset_beyond_the_file_is_refused(pair):
    """A vox_offset that no file of this size has is told."""
    pair.write_image(vox_offset=1e9)
    assert "broken NIfTI header" in rejected(pair.image)


@pytest.mark.parametrize("offset", [np.nan, np.inf, -8.0, 100.0])
def test_an_offset_that_is_none_is_refused(pair, offset):
    """Voxels cannot begin within the header, nor nowhere."""
    pair.write_image(vox_offset=offset)
    assert "vox_offset" in rejected(pair.image)


def test_an_offset_of_zero_is_the_usual_one(plain):
    """Some writers leave vox_offset 0: voxels then begin after the header."""
    expected = read_volume(plain).data
    patched(plain, 108, struct.pack("<f", 0))
    assert (read_volume(plain).data == expected).all()


def test_a_plain_file_named_gz_is_refused(plain):
    """The line says how to name a file that is not compressed."""
    named = plain.rename(plain.with_suffix(".nii.gz"))
    assert "name it .nii" in rejected(named)


def test_a_gzip_named_nii_is_refused(pair):
    """The line says how to name a file that is compressed."""
    named = pair.image.rename(pair.images / "x.nii")
    assert rejected(named).endswith("gzip-compressed: name it .nii.gz")


def test_a_file_that_does_not_exist_is_refused(tmp_path):
    """A missing file is told like any other that cannot be read."""
    assert "cannot be read" in rejected(tmp_path / "none.nii.gz")


@pytest.mark.parametrize("magic", [b"abcd", b"\0\0\0\0"])
def test_another_magic_is_refused(pair, magic):
    """A file without NIfTI's magic, such as ANALYZE, is not read on trust."""
    pair.write_image(magic=magic)
    assert "broken NIfTI header" in rejected(pair.image)


def test_the_header_of_a_pair_is_refused(pair):
    """An .hdr under the name .nii is told as half a pair."""
    pair.write_image(magic=b"ni1")
    assert "convert the pair to one .nii.gz" in rejected(pair.image)


def test_an_unknown_datatype_is_refused(pair):
    """A datatype code that means nothing is told."""
    pair.write_image(datatype=999)
    assert "broken NIfTI header" in rejected(pair.image)


@pytest.mark.parametrize(
    "dim",
    [
        [3, 7, 6, 0, 1, 1, 1, 1],
        [3, 7, -6, 5, 1, 1, 1, 1],
        [9, 7, 6, 5, 1, 1, 1, 1],
        [0, 7, 6, 5, 1, 1, 1, 1],
    ],
)
def test_dimensions_that_are_none_are_refused(pair, dim):
    """No voxels, less than none, too many axes or no axis: the header is broken."""
    pair.write_image(dim=dim)
    assert "broken NIfTI header (dim is" in rejected(pair.image)


@pytest.mark.parametrize("which", [1, 3])
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_spacing_that_is_none_is_refused(pair, which, value):
    """Zero, NaN and infinite pixdim are refused, even where the affine is whole."""
    pixdim = [1, 1.5, 1.5, 3, 0, 0, 0, 0]
    pixdim[which] = value
    pair.write_image(pixdim=pixdim)
    assert "spacing is [" in rejected(pair.image)


@pytest.mark.parametrize("row", [[np.nan] * 4, [0.0] * 4])
def test_an_affine_that_spans_no_volume_is_refused(pair, row):
    """A NaN or singular sform is refused, not replaced by a guess."""
    pair.write_image(srow_z=row)
    assert "its sform spans no volume" in rejected(pair.image)


def test_an_sform_of_zeros_is_refused(pair):
    """A sform code above 0 with an empty sform promises what is not there."""
    pair.write_image(srow_x=[0] * 4, srow_y=[0] * 4, srow_z=[0] * 4)
    assert "its sform spans no volume" in rejected(pair.image)


@pytest.mark.parametrize("quaternion", [np.nan, 3.0])
def test_a_broken_qform_is_refused_where_it_is_all_there_is(pair, quaternion):
    """Without a sform the qform must be a rotation."""
    pair.write_image(sform_code=0, quatern_b=quaternion)
    assert "qform" in rejected(pair.image)


def test_a_broken_qform_beside_a_sform_is_a_warning(pair):
    """The sform rules, so a qform that is no rotation does not hurt."""
    pair.write_image(quatern_b=3.0)
    assert any(
        "sform and qform disagree" in warning for warning in read_volume(pair.image).warnings
    )


def test_complex_voxels_are_refused(pair):
    """Complex values have no order to show."""
    pair.write_image(pair.image_data.astype(np.complex64))
    assert "complex voxels (complex64)" in rejected(pair.image)


def test_several_volumes_are_refused(pair):
    """A fourth axis of three is three volumes."""
    pair.write_image(np.zeros((7, 6, 5, 3), np.int16))
    assert rejected(pair.image).endswith("4D (7x6x5x3): give one volume per file")


def test_vectors_are_refused(pair):
    """A fifth axis of three, as displacement fields have, is refused."""
    pair.write_image(np.zeros((7, 6, 5, 1, 3), np.float32))
    assert "5D (7x6x5x1x3)" in rejected(pair.image)


@pytest.mark.parametrize("shape", [(9,), (9, 1, 1), (9, 1, 1, 1)])
def test_a_row_of_voxels_is_refused(pair, shape):
    """One axis is a list of values, such as a surface has, not an image."""
    pair.write_image(np.zeros(shape, np.int16))
    assert "are not an image" in rejected(pair.image)


def test_a_2d_file_may_have_no_third_axis_in_its_affine(pair):
    """A 2D file whose affine has an empty third column gets a third axis of 1 mm."""
    affine = np.array([[0.5, 0, 0, 1], [0, 0.25, 0, 2], [0, 0, 0, 3], [0, 0, 0, 1.0]])
    image = nibabel.Nifti1Image(np.zeros((4, 6), np.int16), np.eye(4))
    image.set_sform(affine)
    image.header.set_qform(None)
    image.header["qform_code"] = 0
    image.header["pixdim"][1:4] = [0.5, 0.25, 0]
    nibabel.save(image, pair.image)
    assert read_volume(pair.image).spacing.tolist() == [0.5, 0.25, 1.0]


def test_nibabels_own_log_stays_silent(pair, caplog):
    """What nibabel would put right with a log line is told once, as a warning of ours."""
    pair.write_image(pixdim=[5, -1.5, 1.5, 3, 0, 0, 0, 0])
    with caplog.at_level(logging.DEBUG):
        volume = read_volume(pair.image)
    assert caplog.records == []
    assert len(volume.warnings) >= 1
