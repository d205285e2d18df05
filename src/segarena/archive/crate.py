"""What an archive says of itself to other programs: a Workflow Run RO-Crate.

Profile: https://w3id.org/ro/wfrun/workflow/0.5, on RO-Crate 1.1. Prompts, records and answers are
described folder by folder, since there may be many thousands; every other file is listed with its
sha256. The library would date the crate today and name entities at random; both are set here.
"""

from typing import Any

from rocrate.model import ContextEntity
from rocrate.rocrate import ROCrate

from segarena.archive import contents

WORKFLOW_RUN = "https://w3id.org/ro/terms/workflow-run/context"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
FOLDERS = {
    "results/prompt/": "All prompts of the simulated user: PROTOCOL/SUBMISSION/CASE/K.json",
    "results/predict/": "How each call went, and the answers: PROTOCOL/SUBMISSION/CASE/K",
    "results/score/": "Scores by case, and one table a submission",
    "results/rank/": "Leaderboard, significance and stability",
    "results/report/": "The report for people",
    "results/prepare/": "What is known of each case",
    "src/": "The code that made the results",
    "workflow/": "The rules and scripts of the workflow",
}
TOO_MANY = ("results/prompt/", "results/predict/", "src/", "workflow/")
TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".html": "text/html",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".npz": "application/zip",
    ".js": "text/javascript",
    ".png": "image/png",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
    ".tsv": "text/tab-separated-values",
    ".yaml": "application/yaml",
}
NO_LICENSE = "No licence is given: ask the organisers before you share or reuse this archive."


def describe(
    facts: contents.Facts, digests: dict[str, str], sizes: dict[str, int]
) -> dict[str, Any]:
    """Return the content of ro-crate-metadata.json.

    digests, sizes: sha256 and bytes of every other file by its name in the archive.
    """
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(WORKFLOW_RUN)
    _describe_root(crate, facts)
    files = _add_parts(crate, digests, sizes)
    workflow = crate.add_workflow(
        dest_path="Snakefile", main=True, lang="snakemake", properties=_about("Snakefile", digests)
    )
    workflow["name"] = "SegArena"
    workflow["version"] = facts["software"]["segarena"]
    workflow["programmingLanguage"]["version"] = facts["software"]["snakemake"]
    _describe_run(crate, facts, files)
    return crate.metadata.generate()


def _describe_root(crate: ROCrate, facts: contents.Facts) -> None:
    crate.datePublished = facts["ended"]
    crate.name = facts["name"]
    crate.description = (
        f"A SegArena run: {len(facts['submissions'])} submissions, {len(facts['cases'])} cases, "
        f"protocols {', '.join(f'{p} (version {v})' for p, v in facts['protocols'].items())}. "
        "`segarena verify` checks it."
    )
    license_ = facts["license"]
    if license_.startswith(("http://", "https://")):
        crate.license = {"@id": license_}
        _add(crate, license_, "CreativeWork", name=license_)
    else:
        crate.license = license_ or NO_LICENSE
    crate.root_dataset["conformsTo"] = [
        _add(crate, url, "CreativeWork", name=name, version=url.rsplit("/", 1)[-1])
        for url, name in PROFILES.items()
    ]


def _add_parts(
    crate: ROCrate, digests: dict[str, str], sizes: dict[str, int]
) -> dict[str, list[Any]]:
    """Add folders and files; return what went into the run and what came out of it."""
    parts: dict[str, list[Any]] = {"object": [], "result": []}
    for folder, text in FOLDERS.items():
        if any(name.startswith(folder) for name in digests):
            entity = crate.add_dataset(dest_path=folder, properties={"name": text})
            if folder.startswith("results/"):
                parts["result"].append(entity)
    for name in digests:
        if name == "Snakefile" or name.startswith(TOO_MANY):
            continue
        about = {"contentSize": str(sizes[name]), **_about(name, digests)}
        entity = crate.add_file(dest_path=name, properties=about)
        if name.startswith("results/"):
            parts["result"].append(entity)
        elif name.startswith(("config/", "sheets/", "scribbles/")):
            parts["object"].append(entity)
    return parts


def _about(name: str, digests: dict[str, str]) -> dict[str, Any]:
    suffix = f".{name.rsplit('.', 1)[-1]}"
    kind = TYPES.get(suffix, "text/plain")
    about = {"about": {"@id": "./"}} if name == "README.md" else {}
    return {"name": name, "sha256": digests[name], "encodingFormat": kind, **about}


def _describe_run(crate: ROCrate, facts: contents.Facts, parts: dict[str, list[Any]]) -> None:
    software = [
        _add(crate, f"#software-{name}", "SoftwareApplication", name=name, softwareVersion=version)
        for name, version in facts["software"].items()
    ]
    crate.mainEntity["softwareRequirements"] = software
    submissions = [_submission(crate, name, about) for name, about in facts["submissions"].items()]
    run = _add(
        crate,
        "#run",
        "CreateAction",
        name=f"The run {facts['name']}",
        startTime=facts["started"],
        endTime=facts["ended"],
        description="Every submission prompted by the simulated user on every case",
        actionStatus="http://schema.org/CompletedActionStatus",
    )
    run["instrument"] = crate.mainEntity
    run["object"] = parts["object"]
    run["result"] = parts["result"]
    crate.root_dataset["mentions"] = [run, *submissions]


def _submission(crate: ROCrate, name: str, about: dict[str, Any]) -> Any:
    entity = _add(
        crate,
        f"#submission-{name}",
        "SoftwareApplication",
        name=about["name"],
        identifier=name,
        sha256=about["sha256"],
        softwareVersion=about["image_id"] or about["sha256"],
    )
    if about["image_id"]:
        entity["containerImage"] = _add(
            crate,
            f"#image-{name}",
            "ContainerImage",
            name=about["name"],
            sha256=about["image_id"].removeprefix("sha256:"),
            additionalType={"@id": "https://w3id.org/ro/terms/workflow-run#DockerImage"},
        )
    return entity


def _add(crate: ROCrate, id_: str, kind: str, /, **properties: Any) -> Any:
    return crate.add(ContextEntity(crate, id_, properties={"@type": kind, **properties}))
