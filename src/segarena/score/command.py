"""`segarena score`: measure one label map against another, without a workflow."""

import argparse
from pathlib import Path
from typing import Any

from segarena.score import DEFAULT_METRICS, score


def add_parser(subparsers: Any) -> None:
    """Add `score` to the sub-commands of `segarena`."""
    parser = subparsers.add_parser(
        "score",
        description="Measure a NIfTI label map against another, label by label (docs/metrics.md).",
    )
    parser.add_argument("truth", type=Path, metavar="TRUTH")
    parser.add_argument("answer", type=Path, metavar="ANSWER")
    parser.add_argument(
        "--metric",
        action="append",
        metavar="NAME[,KEY=VALUE...]",
        help="a metric of the catalogue with its parameters; may be given several times",
    )
    parser.add_argument("--csv", action="store_true", help="print CSV with all digits")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run `segarena score` and return its exit code; raises CaseError or ConfigError."""
    metrics = [_metric(text) for text in arguments.metric or ()] or DEFAULT_METRICS
    table = score(arguments.truth, arguments.answer, metrics=metrics)
    print(table.to_csv(index=False) if arguments.csv else table.to_string(index=False))
    return 0


def _metric(text: str) -> dict[str, Any]:
    import yaml

    name, *parameters = text.split(",")
    given = dict(parameter.partition("=")[::2] for parameter in parameters)
    return {"name": name, **{key: yaml.safe_load(value) for key, value in given.items()}}
