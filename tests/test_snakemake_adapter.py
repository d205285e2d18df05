"""What is used of Snakemake beyond its language is still there, and does what we take it to do."""

import errno
import inspect
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from snakemake import exceptions
from snakemake.api import Workflow  # first: other ways in are circular
from snakemake.resources import Resources
from snakemake.settings.types import DAGSettings, ResourceSettings

from segarena.snakemake_adapter import (
    is_forced,
    report_full_disk_in_one_line,
    share_resources,
)


def test_what_is_spared_while_planning_is_still_asked_and_still_needless():
    """Snakemake looks for pipes where a job begins, by the name that we know; no rule has any."""
    from snakemake.jobs import Job

    assert "self.is_pipe_or_service_input(" in inspect.getsource(Job.prepare)
    rules = Path(__file__).parents[1].glob("workflow/rules/*.smk")
    assert not [path.name for path in rules if re.search(r"\b(pipe|service)\(", path.read_text())]


class _Workflow:
    """The one attribute of Snakemake's workflow that the resources of a rule hang on."""

    def __init__(self, settings: ResourceSettings) -> None:
        self.resource_settings = settings


def test_session_rules_get_what_a_profile_sets_for_session():
    """Snakemake reads them by each rule's own name; what is set for one rule itself stays."""
    given = {"session": {"mem_mb": 7}, "session_b": {"mem_mb": 9}}
    settings = ResourceSettings(overwrite_resources=given)
    share_resources(_Workflow(settings), "session", ["session_a", "session_b"])
    read = settings._parsed_overwrite_resources  # what Snakemake makes of the public field
    amounts = {name: dict(read[name].items())["mem_mb"].value for name in read}
    assert amounts == {"session": 7, "session_a": 7, "session_b": 9}
    assert isinstance(read["session_a"], Resources)


@pytest.mark.parametrize(
    ("asked", "forced"),
    [
        ({}, False),
        ({"forcerun": {"image"}}, False),
        ({"forcerun": {"base_image"}}, True),
        ({"forceall": True}, True),
    ],
)
def test_what_is_to_be_run_again_is_known(asked: dict[str, Any], forced: bool):
    """As --forcerun and --forceall say it."""

    class Asked:
        dag_settings = DAGSettings(**asked)

    assert is_forced(Asked, "base_image") == forced


def test_what_the_rules_ask_of_snakemake_is_there():
    """Attributes of the workflow that its documentation does not name, by their use here."""
    rules = Path(__file__).parents[1] / "workflow" / "rules"
    adapter = Path(inspect.getsourcefile(share_resources) or "")
    text = "".join(path.read_text() for path in [*rules.glob("*.smk"), adapter])
    used = set(re.findall(r"\bworkflow\.([a-z_]+)\b", text)) - {"smk"}
    source = inspect.getsource(Workflow)
    for name in used:
        assert hasattr(Workflow, name) or re.search(rf"\b{name}\b", source), name
    assert not [name for name in used if name.startswith("_")]
    assert not re.search(r"workflow(\.\w+)*\._", text)


def test_a_disk_that_is_full_for_snakemake_is_one_line(monkeypatch):
    """Every way in which it prints an error goes through one function; others stay as they are."""
    monkeypatch.setattr(logging, "raiseExceptions", True)
    monkeypatch.setattr(
        exceptions, "format_exception_to_string", exceptions.format_exception_to_string
    )
    assert "format_exception_to_string(" in inspect.getsource(exceptions.print_exception)
    report_full_disk_in_one_line()
    full = exceptions.format_exception_to_string(OSError(errno.ENOSPC, "No space left", "a/b"))
    assert full.startswith("segarena: a/b: the disk is full")
    assert "\n" not in full
    assert "KeyError" in exceptions.format_exception_to_string(KeyError("x"))
