"""Draw the figures of one protocol and write its page."""

from pathlib import Path
from typing import Any

import vl_convert

from segarena.rank.tables import about
from segarena.report.charts import draw
from segarena.report.page import write
from segarena.report.public import write_public
from segarena.report.results import failures, read


def main(
    tables: list[str],
    results: Path,
    *,
    protocol: dict[str, Any],
    names: dict[str, str],
    groups: dict[str, dict[str, str]],
    public: bool = False,
    viewer: bool = False,
) -> None:
    """Write index.html, data/, tables/ and figures/ of results/report/PROTOCOL.

    public: whether to write public/ as well, which a web site may show.
    """
    name = protocol["name"]
    found = read(tables, results / "rank" / name, protocol=protocol, names=names, groups=groups)
    folder = results / "report" / name
    write(
        folder,
        found,
        failed=failures(found),
        specs=draw(folder / "figures", found),
        vega=vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"),
        software=about()["software"],
        viewer=viewer,
    )
    if public:
        write_public(folder / "public", found)
