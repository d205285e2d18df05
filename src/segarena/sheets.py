"""Tables that people write, as spreadsheet programs save them.

Tabs, semicolons or commas between the columns; UTF-8, UTF-16 with its mark, Windows-1252; quotes,
any end of line, empty lines and columns at the end. Whatever else is wrong is one line with the
file, the line and what to do.
"""

import codecs
import contextlib
import csv
import io
from dataclasses import dataclass
from pathlib import Path

from segarena.errors import ConfigError

_DELIMITERS = "\t;,"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How .xlsx, .ods and .xls begin, whatever the file is called."""


@dataclass(frozen=True)
class Sheet:
    """A table: its columns, and its rows with the numbers of their lines."""

    columns: list[str]
    rows: list[tuple[int, dict[str, str]]]


def read_sheet(path: str | Path, key: str, known: tuple[str, ...] = ()) -> Sheet:
    """Return a table that has the column `key`.

    known: columns that are recognised whatever the case of their letters, as `key` is. Raises
    ConfigError with a line for each problem.
    """
    text, _ = _text(Path(path))
    columns, records = _records(text, Path(path), key, (key, *known))
    problems, rows = [], []
    for line, cells in records:
        if len(cells) != len(columns):
            problems.append(
                f"{path}: line {line}: expected {len(columns)} columns as in the header, "
                f"found {len(cells)}"
            )
        if any("\n" in cell for cell in cells):
            problems.append(f"{path}: line {line}: a cell of several lines; close its quote")
        rows.append((line, dict(zip(columns, cells, strict=False))))
    if problems:
        raise ConfigError("\n".join(problems))
    return Sheet(columns, rows)


def notes_on(path: str | Path) -> list[str]:
    """Return what the user should know of how a table was read."""
    _, encoding = _text(Path(path))
    if encoding != "cp1252":
        return []
    return [f"{path}: read as Windows-1252; if letters look wrong, save it as UTF-8"]


def _text(path: Path) -> tuple[str, str]:
    """Return a file's text with plain ends of line, and its encoding."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if content.startswith(_WORKBOOKS):
        raise ConfigError(f"{path}: is a workbook; save it as tab-separated text (UTF-8)")
    encodings = ("utf-16",) if content.startswith(_UTF_16) else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        with contextlib.suppress(UnicodeDecodeError):
            text = content.decode(encoding)
            if "\0" not in text:
                return text.replace("\r\n", "\n").replace("\r", "\n"), encoding
    raise ConfigError(f"{path}: not text in UTF-8; save it as tab-separated text (UTF-8)")


def _records(
    text: str, path: Path, key: str, known: tuple[str, ...]
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the columns, and the cells of each line that has any, with its number."""
    first, _, rest = text.partition("\n")
    delimiters = _DELIMITERS
    skipped = 0
    if first.lower().startswith("sep=") and len(first.rstrip()) == 5:  # a spreadsheet's own mark
        text, delimiters, skipped = rest, first[4], 1
    for delimiter in delimiters:
        records = _split(text, delimiter, path)
        columns = [_named(cell, known) for cell in records[0][1]] if records else []
        if key in columns:
            break
    else:
        raise ConfigError(
            f"{path}: the first line must name the column {key!r} (tabs between the columns)"
        )
    named = [column for column in columns if column]
    problems = [
        f"{path}: line 1: duplicate column {column!r}; rename one"
        for column in dict.fromkeys(named)
        if named.count(column) > 1
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    width = max(number for number, column in enumerate(columns, start=1) if column)
    if "" in columns[:width]:
        number = columns.index("") + 1
        raise ConfigError(f"{path}: line 1: column {number} has no name; give it one")
    lines = [(line + skipped, _cut(cells, width)) for line, cells in records[1:] if any(cells)]
    return columns[:width], lines


def _split(text: str, delimiter: str, path: Path) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise ConfigError(f"{path}: line {reader.line_num}: {error}; close its quote") from error


def _named(cell: str, known: tuple[str, ...]) -> str:
    return cell.lower() if cell.lower() in known else cell


def _cut(cells: list[str], width: int) -> list[str]:
    """Return a line's cells without the empty ones beyond the header."""
    while len(cells) > width and not cells[-1]:
        cells = cells[:-1]
    return cells
