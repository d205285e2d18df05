"""Whatever is in the folder of submissions is played, or named with what to do."""

import os
from pathlib import Path

import pytest

from segarena.errors import ConfigError
from segarena.submissions import look_through


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one submission."""
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "predict.sh").touch()
    return tmp_path


@pytest.mark.parametrize(
    "name", ["team.tar", "team.TAR.GZ", "team.Tgz", "team.tar.ZST", "team.tar.xz"]
)
def test_an_ending_counts_whatever_its_letters(folder: Path, name: str):
    """An archive is known by its ending in capitals too, as some systems write it."""
    (folder / name).write_bytes(b"x")
    found, notes = look_through(folder)
    assert found == {"ada": folder / "ada", "team": folder / name}
    assert notes == []


@pytest.mark.parametrize(
    "name",
    [
        "team.tar.bz2",
        "team.zip",
        "team.ZIP",
        "team.sif",
        "team.gz",
        "team.7z",
        "team.rar",
        "team.zst",
    ],
)
def test_an_archive_of_another_kind_stops_the_run(folder: Path, name: str):
    """Somebody means it as a submission, so the message says what can be read."""
    (folder / name).write_bytes(b"x")
    with pytest.raises(ConfigError) as raised:
        look_through(folder)
    assert str(raised.value).splitlines() == [
        f"{folder}/{name}: not a kind of archive that can be read; give one of "
        ".tar.gz, .tar.zst, .tar.xz, .tgz, .tar",
        f"{folder}: usable are ada",
    ]


def _nested(folder: Path) -> None:
    (folder / "team" / "team").mkdir(parents=True)
    (folder / "team" / "team" / "predict.sh").touch()


def _nested_twice(folder: Path) -> None:
    (folder / "team" / "a" / "b").mkdir(parents=True)
    (folder / "team" / "a" / "b" / "predict.sh").touch()


def _capital(folder: Path) -> None:
    (folder / "team").mkdir()
    (folder / "team" / "Predict.sh").touch()


def _text_ending(folder: Path) -> None:
    (folder / "team").mkdir()
    (folder / "team" / "predict.sh.txt").touch()


def _no_program(folder: Path) -> None:
    (folder / "team").mkdir()
    (folder / "team" / "predict.sh").symlink_to("gone.sh")


def _archive_inside(folder: Path) -> None:
    (folder / "team").mkdir()
    (folder / "team" / "team.tar.gz").touch()


def _folder_as_archive(folder: Path) -> None:
    (folder / "team.tar.gz").mkdir()
    (folder / "team.tar.gz" / "predict.sh").touch()


def _program_alone(folder: Path) -> None:
    (folder / "predict.sh").touch()


def _link_to_nothing(folder: Path) -> None:
    (folder / "team.tar.gz").symlink_to("elsewhere/team.tar.gz")


def _link_to_itself(folder: Path) -> None:
    (folder / "team.tar.gz").symlink_to("team.tar.gz")


def _twins(folder: Path) -> None:
    (folder / "ADA.tar.gz").touch()


def _umlaut(folder: Path) -> None:
    (folder / "Münster.tar.gz").touch()


def _space(folder: Path) -> None:
    (folder / "team (1).tar.gz").touch()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_nested, "team: a folder in a folder; move what is in team/ up into it"),
        (_nested_twice, "team: a folder in a folder; move what is in a/b/ up into it"),
        (_capital, "team: rename Predict.sh in it to predict.sh"),
        (_text_ending, "team: rename predict.sh.txt in it to predict.sh"),
        (_no_program, "team: predict.sh is not a file, or a link to nothing"),
        (_archive_inside, "team: an archive in a folder; move team.tar.gz out of it"),
        (_folder_as_archive, "team.tar.gz: a folder with the ending of an archive; rename it"),
        (_program_alone, "predict.sh: put it into a folder with the submission's name"),
        (_link_to_nothing, "team.tar.gz: a link to 'elsewhere/team.tar.gz', which is not there"),
        (_link_to_itself, "team.tar.gz: a link to 'team.tar.gz', which is not there"),
        (_twins, "ada: differs from 'ADA' only in upper and lower case; rename one"),
        (_umlaut, "Münster.tar.gz: invalid name, rename it: use letters A-Z, digits"),
        (_space, "team (1).tar.gz: invalid name, rename it: use letters A-Z, digits"),
    ],
)
def test_what_is_meant_as_a_submission_and_is_none_stops_the_run(folder: Path, make, message: str):
    """A team would be missing otherwise; the line says what to do."""
    make(folder)
    with pytest.raises(ConfigError) as raised:
        look_through(folder)
    problem, usable = str(raised.value).splitlines()
    assert problem.startswith(f"{folder}/{message}")
    assert usable.startswith(f"{folder}: usable are ")


@pytest.mark.parametrize(
    "name",
    [
        "bob.tar.gz.part",
        "bob.tar.gz.crdownload",
        "bob.part",
        "bob.tar.filepart",
        ".bob.tar.gz.Xy12zQ",
    ],
)
def test_an_upload_on_its_way_does_not_stop_the_night(folder: Path, name: str):
    """It is noted, and the others are played."""
    (folder / name).write_bytes(b"x")
    found, notes = look_through(folder)
    assert list(found) == ["ada"]
    assert notes == [f"{folder}/{name}: an upload that is not finished; it is not used"]


def test_a_browsers_empty_file_beside_its_upload_is_part_of_it(folder: Path):
    """Firefox makes an empty team.tar.gz beside team.tar.gz.part; a whole one of before counts."""
    (folder / "team.tar.gz").touch()
    (folder / "team.tar.gz.part").write_bytes(b"x")
    found, notes = look_through(folder)
    assert (list(found), len(notes)) == (["ada"], 2)
    (folder / "team.tar.gz").write_bytes(b"whole")
    found, notes = look_through(folder)
    assert (list(found), len(notes)) == (["ada", "team"], 1)


def test_other_files_are_noted_and_hidden_ones_are_the_systems(folder: Path):
    """A README, a pipe, an empty folder and one without a program are named; .DS_Store is not."""
    for name in (".DS_Store", "._team.tar.gz", ".nfs0001", "README.md", "team.tar.gz.sha256"):
        (folder / name).touch()
    for name in (".git", "empty", "notes"):
        (folder / name).mkdir()
    (folder / "notes" / "a.txt").touch()
    os.mkfifo(folder / "pipe")
    found, notes = look_through(folder)
    assert list(found) == ["ada"]
    assert [note.removeprefix(f"{folder}/") for note in notes] == [
        "README.md: no submission; it is ignored",
        "empty: an empty folder; put predict.sh into it, or remove it",
        "notes: a folder without predict.sh; it is ignored",
        "pipe: neither a file nor a folder; it is ignored",
        "team.tar.gz.sha256: no submission; it is ignored",
    ]


def test_all_problems_are_told_at_once_and_a_name_steers_no_terminal(folder: Path):
    """One line each, uploads too, with nothing in it that a terminal obeys."""
    for name in ("a.zip", "b.sif", "c\x1b[2J.zip", "d.tar.part"):
        (folder / name).touch()
    with pytest.raises(ConfigError) as raised:
        look_through(folder)
    lines = str(raised.value).splitlines()
    assert len(lines) == 5
    assert "\x1b" not in str(raised.value)


def test_what_cannot_be_read_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """An archive that only its uploader may read would end in a trace otherwise."""
    (folder / "team.tar").write_bytes(b"x")
    monkeypatch.setattr(os, "access", lambda *_: False)  # the caller may be root
    with pytest.raises(ConfigError, match=r"team\.tar: no permission to read it; chmod a\+r"):
        look_through(folder)
