"""The command `segarena`: each sub-command lives in the module that does its work."""

import argparse
import sys
from collections.abc import Sequence

from segarena import check
from segarena.errors import SegArenaError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command and return its exit code; an error of ours is one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="segarena", description="A benchmark for interactive medical image segmentation."
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    check.add_parser(subparsers)
    given = parser.parse_args(arguments)
    try:
        return given.run(given)
    except SegArenaError as error:
        print(f"segarena: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
