"""What the labels of a data set are called, and which of them make a region.

The table is a sheet, labels.tsv, or the dataset.json that nnU-Net keeps beside its folders. A label
is known by the id of its file, a region, a union of labels, by a name of its own such as WT.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segarena.errors import ConfigError
from segarena.protocol import Protocol, is_per_label
from segarena.sheets import read_sheet
from segarena.untrusted import json_value, printable

Labels = dict[str, dict[str, Any]]
"""By id, or by a region's name: `name`, perhaps `colour` (#rrggbb), and a region's `members`."""

COLUMNS = ("name", "colour", "members")

_ID = re.compile(r"[1-9]\d{0,8}")
_REGION = re.compile(r"[A-Za-z][A-Za-z0-9 ._+-]*")
_MEMBERS = re.compile(r"[1-9]\d{0,8}( *\+ *[1-9]\d{0,8})*")
_NUMBER = re.compile(r"\d{1,9}")
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
_BACKGROUND = "0"


def labels_from_sheet(path: str | Path) -> Labels:
    """Return what a sheet with the columns label, name, colour and members says.

    A row with members, such as 1+2+3, is a region. Raises ConfigError with a line per problem.
    """
    if not Path(path).is_file():
        raise ConfigError(f"sheets.labels: no file {str(path)!r}")
    labels: Labels = {}
    problems = []
    for line, row in read_sheet(path, "label", COLUMNS).rows:
        label, members = row["label"].strip(), row.get("members", "").strip()
        if label == _BACKGROUND and not members:
            continue
        reason = _why_wrong(label, members, row.get("colour", "").strip())
        if label in labels:
            reason = f"duplicate label {label!r}; remove one"
        if reason:
            problems.append(f"{path}: line {line}: {printable(reason)}")
            continue
        labels[label] = {"name": row.get("name", "").strip() or label}
        if row.get("colour", "").strip():
            labels[label]["colour"] = row["colour"].strip().lower()
        if members:
            labels[label]["members"] = sorted({int(number) for number in members.split("+")})
    if problems:
        raise ConfigError("\n".join(problems))
    return labels


def labels_from_nnunet(path: str | Path) -> Labels:
    """Return what an nnU-Net dataset.json says; nothing where it does not name labels.

    Version 2 maps names to ids, or to lists of ids, which are regions; version 1 ids to names.
    Raises ConfigError where the file or an entry cannot be understood.
    """
    try:
        content = json_value(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not readable as JSON ({error})") from error
    entries = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(entries, dict):
        return {}
    labels: Labels = {}
    problems = []
    for key, value in entries.items():
        is_version_1 = isinstance(value, str) and not value.isdecimal()
        name, ids = (value, key) if is_version_1 else (key, value)
        numbers = ids if isinstance(ids, list) else [ids]
        if not numbers or not all(_NUMBER.fullmatch(str(number)) for number in numbers):
            problems.append(
                f"{path}: labels: {printable(repr(key))} is {printable(repr(value))}; "
                "an id or a list of ids is expected"
            )
            continue
        members = sorted({int(number) for number in numbers})
        if len(members) > 1:
            labels[_region_name(str(name))] = {"name": str(name), "members": members}
        elif members != [0]:
            labels[str(members[0])] = {"name": str(name)}
    if problems:
        raise ConfigError("\n".join(problems))
    return labels


def find_labels(sheet: str | None, images: Path, labels: Path) -> Labels:
    """Return the sheet's labels; without one, those of a dataset.json beside both folders."""
    if sheet is not None:
        return labels_from_sheet(sheet)
    dataset_json = images.resolve().parent / "dataset.json"
    if images.resolve().parent == labels.resolve().parent and dataset_json.is_file():
        return labels_from_nnunet(dataset_json)
    return {}


def check_labels(labels: Labels, where: str) -> None:
    """Raise ConfigError where the labels of a protocol are none that a sheet could have."""
    for key, about in labels.items():
        members = "+".join(map(str, about.get("members", ())))
        reason = _why_wrong(key, members, about.get("colour", ""))
        if reason:
            raise ConfigError(f"{where}: {reason}")


def by_ids(protocol: Protocol, labels: Labels) -> Protocol:
    """Return a protocol that calls each label by its id and each region by its key.

    Both may be called by their names in the metrics' values per label and in `ranking.by`. Raises
    ConfigError where a name is none, is that of several, or one label is listed twice.
    """
    metrics = [
        {
            name: _keys_by_ids(value, labels, f"metrics.{position}.{name}")
            if is_per_label(name, value)
            else value
            for name, value in metric.items()
        }
        for position, metric in enumerate(protocol["metrics"])
    ]
    protocol = {**protocol, "metrics": metrics}
    if "by" in protocol["ranking"]:
        ids = [label_of(name, labels, "ranking.by") for name in protocol["ranking"]["by"]]
        if len(set(ids)) < len(ids):
            raise ConfigError(f"ranking.by: {_twice(ids)} is listed twice; remove one")
        protocol["ranking"] = {**protocol["ranking"], "by": ids}
    return protocol


def label_of(name: Any, labels: Labels, where: str) -> int | str:
    """Return the id of a label, or the key of a region, that is called `name`.

    An id need not be in `labels`. Raises ConfigError, which begins with `where`.
    """
    text = str(name)
    if _ID.fullmatch(text):
        return int(text)
    if "members" in labels.get(text, {}):
        return text
    found = [key for key, about in labels.items() if about["name"] == text]
    if len(found) > 1:
        raise ConfigError(
            f"{where}: {text!r} is the name of {', '.join(found)}; write one of these instead"
        )
    if not found:
        known = ", ".join(
            key if about["name"] == key else f"{key} ({about['name']})"
            for key, about in labels.items()
        )
        raise ConfigError(
            f"{where}: {text!r} is no label and no region; known: "
            f"{known or 'none; give a sheet of labels (sheets.labels), or write an id'}"
        )
    return found[0] if "members" in labels[found[0]] else int(found[0])


def _keys_by_ids(values: Mapping[Any, Any], labels: Labels, where: str) -> dict[Any, Any]:
    keys = [key if key == "default" else label_of(key, labels, where) for key in values]
    if len(set(keys)) < len(keys):
        raise ConfigError(f"{where}: {_twice(keys)} is listed twice; remove one")
    return dict(zip(keys, values.values(), strict=True))


def _twice(keys: list[Any]) -> Any:
    return next(key for key in keys if keys.count(key) > 1)


def _why_wrong(label: str, members: str, colour: str) -> str | None:
    if members and not _REGION.fullmatch(label):
        return f"label is {label!r}; a region needs a name that begins with a letter, such as WT"
    if members and not _MEMBERS.fullmatch(members):
        return f"members is {members!r}; write ids with + between them, such as 1+2+3"
    if not members and not _ID.fullmatch(label):
        return f"label is {label!r}; write an id, or give the region's members, such as 1+2+3"
    if colour and not _COLOUR.fullmatch(colour):
        return f"colour is {colour!r}; write it as #rrggbb"
    return None


def _region_name(name: str) -> str:
    """Return a name as it can stand in a table's column of labels."""
    plain = re.sub(r"[^A-Za-z0-9 ._+-]", "_", name)
    return plain if _REGION.fullmatch(plain) else f"region {plain}"
