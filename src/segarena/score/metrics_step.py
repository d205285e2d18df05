"""Write a submission's tables: one row a case in the reference evaluation's columns, and labels."""

from typing import Any

from segarena.files import read_json
from segarena.score.per_label import LABEL_COLUMNS, label_rows
from segarena.score.table import read_scores, row, unanswered, write_table


def main(
    score_files: list[str],
    record_files: list[str],
    output: str,
    *,
    cases: list[str],
    values: dict[str, Any],
    labels_output: str,
) -> None:
    """Summarise each case's scores and running times, and each label's scores over the cases."""
    records: dict[str, list[dict[str, Any]]] = {case: [] for case in cases}
    for record in map(read_json, record_files):
        records[record["case"]].append(record)
    over = values.get("over", "labels")
    rows = []
    for case, path in zip(cases, score_files, strict=True):
        mine = sorted(records[case], key=lambda record: record["interaction"])
        seconds = [record["seconds"] for record in mine]
        statuses = [record["status"] for record in mine]
        asked = [status != "not_asked" for status in statuses]
        failed = unanswered(statuses, values["on_failure"])
        scores = read_scores(path)
        labels = given = None
        if over != "labels":
            labels = len(next(iter(next(iter(scores.values())).values())))
            given, scores = scores, read_scores(path, over=over)
        rows.append(
            row(
                case,
                scores,
                seconds,
                values,
                asked=asked,
                unanswered=failed,
                labels=labels,
                given=given,
            )
        )
    write_table(output, rows)
    write_table(labels_output, label_rows(score_files, values), columns=LABEL_COLUMNS)
