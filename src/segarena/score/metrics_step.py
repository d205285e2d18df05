"""Write a submission's table: one row a case, in the reference evaluation's columns."""

from typing import Any

from segarena.files import read_json
from segarena.score.table import read_scores, row, write_table


def main(
    score_files: list[str],
    record_files: list[str],
    output: str,
    *,
    cases: list[str],
    values: dict[str, Any],
) -> None:
    """Summarise each case's scores and running times."""
    records: dict[str, list[dict[str, Any]]] = {case: [] for case in cases}
    for record in map(read_json, record_files):
        records[record["case"]].append(record)
    rows = []
    for case, scores in zip(cases, score_files, strict=True):
        mine = sorted(records[case], key=lambda record: record["interaction"])
        seconds = [record["seconds"] for record in mine]
        asked = [record["status"] != "not_asked" for record in mine]
        rows.append(row(case, read_scores(scores), seconds, values, asked=asked))
    write_table(output, rows)
