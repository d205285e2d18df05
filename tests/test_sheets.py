"""Sheets as spreadsheet programs save them are read, or one line says what to do."""

from pathlib import Path

import pytest

from segarena.errors import ConfigError
from segarena.sheets import notes_on, read_sheet

ROWS = [{"case": "one", "site": "Münster"}, {"case": "two", "site": ""}]


def written(folder: Path, content: bytes) -> Path:
    """Return a sheet with these bytes."""
    path = folder / "cases.tsv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("delimiter", ["\t", ";", ","])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_what_a_spreadsheet_program_saves_is_read(
    tmp_path: Path, encoding: str, end: str, delimiter: str
):
    """Every encoding, end of line and delimiter gives the same rows."""
    lines = [["case", "site"], ["one", "Münster"], ["two", ""]]
    text = end.join(delimiter.join(cells) for cells in [*lines, []])
    sheet = read_sheet(written(tmp_path, text.encode(encoding)), "case")
    assert sheet.columns == ["case", "site"]
    assert sheet.rows == [(2, ROWS[0]), (3, ROWS[1])]


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_utf_16_is_read_in_either_order_of_bytes(tmp_path: Path, mark: bytes):
    """The mark at the beginning tells the order."""
    order = "le" if mark == b"\xff\xfe" else "be"
    content = mark + "case\tsite\none\tMünster\n".encode(f"utf-16-{order}")
    assert read_sheet(written(tmp_path, content), "case").rows == [(2, ROWS[0])]


@pytest.mark.parametrize(
    "text",
    [
        'case,site\n"one","Münster"\n"two",\n',
        "case;site;;\none;Münster;;\ntwo;;;\n;;;\n;;;\n",
        "case,site\none,Münster\ntwo,\n\n\n",
        "sep=;\ncase;site\none;Münster\ntwo;\n",
        "Case\tsite\n one \tMünster \ntwo\t\n",
    ],
    ids=["quotes", "empty columns and lines", "empty lines", "sep", "capitals and spaces"],
)
def test_what_else_they_leave_in_a_file_does_no_harm(tmp_path: Path, text: str):
    """Quotes, empty cells at the right and below, a line that names the delimiter, spaces."""
    rows = read_sheet(written(tmp_path, text.encode()), "case").rows
    assert [row for _, row in rows] == ROWS


def test_a_cell_may_hold_the_delimiter_of_another_sheet(tmp_path: Path):
    """A name with a comma in a table with tabs is a name with a comma."""
    path = written(tmp_path, b"submission\tname\nada\tAda, Bob; and co\n")
    assert read_sheet(path, "submission").rows == [
        (2, {"submission": "ada", "name": "Ada, Bob; and co"})
    ]


def test_windows_1252_is_noted(tmp_path: Path):
    """Any bytes are some text in Windows-1252, so the user is asked to look; UTF-8 needs none."""
    path = written(tmp_path, "case\tsite\none\tMünster\n".encode("cp1252"))
    (note,) = notes_on(path)
    assert note == f"{path}: read as Windows-1252; if letters look wrong, save it as UTF-8"
    assert notes_on(written(tmp_path, "case\tsite\none\tMünster\n".encode())) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the first line must name the column 'case'"),
        (b"name\none\n", "the first line must name the column 'case'"),
        (b"PK\x03\x04 xlsx", "is a workbook; save it as tab-separated text"),
        (b"\xd0\xcf\x11\xe0 xls", "is a workbook; save it as tab-separated text"),
        ("case\none\n".encode("utf-16-le"), "not text in UTF-8; save it"),
        (b"case\tname\none\t\x81\n", "not text in UTF-8; save it"),
        (b"case\tsite\none\n", "line 2: expected 2 columns as in the header, found 1"),
        (b"case\tsite\none\ta\tb\n", "line 2: expected 2 columns as in the header, found 3"),
        (b"case\t\tsite\none\ta\tb\n", "line 1: column 2 has no name"),
        (b"case\tsite\tsite\none\ta\tb\n", "line 1: duplicate column 'site'"),
        (b'case\tsite\none\t"a\ntwo\tb\n', "line 3: a cell of several lines; close its quote"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, content: bytes, message: str):
    """The line names the file, the line and what to do."""
    path = written(tmp_path, content)
    with pytest.raises(ConfigError) as raised:
        read_sheet(path, "case")
    assert str(raised.value).startswith(f"{path}: {message}")
    assert "\n" not in str(raised.value)


def test_a_missing_sheet_is_one_line(tmp_path: Path):
    """A link to nothing, or a folder, is told by its name."""
    link = tmp_path / "cases.tsv"
    link.symlink_to("gone.tsv")
    for path in (link, tmp_path):
        with pytest.raises(ConfigError, match=f"{path}: cannot be read: "):
            read_sheet(path, "case")
