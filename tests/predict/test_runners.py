"""What every runtime shares: which one `auto` is, and what of a folder a container sees."""

import csv
import os
from pathlib import Path

import pytest

from segarena.cli import main
from segarena.errors import EngineError
from segarena.predict.runners import Limits, Mount, command_line, mounts_of, ready

LIMITS = Limits(seconds=1, memory_bytes=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder submission."""
    made = tmp_path / "team"
    (made / "model").mkdir(parents=True)
    (made / "predict.sh").write_text("true\n")
    (made / "model/weights").write_text("1")
    return made


def test_auto_is_a_plain_process_without_a_base_image(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder without base_image runs as a process, and stderr says what that means."""
    assert ready(folder, runtime="auto", base_image="")["runtime"] == "process"
    assert "not isolated" in capsys.readouterr().err


def test_auto_never_puts_a_folder_on_the_host_where_the_base_image_is_missing(
    folder: Path, engine: str
) -> None:
    """An image that the engine does not know is one line, not a plain process."""
    with pytest.raises(EngineError, match="knows no image 'segarena-none:1'"):
        ready(folder, runtime="auto", base_image="segarena-none:1")


def test_auto_never_puts_a_folder_on_the_host_where_no_engine_answers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that is gone is one line, not a plain process."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineError, match="no Docker engine answers"):
        ready(folder, runtime="auto", base_image="base:1")


def test_check_never_puts_a_folder_on_the_host_either(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`segarena check --base-image` without an engine ends in one line, and nothing was run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    (folder / "predict.sh").write_text(f"touch {tmp_path}/escaped\n")
    assert main(["check", str(folder), "--base-image", "base:1"]) == EngineError.exit_code
    assert "no Docker engine answers" in capsys.readouterr().err
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("path", ["/a", "/a,b", '/a "b",c', "/ro,dst=/x", "/a:b=c\\d"])
def test_a_mount_is_one_line_of_csv(path: str) -> None:
    """Every engine reads --mount as CSV, so whatever a path holds is one field of it."""
    [fields] = csv.reader([str(Mount(Path(path), "/there", read_only=True))])
    assert fields == ["type=bind", f"src={path}", "dst=/there", "readonly"]


def test_a_command_line_can_be_read_by_a_shell_again() -> None:
    """Options start lines of their own, also where a value holds what looks like an option."""
    text = command_line(["run", "--a=x --b", "--c", "sh"])
    assert text.splitlines() == ["run \\", "    '--a=x --b' \\", "    --c sh"]


def mounted(folder: Path, place: Path) -> list[Mount]:
    (place / "call").mkdir()
    image = {"mounted": True, "source": str(folder)}
    return mounts_of(image, place / "call/inputs", place / "call/outputs", LIMITS)


def test_a_folder_has_a_link_for_each_entry(folder: Path, tmp_path: Path) -> None:
    """/workspace is ours: links to /submission, and the two folders where data is mounted."""
    (folder / "inputs").mkdir()
    (folder / "latest").symlink_to(folder / "model")
    workspace, submission, inputs, outputs = mounted(folder, tmp_path)
    found = {p.name: str(p.readlink()) for p in workspace.source.iterdir() if p.is_symlink()}
    assert found == {
        "model": "/submission/model",
        "predict.sh": "/submission/predict.sh",
        "latest": "/submission/model",
    }
    assert {p.name for p in workspace.source.iterdir()} - found.keys() == {"inputs", "outputs"}
    assert (workspace.target, submission.target) == ("/workspace", "/submission")
    assert submission.source.resolve() == folder
    assert [m.read_only for m in (workspace, submission, inputs, outputs)] == [0, 1, 0, 0]


def test_a_folder_of_a_strict_umask_is_copied_readable(folder: Path, tmp_path: Path) -> None:
    """What only its owner may read is copied for the call; links, fifos and programs stay such."""
    (folder / "link").symlink_to("model/weights")
    os.mkfifo(folder / "fifo")
    (folder / "predict.sh").chmod(0o700)
    (folder / "model/weights").chmod(0o600)
    (folder / "model").chmod(0o700)
    _, submission, *_ = mounted(folder, tmp_path)
    copy = submission.source
    assert not copy.is_symlink()
    modes = {p: (copy / p).stat().st_mode & 0o777 for p in ("predict.sh", "model", "model/weights")}
    assert modes == {"predict.sh": 0o755, "model": 0o755, "model/weights": 0o644}
    assert (copy / "link").readlink() == Path("model/weights")
    assert not (copy / "fifo").exists()
    assert (folder / "model/weights").stat().st_mode & 0o777 == 0o600
