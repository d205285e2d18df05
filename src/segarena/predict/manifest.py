"""What an archive says of its image, checked before any engine is given it.

A docker archive has a manifest.json; an OCI layout (`docker buildx --output type=oci`, `podman save
--format oci-archive`) an index.json, which names manifests by their digest.

An engine reads these JSON files by rules of its own (keys in any case, a number of wrong types that
end in an error of the engine's), so they are compared with what the image specification allows.
What is rejected here is the submission's fault, by the fact that the file breaks a rule; whatever
an engine says afterwards needs no interpreting.
"""

import hashlib
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from segarena.errors import SubmissionError
from segarena.untrusted import json_value

MOST_LAYERS = 125
"""As many as Docker can stack (`max depth exceeded` above)."""

_MOST_ENTRIES, _MOST_VOLUMES, _MOST_ENVIRONMENT_BYTES = 1000, 64, 256 << 10
_LONGEST_WORD = 256
_LARGEST_ID = 2**31 - 1
_WORD = re.compile(r"[A-Za-z0-9._/-]{0,64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TEXT, _TEXTS, _COMMAND, _MAP = "text", "list of texts", "text or list of texts", "map"
_SETTINGS = {
    **dict.fromkeys(("User", "WorkingDir", "StopSignal", "Hostname", "Domainname"), _TEXT),
    **dict.fromkeys(("Env", "OnBuild", "Shell"), _TEXTS),
    **dict.fromkeys(("Cmd", "Entrypoint"), _COMMAND),
    **dict.fromkeys(("Volumes", "ExposedPorts", "Labels", "Healthcheck"), _MAP),
}
_INDEX, _DESCRIPTOR = {"manifests"}, {"digest", "platform", "annotations"}
_DEEPEST_INDEX = 3
_FORBIDDEN_VOLUMES = ("/proc", "/sys", "/dev")


def image_of(manifest: bytes) -> tuple[str, list[str]]:
    """Return the path of the configuration and those of the layers, lowest first.

    Raises SubmissionError where manifest.json does not describe exactly one image.
    """
    images = _json(manifest, "manifest.json")
    if not isinstance(images, list):
        raise SubmissionError("manifest.json is no list of images")
    if len(images) != 1:
        raise SubmissionError(f"{len(images)} images in one archive; save exactly one")
    image = _map(images[0], "manifest.json", {"Config", "RepoTags", "Layers"})
    config: Any = image.get("Config")
    layers: Any = image.get("Layers")
    if not isinstance(config, str) or not _is(layers, _TEXTS):
        raise SubmissionError("manifest.json does not name a configuration and layers")
    if len(layers) > MOST_LAYERS:
        raise SubmissionError(f"{len(layers)} layers; an engine stacks {MOST_LAYERS}: join some")
    return posixpath.normpath(config), [posixpath.normpath(layer) for layer in layers]


def image_in(jsons: Mapping[str, bytes], architecture: str) -> tuple[str, list[str]]:
    """Return the path of the configuration and those of the layers, lowest first.

    jsons: all JSON files of the archive by their place in it. architecture: which image of several
    is meant, as images name it. Raises SubmissionError where there is not exactly one.
    """
    if "manifest.json" in jsons:
        return image_of(jsons["manifest.json"])
    if "index.json" not in jsons:
        raise SubmissionError(
            "no image: there is neither manifest.json nor index.json in it; make it with "
            "`docker save`"
        )
    found = list(
        _images_of_index(jsons, _map(_json(jsons["index.json"], "index.json"), "index", _INDEX))
    )
    suited = [image for image in found if image[0] in {architecture, ""}] or found
    if len(suited) != 1:
        kinds = ", ".join(sorted({kind for kind, _ in found if kind})) or "none for a machine"
        raise SubmissionError(f"{len(found)} images in one archive ({kinds}); save exactly one")
    manifest = suited[0][1]
    config = _blob(_map(manifest.get("config"), "the manifest: config", _DESCRIPTOR))
    layers = manifest.get("layers")
    if not isinstance(layers, list) or len(layers) > MOST_LAYERS:
        raise SubmissionError(f"the manifest does not name {MOST_LAYERS} layers or fewer")
    return _checked(config, jsons), [
        _blob(_map(one, "the manifest: layers", _DESCRIPTOR)) for one in layers
    ]


def _images_of_index(
    jsons: Mapping[str, bytes], index: dict[str, Any], depth: int = 0
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the architecture ("" where nothing says it) and the manifest of each image."""
    listed = index.get("manifests")
    if not isinstance(listed, list) or len(listed) > _MOST_ENTRIES or depth > _DEEPEST_INDEX:
        raise SubmissionError("index.json is no list of images")
    for entry in listed:
        about = _map(entry, "index.json", _DESCRIPTOR)
        platform = _map(about.get("platform") or {}, "index.json: platform", {"architecture", "os"})
        notes = _map(about.get("annotations") or {}, "index.json: annotations", set())
        if "vnd.docker.reference.type" in notes or platform.get("os") == "unknown":
            continue  # what a builder notes about an image
        place = _checked(_blob(about), jsons)
        value = _map(_json(jsons[place], place), place, _INDEX | {"config", "layers"})
        if "manifests" in value:
            yield from _images_of_index(jsons, value, depth + 1)
        else:
            yield str(platform.get("architecture") or ""), value


def _checked(place: str, jsons: Mapping[str, bytes]) -> str:
    """Return the place of a JSON blob that is what its digest says."""
    digest = hashlib.sha256(jsons.get(place, b"")).hexdigest()
    if place not in jsons or not place.endswith(digest):
        raise SubmissionError(f"{place} is missing in the archive or damaged")
    return place


def _blob(descriptor: dict[str, Any]) -> str:
    """Return the place of what a descriptor names by its digest."""
    digest = descriptor.get("digest")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise SubmissionError("a digest in the archive's manifest is no sha256 digest")
    return f"blobs/{digest.replace(':', '/')}"


def checked_configuration(raw: bytes) -> tuple[dict[str, Any], list[str], dict[str, Any]]:
    """Return an image's configuration, the digests of its layers, and its settings for containers.

    Raises SubmissionError with the key that cannot be used.
    """
    name = "the image's configuration"
    config = _map(_json(raw, name), name, {"architecture", "os", "config", "rootfs"})
    for key in ("architecture", "os"):
        value = config.get(key)
        if value is not None and not (isinstance(value, str) and _WORD.fullmatch(value)):
            raise SubmissionError(f"{name}: {key} is no name of a kind of machine")
    rootfs = _map(config.get("rootfs"), f"{name}: rootfs", {"type", "diff_ids"})
    digests: Any = rootfs.get("diff_ids")
    if not _is(digests, _TEXTS) or not all(map(_DIGEST.fullmatch, digests)):
        raise SubmissionError(f"{name}: rootfs.diff_ids is no list of sha256 digests")
    settings = _map(config.get("config") or {}, f"{name}: config", set(_SETTINGS))
    for key, kind in _SETTINGS.items():
        value = settings.get(key)
        if value is not None and not _is(value, kind):
            raise SubmissionError(f"{name}: config.{key} is not a {kind} of plain characters")
        if isinstance(value, list | dict) and len(value) > _MOST_ENTRIES:
            raise SubmissionError(f"{name}: config.{key} has more than {_MOST_ENTRIES} entries")
    _check_user(settings.get("User") or "")
    _check_environment(settings.get("Env") or [])
    _check_volumes(settings.get("Volumes") or {})
    return config, list(digests), settings


def _json(raw: bytes, name: str) -> Any:
    try:
        return json_value(raw)
    except ValueError as error:
        raise SubmissionError(f"{name} is no JSON ({error})") from error


def _map(value: Any, name: str, keys: set[str]) -> dict[str, Any]:
    """Return a JSON object once none of its keys is one that an engine would take for another."""
    if not isinstance(value, dict):
        raise SubmissionError(f"{name} is no JSON object")
    known = {key.casefold(): key for key in keys}
    for key in value:
        if known.get(key.casefold(), key) != key:
            raise SubmissionError(
                f"{name}: write {known[key.casefold()]} in this way: an engine "
                "reads keys in any case, so one could be given twice"
            )
    return value


def _is(value: Any, kind: str) -> bool:
    if kind == _MAP:
        return isinstance(value, dict)
    if isinstance(value, str) and kind in (_TEXT, _COMMAND):
        return "\0" not in value
    texts = isinstance(value, list) and kind in (_TEXTS, _COMMAND)
    return texts and all(isinstance(item, str) and "\0" not in item for item in value)


def _check_user(user: str) -> None:
    if len(user) > _LONGEST_WORD or not user.isprintable():
        raise SubmissionError("the image's configuration: config.User is no name of a user")
    for part in user.split(":"):
        digits = part.lstrip("+-")
        if digits.isdecimal() and (part[0] == "-" or int(digits) > _LARGEST_ID):
            raise SubmissionError(
                f"the image's configuration: config.User is {user}; "
                f"a number of a user or group is 0 to {_LARGEST_ID}"
            )


def _check_environment(entries: list[str]) -> None:
    if any(entry.startswith("=") or not entry for entry in entries):
        raise SubmissionError("the image's configuration: config.Env has an entry without a name")
    if sum(len(entry.encode(errors="replace")) for entry in entries) > _MOST_ENVIRONMENT_BYTES:
        raise SubmissionError(
            f"the image's configuration: config.Env has more than {_MOST_ENVIRONMENT_BYTES >> 10} "
            "KiB; put it into a file of the image"
        )


def _check_volumes(volumes: dict[str, Any]) -> None:
    if len(volumes) > _MOST_VOLUMES:
        raise SubmissionError(
            f"the image's configuration: {len(volumes)} volumes; {_MOST_VOLUMES} are allowed"
        )
    for path in volumes:
        place = "/" + posixpath.normpath(f"/{path}").lstrip("/")
        inside = any(f"{place}/".startswith(f"{folder}/") for folder in _FORBIDDEN_VOLUMES)
        if place == "/" or inside or not path.startswith("/") or not path.isprintable():
            raise SubmissionError(
                f"the image's configuration: a volume at {path!r}; choose a folder of your own"
            )
