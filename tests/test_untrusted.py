"""Text of strangers: bounded before it is built, and shown on one line that steers no terminal."""

import zipfile
from pathlib import Path

import pytest
import yaml

from segarena.errors import ConfigError, EngineError
from segarena.protocol import validate
from segarena.untrusted import CarefulFile, json_value, printable, yaml_value

ROOT = Path(__file__).parents[1]
LAUGHS = "\n".join(
    ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    + [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    + ["accepts: *a9"]
)
HOSTILE_YAML = {
    "aliases": LAUGHS,
    "merged maps": "a: &a {x: 1}\nb: {<<: [*a, *a]}",
    "nested lists": "a: " + "[" * 20_000,
    "nested maps": "{a: " * 15_000,
    "nested keys": "? [a," * 9_000,
    "many values": "[" + "a," * 60_000,
    "a megabyte": "a" * 1_000_000,
    "a number of many digits": "a: " + "9" * 60_000,
    "a number of many hexadecimal digits": "a: 0x" + "f" * 60_000,
    "a number in base 60": "a: 1" + ":1" * 30_000,
    "a date that is none": "a: 2000-99-99",
    "a date": "a: 2000-01-01",
    "bytes": "a: !!binary aGVsbG8=",
    "a set": "a: !!set {a, b}",
    "a tag of Python": '!!python/object/apply:os.system ["true"]',
    "a tag of its own": "!<" + "x" * 60_000 + "> a",
    "a control character": "a: \x1b[2J",
    "two documents": "a\n---\nb",
    "a list as a key": "? [a]\n: b",
}


@pytest.mark.parametrize("name", HOSTILE_YAML)
def test_hostile_yaml_is_one_short_line(name: str):
    """Nothing is built of it, and the message is bounded."""
    with pytest.raises(ConfigError) as caught:
        yaml_value(HOSTILE_YAML[name], "team.yaml")
    assert str(caught.value).startswith("team.yaml: ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("path", sorted((ROOT / "config").rglob("*.yaml")), ids=lambda p: p.name)
def test_honest_yaml_is_read_as_ever(path: Path):
    """Every config and protocol of the project, as it is and as an archive has it."""
    text = path.read_text(encoding="utf-8")
    value = yaml.safe_load(text)
    assert yaml_value(text, path) == value
    assert yaml_value(yaml.safe_dump(value, sort_keys=False), path) == value


def test_json_of_endless_depth_is_a_value_error():
    """A hundred thousand brackets are one kind of error, not the interpreter's."""
    with pytest.raises(ValueError, match="nested too deeply"):
        json_value(b"[" * 200_000)


def test_a_message_cannot_steer_a_terminal():
    """Escape sequences, line ends and directions of writing are shown as what they are not."""
    assert printable("\x1b[31mred\x07\n\tnext\u202e\udcff") == "?[31mred? next??"


def test_a_long_message_is_cut():
    """Both ends of it are kept."""
    shown = printable("a" * 10_000 + "z")
    assert len(shown) < 310
    assert shown.startswith("aaa")
    assert shown.endswith("z")


def test_what_a_schema_refuses_is_told_in_bounded_lines():
    """Ten thousand wrong values of ten thousand characters make no message of megabytes."""
    value = {"accepts": ["x" * 10_000] * 3 + [f"{i}" for i in range(10_000)]}
    with pytest.raises(ConfigError) as caught:
        validate(value, "submission", "team.yaml")
    assert len(str(caught.value)) < 20_000
    assert "more problems" in str(caught.value)


def test_whose_fault_a_failed_read_is(tmp_path: Path):
    """An offset that leads nowhere is the file's fault; bytes that cannot be read are ours."""
    path = tmp_path / "x"
    path.write_bytes(b"x")
    with CarefulFile(path, 10) as file, pytest.raises(OSError, match="Invalid argument"):
        file.seek(-1)
    with CarefulFile("/proc/self/mem", 10) as file, pytest.raises(EngineError, match="disk failed"):
        file.read(1)  # EIO: nothing is ever mapped at the address 0


def test_no_piece_is_larger_than_the_bound(tmp_path: Path):
    """Neither by its length nor by "all that there is"."""
    path = tmp_path / "x"
    path.write_bytes(b"x" * 100)
    for size in (-1, 50):
        with CarefulFile(path, 10) as file, pytest.raises(zipfile.BadZipFile, match="too large"):
            file.read(size)
