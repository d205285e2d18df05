"""A wrong config ends in one line that names the file, the key and what to write."""

from pathlib import Path

import pytest
import yaml

from segarena.config import find_submissions, read
from segarena.errors import ConfigError
from segarena.protocol import SCHEMAS, load, steps

ROOT = Path(__file__).parents[1]


@pytest.fixture
def config(tmp_path: Path) -> dict:
    """A config with one case and one submission."""
    for folder in ("images", "labels", "submissions/ada"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("images", "labels"):
        (tmp_path / folder / "one.npz").touch()
    (tmp_path / "submissions" / "ada" / "predict.sh").touch()
    return {
        "cases": {"images": str(tmp_path / "images"), "labels": str(tmp_path / "labels")},
        "submissions": str(tmp_path / "submissions"),
    }


def test_defaults_come_from_the_schema(config: dict):
    """The protocol is cvpr25 and the runtime is chosen by what answers."""
    arena = read(config)
    assert list(arena.protocols) == ["cvpr25"]
    assert (arena.runtime, arena.seed) == ("auto", 2025)
    assert (list(arena.cases), list(arena.submissions)) == (["one"], ["ada"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"submission": "x"}, "submission"),
        ({"runtime": "dokcer"}, "runtime"),
        ({"submissions": "nowhere"}, "submissions: no folder 'nowhere'"),
        ({"protocols": ["cvpr24"]}, "known: .*cvpr25"),
        ({"cases": {"images": "x"}}, "labels"),
        ({"sheets": {"cases": "nowhere.tsv"}}, "no file 'nowhere.tsv'"),
        ({"runtime": "podman"}, "base_image: the folders ada run in a container only with one"),
        ({"runtime": "apptainer", "base_image": "gone.sif"}, "base_image: no file 'gone.sif'"),
        ({"sandbox": "runsc", "runtime": "apptainer", "base_image": __file__}, "with apptainer"),
        ({"sandbox": "runsc", "runtime": "process"}, "sandbox: 'runsc' is for containers"),
        ({"sandbox": "runsc"}, "with process; leave it out.*or set base_image"),
        ({"sandbox": "/usr/bin/runsc"}, "sandbox: '/usr/bin/runsc' does not match"),
        (
            {"answers": "final", "archive": {"answers": "all"}},
            "archive.answers: with answers: final",
        ),
    ],
)
def test_a_wrong_key_is_named(config: dict, change: dict, message: str):
    """A misspelt key, value, folder, protocol or sheet is told by its name."""
    with pytest.raises(ConfigError, match=message):
        read({**config, **change})


@pytest.fixture
def rated(config: dict, tmp_path: Path) -> dict:
    """The same with three raters, of whom chris lacks the case `two`."""
    (tmp_path / "images" / "two.npz").touch()
    for rater in ("anna", "ben", "chris"):
        (tmp_path / rater).mkdir()
        for case in ("one", "two"):
            if (rater, case) != ("chris", "two"):
                (tmp_path / rater / f"{case}.npz").touch()
    config["cases"]["labels"] = {name: str(tmp_path / name) for name in ("anna", "ben", "chris")}
    return config


def test_raters_are_folders_and_their_majority_counts(rated: dict, tmp_path: Path):
    """Each case knows the files of its raters; the first stands for the label map."""
    arena = read(rated)
    assert (arena.consensus, arena.has_raters) == ("majority", True)
    assert [name for name, _ in arena.cases["two"].raters] == ["anna", "ben"]
    assert arena.cases["one"].label == tmp_path / "anna" / "one.npz"
    assert len(arena.cases["one"].label_files) == 3


def test_a_given_consensus_is_no_rater(rated: dict, tmp_path: Path):
    """The folder `given` is what the user goes by, unless another consensus is named."""
    rated["cases"]["labels"]["given"] = rated["cases"]["labels"].pop("ben")
    arena = read(rated)
    assert arena.consensus == "given"
    assert arena.cases["one"].label == tmp_path / "ben" / "one.npz"
    assert [name for name, _ in arena.cases["one"].raters] == ["anna", "chris"]
    rated["cases"]["consensus"] = "anna"
    assert read(rated).cases["one"].label == tmp_path / "anna" / "one.npz"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"consensus": "dora"}, "consensus: is 'dora'; one of majority, staple, anna, ben, chris"),
        ({"consensus": "given"}, "is 'given'; one of majority"),
        ({"consensus": "chris"}, "cases.consensus: chris has no label map named two"),
        ({"labels": {"staple": "x"}}, "'staple' cannot name a rater"),
        ({"labels": {"given": "x"}}, "only 'given' is named"),
        ({"labels": {"anna": "nowhere"}}, "cases.labels.anna: no folder 'nowhere'"),
        ({"labels": {}}, "labels"),
        ({"labels": {"a b": "x"}}, "labels"),
    ],
)
def test_raters_that_cannot_be_meant_are_named(rated: dict, change: dict, message: str):
    """One line with the key and what may stand there."""
    change = {
        key: {name: folder.replace("x", rated["submissions"]) for name, folder in value.items()}
        if isinstance(value, dict)
        else value
        for key, value in change.items()
    }
    with pytest.raises(ConfigError, match=message):
        read({**rated, "cases": {**rated["cases"], **change}})


def test_raters_need_whole_volumes_and_metrics_of_raters_need_raters(rated: dict, tmp_path: Path):
    """Slices of several folders, and a metric that no case has a value of, are rejected."""
    with pytest.raises(ConfigError, match=r"slices: cannot be cut where cases\.labels names"):
        read({**rated, "slices": {"rule": "largest"}})
    protocol = load("cvpr25") | {"name": "rated"}
    protocol["metrics"] = [*protocol["metrics"], {"name": "CRPS"}]
    (tmp_path / "rated.yaml").write_text(yaml.safe_dump(protocol))
    rated["protocols"] = [str(tmp_path / "rated.yaml")]
    assert read(rated).protocols["rated"]
    rated["cases"]["labels"] = rated["cases"]["labels"]["anna"]
    with pytest.raises(ConfigError, match="rated: metrics: one of them needs several raters"):
        read(rated)


def _sheet(config: dict, tmp_path: Path, text: str) -> dict:
    (tmp_path / "cases.tsv").write_text(text)
    return {**config, "sheets": {"cases": str(tmp_path / "cases.tsv")}}


def test_a_sheet_says_more_of_a_case(config: dict, tmp_path: Path):
    """Modality, window and box have their meaning; other columns are groups."""
    sheet = "case\tmodality\twindow\tbox\tsite\none\tCT\tlung\tno\tA\n"
    case = read(_sheet(config, tmp_path, sheet)).cases["one"]
    assert (case.modality, case.window, case.box) == ("CT", "lung", False)
    assert case.described == {"modality": "CT", "site": "A"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name\none\n", "column 'case'"),
        ("case\none\none\n", "line 3: duplicate case 'one'"),
        ("case\ntwo\n", "line 2: no case 'two'"),
        ("case\tbox\none\tmaybe\n", "write yes or no"),
        ("case\tbox\none\n", "expected 2 columns as in the header, found 1"),
    ],
)
def test_a_wrong_sheet_is_told_by_its_line(config: dict, tmp_path: Path, text: str, message: str):
    """File and line stand in the message."""
    with pytest.raises(ConfigError, match=message):
        read(_sheet(config, tmp_path, text))


def test_two_protocols_of_one_name_are_refused(config: dict, tmp_path: Path):
    """Both files stand in the one line; the last one does not silently win."""
    copy = tmp_path / "cvpr25.yaml"
    copy.write_text(yaml.safe_dump(load("cvpr25")))
    with pytest.raises(ConfigError) as raised:
        read({**config, "protocols": ["cvpr25", str(copy)]}, "config.yaml")
    assert str(raised.value) == (
        f"config.yaml: protocols: cvpr25 and {copy} have the same name 'cvpr25'; "
        "give one of them another name, or remove it"
    )


def test_what_the_user_should_know_is_noted(config: dict, tmp_path: Path):
    """An upload that is not finished, and a sheet whose letters may be wrong."""
    (tmp_path / "submissions" / "bob.tar.gz.part").touch()
    sheet = tmp_path / "teams.tsv"
    sheet.write_bytes("submission;name\nada;Universität\n".encode("cp1252"))
    arena = read({**config, "sheets": {"submissions": str(sheet)}})
    assert arena.display_names == {"ada": "Universität"}
    upload, letters = arena.notes
    assert "bob.tar.gz.part: an upload that is not finished" in upload
    assert "teams.tsv: read as Windows-1252" in letters


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_a_link_to_nothing_among_the_cases_is_told(config: dict, tmp_path: Path, kind: str):
    """A mount that is not there makes such links; the file and where it leads are named."""
    path = tmp_path / kind / "one.npz"
    path.unlink()
    path.symlink_to("/gone/one.npz")
    with pytest.raises(
        ConfigError, match=r"one\.npz: a link to '/gone/one\.npz', which is not there"
    ):
        read(config)


def test_cases_that_differ_only_in_case_are_refused(config: dict, tmp_path: Path):
    """On a disk that does not tell them apart they would be one."""
    for kind in ("images", "labels"):
        (tmp_path / kind / "ONE.npz").touch()
    with pytest.raises(ConfigError, match="only in upper and lower case"):
        read(config)


def test_two_submissions_of_one_name_are_refused(tmp_path: Path):
    """An archive and a folder of the same name cannot both be that submission."""
    (tmp_path / "ada.tar.gz").touch()
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "predict.sh").touch()
    with pytest.raises(ConfigError, match="second submission of the name 'ada'"):
        find_submissions(tmp_path)


@pytest.mark.parametrize(
    ("change", "bare", "archive"),
    [
        ({}, True, False),
        ({"base_image": "python"}, False, False),
        ({"runtime": "docker", "base_image": "python"}, False, False),
        ({"runtime": "process"}, True, True),
    ],
)
def test_what_runs_without_a_container(
    config: dict, tmp_path: Path, change: dict, bare: bool, archive: bool
):
    """A folder that has no image to run in, unless the config allows containers alone."""
    (tmp_path / "submissions" / "bob.tar").touch()
    arena = read(config | change)
    assert (arena.runs_as_process("ada"), arena.runs_as_process("bob")) == (bare, archive)


def test_an_empty_submissions_folder_is_refused(tmp_path: Path):
    """The message says what a submission looks like."""
    with pytest.raises(ConfigError, match=r"NAME/predict\.sh"):
        find_submissions(tmp_path)


def test_every_bundled_protocol_is_valid():
    """All of config/protocols loads, and cvpr25 is a box and five clicks."""
    for path in (ROOT / "config" / "protocols").glob("*.yaml"):
        assert load(path.stem)["name"] == path.stem
    assert [step["prompt"] for step in steps(load("cvpr25"))] == ["box", *["click"] * 5]


def test_a_wrong_protocol_key_is_named(tmp_path: Path):
    """The message has the file, the key and what is allowed there."""
    protocol = load("cvpr25") | {"name": "mine", "on_failure": "ignore"}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(protocol))
    with pytest.raises(ConfigError, match=r"mine\.yaml: on_failure: 'ignore' is not one of"):
        load(path)


def test_a_reference_that_reads_zyx_is_not_given_xyz(config: dict):
    """Ready-made spacings read as (x, y, z) would give other scores than cvpr25's script."""
    config["cases"]["npz_spacing"] = "xyz"
    for kind in ("images", "labels"):
        folder = Path(config["cases"][kind])
        for path in list(folder.iterdir()):
            path.rename(folder / f"{path.name.partition('.')[0]}.npz")
    with pytest.raises(ConfigError, match=r"cases.npz_spacing: the reference of cvpr25 reads"):
        read(config | {"protocols": ["cvpr25"]})
    assert read(config | {"protocols": ["noc"]}).npz_spacing == "xyz"


def test_every_key_is_described_in_the_schema_and_in_the_readme():
    """config/README.md names every key of the config, with the schema's own description."""
    schema = yaml.safe_load((SCHEMAS / "config.schema.yaml").read_text())
    readme = " ".join((ROOT / "config" / "README.md").read_text().split())
    for key, value in _keys(schema):
        assert f"`{key}`" in readme, key
        assert " ".join(value["description"].split()) in readme, key


def _keys(schema: dict, above: str = "") -> list[tuple[str, dict]]:
    found = []
    for key, value in schema.get("properties", {}).items():
        found += [(f"{above}{key}", value), *_keys(value, f"{above}{key}.")]
    return found
