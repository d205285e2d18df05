"""The command `segarena`: each sub-command lives in the module that does its work."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from segarena.errors import SegArenaError

# In the order of use; only the module of the command that is given is imported.
COMMANDS = {
    "check": "segarena.check",
    "status": "segarena.status",
    "score": "segarena.score.command",
    "rank": "segarena.rank.command",
    "verify": "segarena.archive.command",
    "export": "segarena.archive.command",
    "diff": "segarena.archive.command",
    "rerun": "segarena.archive.command",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command and return its exit code; an error of ours is one line on stderr."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="segarena", description="A benchmark for interactive medical image segmentation."
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    wanted = (
        [COMMANDS[words[0]]] if words and words[0] in COMMANDS else dict.fromkeys(COMMANDS.values())
    )
    for module in wanted:
        importlib.import_module(module).add_parser(subparsers)
    given = parser.parse_args(words)
    try:
        return given.run(given)
    except SegArenaError as error:
        print(f"segarena: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
