"""`segarena score`: measure one label map against another, without a workflow."""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segarena.errors import ConfigError
from segarena.protocol import load, of_labels_alone, regions
from segarena.score import DEFAULT_METRICS, measured


def add_parser(subparsers: Any) -> None:
    """Add `score` to the sub-commands of `segarena`."""
    parser = subparsers.add_parser(
        "score",
        help="measure a label map against the truth",
        description="Measure a label map against another, label by label (docs/metrics.md): two "
        "NIfTI files, two pictures, or a truth and an answer as .npz (gts and segs).",
    )
    parser.add_argument("truth", type=Path, metavar="TRUTH")
    parser.add_argument("answer", type=Path, metavar="ANSWER")
    parser.add_argument(
        "--metric",
        action="append",
        metavar="NAME[,KEY=VALUE...]",
        help="a metric of the catalogue with its parameters; may be given several times",
    )
    parser.add_argument(
        "--protocol",
        metavar="NAME",
        help="take the metrics and the regions of a protocol, by its name or its file, but for "
        "metrics that need prompts, raters or probabilities",
    )
    parser.add_argument(
        "--spacing",
        nargs=3,
        type=float,
        metavar=("Z", "Y", "X"),
        help="the spacing in mm, for files that have none; else in place of theirs",
    )
    parser.add_argument(
        "--label",
        action="append",
        type=int,
        metavar="ID",
        help="a label to measure, in the truth or not; may be given several times",
    )
    parser.add_argument("--csv", action="store_true", help="print CSV with all digits")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run `segarena score` and return its exit code; raises CaseError or ConfigError."""
    metrics: Sequence[Mapping[str, Any]] = DEFAULT_METRICS
    unions: Mapping[str, Sequence[int]] = {}
    if arguments.metric and arguments.protocol:
        raise ConfigError("score: give --metric or --protocol, not both")
    if arguments.metric:
        metrics = [_metric(text) for text in arguments.metric]
    elif arguments.protocol:
        protocol = load(arguments.protocol)
        metrics = [metric for metric in protocol["metrics"] if of_labels_alone(metric)]
        unions = regions(protocol)
    table, notes = measured(
        arguments.truth, arguments.answer, arguments.spacing, metrics, arguments.label, unions
    )
    for note in notes:
        print(f"segarena: warning: {note}", file=sys.stderr)
    print(table.to_csv(index=False) if arguments.csv else table.to_string(index=False))
    return 0


def _metric(text: str) -> dict[str, Any]:
    """Return a metric from `NAME,KEY=VALUE,...`; a value is YAML, and commas in braces are its."""
    import yaml

    name, *parameters = re.split(r",(?![^{}]*\})", text)
    given = dict(parameter.partition("=")[::2] for parameter in parameters)
    try:
        return {"name": name} | {key.strip(): yaml.safe_load(v) for key, v in given.items()}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"--metric {text}: a value cannot be read; write KEY=VALUE") from error
