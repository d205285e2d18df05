"""What the archive of a finished run holds, and that it is the same each time."""

import hashlib
import io
import json
import os
import re
import zipfile
from pathlib import Path

import pytest
import requests
import yaml
from arena import Arena
from requests.adapters import BaseAdapter
from requests_cache import CachedSession

from segarena import config
from segarena.archive import bundle
from segarena.errors import ConfigError

CONTEXTS = Path(__file__).parents[1] / "data" / "rocrate"
TERMS = ("sha256", "containerImage", "ContainerImage", "DockerImage")


def bundled(arena: Arena, receipt: Path, **archive) -> Path:
    """Bundle a finished run without Snakemake."""
    settings = {"name": "tiny", **archive}
    here = Path.cwd()
    os.chdir(arena.work)
    try:
        arranged = config.read({**arena.config, "archive": settings})
        values = bundle.values_of(arena.config, arranged, {"score": "abc"})
        return bundle.write(arena.project, Path("results"), receipt, values)
    finally:
        os.chdir(here)


def names(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as packed:
        return packed.namelist()


def test_the_same_run_gives_the_same_bytes(archived_run: Arena, archive: Path, tmp_path: Path):
    """Made again later, from files with other times, by the workflow itself."""
    again = archived_run.copy(tmp_path)
    again.config = archived_run.config  # a copy's config names other paths
    for path in again.path("predict").rglob("*.json"):
        os.utime(path, (1, 1))
    again.path("archive", archive.name).unlink()
    again.run("archive", "--forcerun", "archive", "--rerun-triggers", "input")
    assert again.path("archive", archive.name).read_bytes() == archive.read_bytes()


def test_the_receipt_names_the_archive_with_its_digest(archived_run: Arena, archive: Path):
    """NAME.sha256 is what sha256sum -c reads, and may be published beside the archive."""
    first, second = archived_run.path("archive", "tiny.sha256").read_text().splitlines()
    assert first == f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}"
    assert second.endswith(f"  {archive.stem}-truth.zip")


def test_members_are_sorted_and_dated_1980(archive: Path):
    """Neither the order of a folder nor the day shows."""
    with zipfile.ZipFile(archive) as packed:
        members = packed.infolist()
    assert [info.filename for info in members] == sorted(info.filename for info in members)
    assert {info.date_time for info in members} == {(1980, 1, 1, 0, 0, 0)}


def test_every_file_is_in_the_list_of_digests(archive: Path):
    """The digests are right, and nothing but the list itself is left out."""
    with zipfile.ZipFile(archive) as packed:
        files = {i.filename: packed.read(i) for i in packed.infolist() if not i.is_dir()}
    lines = files.pop("sha256sums.txt").decode().splitlines()
    assert dict(reversed(line.split("  ", 1)) for line in lines) == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items()
    }


def test_the_truth_lies_apart(archive: Path):
    """No truth and no picture that draws it is in the archive; the other archive has both."""
    assert not [name for name in names(archive) if "truth" in name or "/cases/" in name]
    apart = names(archive.with_name(f"{archive.stem}-truth.zip"))
    assert "results/prepare/one.truth.npz" in apart
    assert [name for name in apart if name.startswith("results/report/short/cases/")]
    errors = {f"results/report/short/errors/{name}/one.png" for name in ("ada", "bob")}
    assert errors <= set(apart)
    assert not [name for name in names(archive) if "/errors/" in name]


def test_the_viewers_volumes_stay_in_the_run(archived_run: Arena, archive: Path):
    """The run has them; the archives have the page alone, which says that they are gone."""
    viewer = archived_run.path("report", "short", "viewer")
    made = {path.relative_to(viewer).as_posix() for path in viewer.rglob("*") if path.is_file()}
    assert {"niivue.js", "cases/one/image.nii.gz", "cases/two/about.json"} <= made
    assert {"answers/ada/one.nii.gz", "prompts/bob/two.nii.gz"} <= made
    apart = archive.with_name(f"{archive.stem}-truth.zip")
    found = [
        n for path in (archive, apart) for n in names(path) if "/viewer/" in n and n[-1] != "/"
    ]
    assert found == ["results/report/short/viewer/index.html"]


@pytest.mark.parametrize(("answers", "expected"), [("none", 0), ("final", 4), ("all", 8)])
def test_answers_are_archived_by_choice(archived_run: Arena, tmp_path: Path, answers, expected):
    """None, the last of each session, or all of two interactions in four sessions."""
    made = bundled(archived_run, tmp_path / "tiny.sha256", answers=answers)
    assert len([name for name in names(made) if name.endswith(".npz")]) == expected
    assert not made.with_name(f"{made.stem}-truth.zip").exists()


def test_an_unfinished_run_is_not_archived(archived_run: Arena, tmp_path: Path):
    """The file that is missing is named."""
    unfinished = archived_run.copy(tmp_path)
    unfinished.path("prompt/short/ada/one/2.json").unlink()
    with pytest.raises(ConfigError, match=r"prompt/short/ada/one/2\.json: not there"):
        bundled(unfinished, tmp_path / "tiny.sha256")


def test_its_dates_are_those_of_the_first_and_the_last_call(archive: Path):
    """As the records say, whenever it was archived."""
    with zipfile.ZipFile(archive) as packed:
        records = [n for n in packed.namelist() if re.fullmatch(r"results/predict/.*/\d\.json", n)]
        ended = sorted(json.loads(packed.read(name))["ended"] for name in records)
        facts = json.loads(packed.read("run.json"))
    assert len(ended) == 8
    assert (facts["started"], facts["ended"]) == (ended[0], ended[-1])
    assert archive.stem == f"tiny-{ended[-1][:10]}"


def test_it_holds_what_a_run_is_made_of(archive: Path):
    """Code, lock, config, protocol and facts are where they are in a project."""
    with zipfile.ZipFile(archive) as packed:
        facts = json.loads(packed.read("run.json"))
        protocol = yaml.safe_load(packed.read("config/protocols/short.yaml"))
        config_ = yaml.safe_load(packed.read("config/config.yaml"))
        there = packed.namelist()
    assert protocol["metrics"] == [{"name": "DSC"}, {"name": "NSD", "tolerance_mm": 2}]
    assert config_["archive"]["name"] == "tiny"
    assert facts["protocols"] == {"short": 1}
    assert set(facts["submissions"]) == {"ada", "bob"}
    assert len(facts["submissions"]["ada"]["sha256"]) == 64
    assert facts["hardware"][0]["host"]
    assert {"Snakefile", "workflow/scripts/score.py", "src/segarena/score/step.py"} <= set(there)
    assert not [name for name in there if name.startswith("src/segarena/data/")]


PAGES = {
    "https://w3id.org/ro/crate/1.1/context": (CONTEXTS / "ro-crate-1.1.jsonld").read_bytes(),
    "https://w3id.org/ro/terms/workflow-run/context": json.dumps(
        {"@context": {term: f"https://w3id.org/ro/terms/workflow-run#{term}" for term in TERMS}}
    ).encode(),
}


class Published(BaseAdapter):
    """Answers for w3id.org: the contexts, as they are published."""

    def send(self, request, **_):
        from urllib3 import HTTPResponse

        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url, request
        response.headers["Content-Type"] = "application/ld+json"
        body = io.BytesIO(PAGES[request.url])
        response.raw = HTTPResponse(body=body, status=200, preload_content=False)
        return response

    def close(self):
        pass


def test_it_is_a_valid_workflow_run_crate(archive: Path, tmp_path: Path):
    """rocrate-validator finds nothing against the profile's required level, without a network."""
    from rocrate_validator.services import ValidationSettings, validate

    with CachedSession(str(tmp_path / "cache"), backend="sqlite", expire_after=-1) as session:
        session.mount("https://", Published())
        for url in PAGES:
            session.get(url)
    settings = ValidationSettings(
        rocrate_uri=str(archive),
        profile_identifier="workflow-run-crate-0.5",
        requirement_severity="REQUIRED",
        offline=True,
        cache_path=tmp_path / "cache",
    )
    result = validate(settings)
    assert [issue.message for issue in result.get_issues()] == []
    assert result.passed()


def test_only_the_facts_of_the_run_are_archived(archived_run: Arena, tmp_path: Path):
    """No withdrawn team, no case of before, no sheet with the truth, no compiled code."""
    run = archived_run.copy(tmp_path)
    run.config = archived_run.config  # a copy's config names other paths
    before = bundled(run, tmp_path / "before" / "tiny.sha256")
    for name in ("answers/late/one.png", "answers/ada/old.png", "sheets/one.png", "cases/old.webp"):
        path = run.path("report", "short", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name in ("__pycache__/masks.py39.nbi", "__pycache__/masks.1.nbc", ".idea/x.py", "a.pyc"):
        path = run.project / "src" / "segarena" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    after = bundled(run, tmp_path / "after" / "tiny.sha256")
    assert names(after) == names(before)
    assert after.read_bytes() == before.read_bytes()


def test_the_archive_of_truth_has_the_cases_of_the_config(archived_run: Arena, tmp_path: Path):
    """Pictures of a case or a team that was taken out stay out."""
    run = archived_run.copy(tmp_path)
    run.config = archived_run.config
    run.path("report", "short", "cases", "old.truth.png").touch()
    for name in ("errors/ada/old.png", "errors/oldteam/one.png"):
        path = run.path("report", "short", name)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    made = bundled(run, tmp_path / "new" / "tiny.sha256", truth=True)
    assert not [n for n in names(made.with_name(f"{made.stem}-truth.zip")) if "old" in n]


def test_a_second_archive_of_a_day_overwrites_no_other(archived_run: Arena, tmp_path: Path):
    """Another content has another name; the same content, the same one."""
    receipt = tmp_path / "tiny.sha256"
    first = bundled(archived_run, receipt, answers="final")
    content = first.read_bytes()
    second = bundled(archived_run, receipt, answers="none")
    assert second.name == f"{first.stem}-2.zip"
    assert first.read_bytes() == content
    assert receipt.read_text().endswith(f"  {second.name}\n")
    assert bundled(archived_run, receipt, answers="final") == first
    assert bundled(archived_run, receipt, answers="none") == second
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [first.name, second.name, receipt.name]
    )
