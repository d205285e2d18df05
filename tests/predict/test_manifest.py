"""What an image asks for is refused where no engine can give it, in one printable line."""

import json
from typing import Any

import pytest

from segarena.errors import SubmissionError
from segarena.predict.manifest import checked_configuration, image_of

DIGEST = f"sha256:{'0' * 64}"


def manifest(**changes: Any) -> bytes:
    image = {"Config": "a.json", "RepoTags": ["x:y"], "Layers": ["b/layer.tar"], **changes}
    return json.dumps([image]).encode()


def configuration(settings: Any = None, **changes: Any) -> bytes:
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
        **changes,
    }
    return json.dumps(config).encode()


def test_an_honest_manifest_names_configuration_and_layers():
    """Paths are given in one spelling, as those of the members are."""
    assert image_of(manifest()) == ("a.json", ["b/layer.tar"])
    assert image_of(manifest(Config="./a.json", Layers=["./b//c"])) == ("a.json", ["b/c"])


MANIFESTS = {
    "no list": b"{}",
    "no image": b"[]",
    "two images": b"[1, 2]",
    "no object": b"[1]",
    "no JSON": b"[",
    "deep JSON": b"[" * 200_000,
    "an endless number": b"[" + b"9" * 100_000 + b"]",
    "no layers": json.dumps([{"Config": "x"}]).encode(),
    "a layer that is a number": manifest(Layers=[1]),
    "a layer that is a list": manifest(Layers=[["x"]]),
    "layers that are text": manifest(Layers="abc"),
    "a configuration that is a map": manifest(Config={"a": 1}),
    "126 layers": manifest(Layers=["x"] * 126),
    "a key in other letters": manifest(config="other.json"),
    "a key in letters that an engine folds": manifest(**{"layer\u017f": ["other"]}),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_strange_manifest_is_refused(name: str):
    """Of whatever types it is, and where an engine would read another key."""
    with pytest.raises(SubmissionError) as caught:
        image_of(MANIFESTS[name])
    assert len(str(caught.value)) < 500


SETTINGS: dict[str, Any] = {
    "nothing": None,
    "all of them": {
        "User": "1000:1000",
        "Env": ["PATH=/bin", "A="],
        "Cmd": ["sh", "-c", "x"],
        "Entrypoint": "sh",
        "WorkingDir": "/workspace",
        "Volumes": {"/data": {}, "/workspace/outputs": {}, "/development": {}},
        "Labels": {"user": "a", "User": "b"},
        "Healthcheck": {"Test": ["NONE"]},
        "ExposedPorts": {"80/tcp": {}},
        "Future": [1],
    },
    "a user by name": {"User": "nobody"},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_honest_settings_pass(name: str):
    """What images have in their configuration, also what no engine of today knows."""
    _, digests, settings = checked_configuration(configuration(SETTINGS[name]))
    assert (digests, settings) == ([DIGEST], SETTINGS[name] or {})


BROKEN: dict[str, Any] = {
    "a negative user": {"User": "-1"},
    "a user of 11 digits": {"User": "99999999999"},
    "a group of 11 digits": {"User": "0:99999999999"},
    "a user that is a number": {"User": 5},
    "a user that is a list": {"User": ["root"]},
    "a user with a nul": {"User": "a\0b"},
    "a user of escape sequences": {"User": "\x1b[2J"},
    "a user of a megabyte": {"User": "a" * 1_000_000},
    "an environment with a nul": {"Env": ["A=\0"]},
    "an environment without names": {"Env": ["=x"]},
    "an empty entry": {"Env": [""]},
    "an environment that is text": {"Env": "A=1"},
    "an environment of maps": {"Env": [{"A": 1}]},
    "an environment of megabytes": {"Env": [f"A{i}=" + "x" * 1000 for i in range(500)]},
    "an environment of many": {"Env": [f"A{i}=" for i in range(5000)]},
    "the root as a volume": {"Volumes": {"/": {}}},
    "the root, otherwise": {"Volumes": {"/a/..": {}}},
    "/proc as a volume": {"Volumes": {"/proc": {}}},
    "below /proc": {"Volumes": {"/proc/self": {}}},
    "/dev, otherwise": {"Volumes": {"//dev/./": {}}},
    "/sys by a way round": {"Volumes": {"/data/../sys": {}}},
    "a volume that is no path": {"Volumes": {"data": {}}},
    "an empty volume": {"Volumes": {"": {}}},
    "a volume of escape sequences": {"Volumes": {"/\x1b[2J": {}}},
    "5,000 volumes": {"Volumes": {f"/v{i}": {} for i in range(5000)}},
    "volumes that are a list": {"Volumes": ["/data"]},
    "labels that are a list": {"Labels": ["a"]},
    "very many labels": {"Labels": {f"l{i}": "" for i in range(5000)}},
    "a command that is a number": {"Cmd": 1},
    "a command of numbers": {"Cmd": [1]},
    "an entry point that is a map": {"Entrypoint": {}},
    "a health check that is text": {"Healthcheck": "true"},
    "a key in other letters": {"User": "1000", "user": "root"},
    "settings that are a list": [1],
    "settings that are text": "x",
}


@pytest.mark.parametrize("name", BROKEN)
def test_settings_that_no_engine_can_use_are_refused(name: str):
    """By the rule that they break; the line has a bound and the key in it."""
    with pytest.raises(SubmissionError) as caught:
        checked_configuration(configuration(BROKEN[name]))
    assert "config" in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "\x1b[31mamd64"},
        {"architecture": 5},
        {"os": "a" * 1000},
        {"rootfs": None},
        {"rootfs": []},
        {"rootfs": {"diff_ids": "x"}},
        {"rootfs": {"diff_ids": ["sha256:xyz"]}},
        {"rootfs": {"diff_ids": [None]}},
        {"Rootfs": {"diff_ids": []}},
    ],
    ids=str,
)
def test_a_configuration_of_wrong_types_is_refused(changes: dict[str, Any]):
    """Kinds of machines, digests of layers, and their keys in other letters."""
    with pytest.raises(SubmissionError):
        checked_configuration(configuration(**changes))
