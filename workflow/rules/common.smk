"""What every rule file uses: the checked config, the digests that decide what is run again, and
the lock that keeps two runs out of one folder.

Input: the config (workflow/schemas/config.schema.yaml). Output: ARENA, the checked config.
"""

import os
import sys
from pathlib import Path

SOURCE = os.path.join(workflow.basedir, "src")
sys.path.insert(0, SOURCE)
# Scripts run as processes of their own and find the package this way, installed or not.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [SOURCE, os.environ.get("PYTHONPATH")])
)

from segarena import run
from segarena.config import read
from segarena.predict.image import digest
from segarena.protocol import steps
from segarena.provenance import code_digest

if not config:

    configfile: "config/config.yaml"


with run.refused():
    ARENA = read(config)


# On a cluster these run beside Snakemake: a second each, and hardly any work.
localrules:
    all,
    cases,
    metrics,
    rank,


wildcard_constraints:
    protocol=r"[a-z0-9][a-z0-9-]*",
    submission=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    case=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    k=r"[1-9]\d*",


def code(script):
    """Return the digest of a script and of the package modules behind it."""
    return code_digest(os.path.join(workflow.basedir, "workflow", "scripts", script))


def interactions(protocol):
    """Return the numbers of a protocol's interactions, from 1."""
    return range(1, len(steps(ARENA.protocols[protocol])) + 1)


def case_of(wildcards):
    """Return the case, as config and sheet describe it."""
    return ARENA.cases[wildcards.case]


def protocol_of(wildcards):
    """Return the protocol of a job."""
    return ARENA.protocols[wildcards.protocol]


def prompt_steps(protocol):
    """Return what the prompt stage needs to know at each interaction."""
    head = {
        "protocol": protocol["name"],
        "version": protocol["version"],
        "seed": protocol["seed"],
    }
    return [{**head, "step": step} for step in steps(protocol)]


def predict_part(protocol):
    """Return all but the files that an answer depends on."""
    keys = ("name", "version", "on_failure", "time", "limits")
    rules_of_play = {key: protocol[key] for key in keys}
    return {
        "rules": rules_of_play,
        "gpu": ARENA.gpus > 0,
        "code": code("predict.py"),
    }


onstart:
    run.begin(gpus=ARENA.gpus, cluster=not workflow.local_exec)
    if ARENA.gpus and workflow.local_exec:
        # As many calls at a time as slots; which device each gets, predict/gpu.py decides.
        workflow.register_resource("gpu", ARENA.gpus)


onerror:
    run.tell_errors()
