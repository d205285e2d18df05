"""Write the viewer's page, and NiiVue beside it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from segarena.files import atomic_write
from segarena.report.pictures import ERRORS, hex_of
from segarena.report.script import script_json
from segarena.report.templating import TEMPLATES, environment

NIIVUE_FILES = ("niivue.js", "niivue-licence.txt")


def main(
    folder: Path, *, protocol: str, names: Mapping[str, str], cases: list[str], interactions: int
) -> None:
    """Write index.html and NiiVue. names: of the submissions, as they are shown."""
    data = {
        "teams": [{"id": name, "name": shown} for name, shown in names.items()],
        "cases": cases,
        "interactions": interactions,
        "errors": list(ERRORS.values()),
    }
    text = (
        environment()
        .get_template("viewer.html")
        .render(
            protocol=protocol,
            data=script_json(data),
            teams=data["teams"],
            cases=cases,
            interactions=interactions,
            errors={name: hex_of(colour) for name, colour in ERRORS.items()},
            script=(TEMPLATES / "viewer.js").read_text(encoding="utf-8"),
            nonce=hashlib.sha256(script_json(data).encode()).hexdigest()[:32],
        )
    )
    for name in NIIVUE_FILES:
        with atomic_write(folder / name) as tmp:
            tmp.write_bytes((TEMPLATES / name).read_bytes())
    with atomic_write(folder / "index.html") as tmp:
        tmp.write_text(text, encoding="utf-8")
