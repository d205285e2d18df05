import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from segarena.errors import ConfigError
from segarena.rank.tables import about, read_table, write_table

HEADER = "task,algorithm,case,value\n"


def write(path, text):
    path = path / "scores.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_missing_values_are_read_as_missing(tmp_path):
    """An empty value, NA and NaN are missing; names such as NA stay names."""
    path = write(tmp_path, HEADER + "t,NA,c1,\nt,NA,c2,NA\nt,NA,c3,nan\nt,NA,c4,0.5\n")
    table = read_table(path)
    assert table["algorithm"].to_list() == ["NA"] * 4
    np.testing.assert_array_equal(table["value"], [np.nan, np.nan, np.nan, 0.5])


def test_further_columns_and_order_do_not_matter(tmp_path):
    """Columns in another order and columns of one's own are no hindrance."""
    path = write(tmp_path, "value,note,case,task,algorithm\n1,x,c,t,a\n")
    assert read_table(path).to_numpy().tolist() == [["t", "a", "c", 1.0]]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    """A table saved by a spreadsheet program is read."""
    path = tmp_path / "scores.csv"
    path.write_text(HEADER + "t,a,c,1\n", encoding="utf-8-sig")
    assert len(read_table(path)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "task,algorithm,case,value\r\nt,a,c 1,0.5\r\nt,b,c 1,-1e3\r\n",
        "task,algorithm,case,value\rt,a,c 1,0.5\rt,b,c 1,-1e3\r",
        "task;algorithm;case;value\nt;a;c 1;0,5\nt;b;c 1;-1e3\n",
        "task;algorithm;case;value\r\nt;a;c 1;0.5\r\nt;b;c 1;-1000.0\r\n",
        "task\talgorithm\tcase\tvalue\nt\ta\tc 1\t,5\nt\tb\tc 1\t-1000,0\n",
        '"task", algorithm,case,value\n"t",a, c 1 ,+.5\n\n,,,\nt,b,"c 1",-1000',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_what_spreadsheets_and_systems_write_is_read(tmp_path, text, encoding):
    """Line ends, separators, decimal commas, blanks and a byte order mark change nothing."""
    path = tmp_path / "scores.csv"
    path.write_bytes(text.encode(encoding))
    assert read_table(path).to_numpy().tolist() == [
        ["t", "a", "c 1", 0.5],
        ["t", "b", "c 1", -1000],
    ]


def test_a_name_may_hold_commas_points_and_numbers(tmp_path):
    """Only the value is a number: a name of digits with a comma stays what it is."""
    path = write(tmp_path, "task;algorithm;case;value\n1,5;Net 2.0;007;1\n")
    assert read_table(path).to_numpy().tolist() == [["1,5", "Net 2.0", "007", 1.0]]


def test_a_file_in_another_encoding_is_told(tmp_path):
    """A table in UTF-16, as Excel's Unicode text, is one line."""
    path = tmp_path / "scores.csv"
    path.write_text(HEADER + "t,a,c,1\n", encoding="utf-16")
    with pytest.raises(ConfigError, match=r"scores\.csv: not readable as CSV"):
        read_table(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task,algorithm,value\nt,a,1\n", "no column 'case'"),
        (HEADER, "no rows below the header"),
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        (HEADER + "t,a,c1,0.5\nt,a,c2,good\n", "column value, row 3: is 'good', not a finite"),
        (HEADER + "t,a,c1,inf\n", "column value, row 2: is 'inf', not a finite number"),
        (HEADER + "t,a,c1,-Infinity\n", "column value, row 2: is '-Infinity', not a finite"),
        (HEADER + "t,a,c1,1e400\n", "column value, row 2: is '1e400', not a finite number"),
        (HEADER + "t,a,c1,1.7976931348623157e+308\n", "row 2: is '1.79.*not a finite .*1e\\+300"),
        (HEADER + "t,a,c1,-1.7976931348623157e+308\n", "row 2: is '-1.79.*not a finite"),
        (HEADER + "t,a,c1,1_000\n", "column value, row 2: is '1_000', not a finite"),
        (HEADER + "t,a,c1,True\n", "column value, row 2: is 'True', not a finite"),
        (HEADER + 't,a,c1,"0,5"\n', "row 2: is '0,5', .*; write numbers with a decimal point"),
        (
            HEADER + "t,a,c1,1\nt,b,c1,1\nt,a,c1,2\n",
            r"column case, row 4: \(t, a, c1\) is in row 2",
        ),
        (HEADER + "t,a,c1,1\nt,a ,c1,1\n", r"column case, row 3: \(t, a, c1\) is in row 2"),
        (HEADER + "t,,c1,1\n", "column algorithm, row 2: is empty"),
        (HEADER + "t,a,c1,0,5\nt,b,c1,0,6\n", "row 2: 5 values, but the header has 4"),
        (HEADER + "t,a,c1\n", "row 2: 3 values, but the header has 4"),
        (HEADER + "\nt,a,c1,1\n\nt,a,c2,x\n", "column value, row 5: is 'x'"),
        (HEADER + 't,a,"c1,1\n', "not readable as CSV: unexpected end of data"),
        ("task,algorithm,case,value,value\nt,a,c,1,2\n", "more than one column 'value'"),
        (
            "task;algorithm;case;value\nt;a;c;0,5\nt;a;d;0.6\n",
            "row 3: .* decimal points and commas",
        ),
        ("task;algorithm;case;value\nt;a;c;1.234,5\n", "row 2: .* decimal points and commas"),
        ("task|algorithm|case|value\nt|a|c|1\n", "no column 'task'"),
    ],
)
def test_a_bad_table_is_told_in_one_line(tmp_path, text, message):
    """Each fault is one line with the file, the column and the row."""
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as error:
        read_table(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_an_absent_file_is_told(tmp_path):
    """A file that does not exist is told by name."""
    with pytest.raises(ConfigError, match=r"none\.csv: not readable"):
        read_table(tmp_path / "none.csv")


def test_tables_say_their_origin(tmp_path):
    """Protocol, seed and software stand in the CSV's columns and in the Parquet's metadata."""
    table = pd.DataFrame({"rank": [1, 2], "submission": ["a", "b"]})
    facts = about(protocol="cvpr25", protocol_version=1, seed=42)
    write_table(table, tmp_path / "leaderboard", facts)
    csv = pd.read_csv(tmp_path / "leaderboard.csv")
    assert csv["protocol_version"].to_list() == [1, 1]
    assert csv["seed"].to_list() == [42, 42]
    assert f"numpy {np.__version__}" in csv["software"][0]
    parquet = pq.read_table(tmp_path / "leaderboard.parquet")
    assert json.loads(parquet.schema.metadata[b"segarena"]) == facts
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "leaderboard.parquet"), table)


def test_an_empty_table_keeps_its_columns(tmp_path):
    """A table without rows is written with its header."""
    write_table(pd.DataFrame(columns=["case", "metric"]), tmp_path / "missing", about(seed=1))
    assert list(pd.read_csv(tmp_path / "missing.csv")) == ["case", "metric", "seed", "software"]
    assert pd.read_parquet(tmp_path / "missing.parquet").empty


def test_a_written_value_is_the_same_when_read(tmp_path):
    """Numbers go through both files without losing a bit."""
    table = pd.DataFrame({"score": [1 / 3, 0.1 + 0.2, 1e-300]})
    write_table(table, tmp_path / "t", {})
    csv = pd.read_csv(tmp_path / "t.csv")
    assert csv["score"].to_list() == table["score"].to_list()
    assert pd.read_parquet(tmp_path / "t.parquet")["score"].to_list() == table["score"].to_list()
