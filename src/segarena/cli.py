"""The command `segarena`: each sub-command lives in the module that does its work."""

import argparse
import importlib
import sys
import textwrap
from collections.abc import Sequence

from segarena import __version__
from segarena.errors import SegArenaError, full_disk

# In the order of use: the module that does a command's work, imported only when it is given, since
# some take seconds to load; and what `segarena --help` says of it.
COMMANDS = {
    "new": ("segarena.new", "make a submission to start from"),
    "check": ("segarena.check.command", "try a submission before it is submitted"),
    "fingerprint": ("segarena.fingerprint", "which metrics suit the label maps of a config"),
    "kit": ("segarena.kit", "write what participants check with: protocol, limits, samples"),
    "run": ("segarena.workflow", "run the whole workflow on a config file"),
    "status": ("segarena.status", "how far a run is, what fails, and when it may end"),
    "feedback": ("segarena.feedback", "write what a team may know of its failures and scores"),
    "view": ("segarena.report.command", "show the reports of a run in a browser, with the viewer"),
    "clean": ("segarena.clean", "list, or remove, the results of what no config names"),
    "store": (
        "segarena.predict.command",
        "how large the store of answers is, and what it can drop",
    ),
    "forget": ("segarena.predict.command", "have a submission asked again"),
    "score": ("segarena.score.command", "measure a label map against the truth"),
    "rank": ("segarena.rank.command", "rank a table of scores"),
    "verify": ("segarena.archive.command", "check an archive"),
    "export": ("segarena.archive.command", "write an answer as NIfTI"),
    "diff": ("segarena.archive.command", "compare two runs"),
    "rerun": ("segarena.archive.command", "run an archived run again"),
}
GROUPS = {
    "participants": ("new", "check"),
    "organisers": (
        *("fingerprint", "kit", "run", "status", "view", "feedback"),
        *("clean", "store", "forget"),
    ),
    "researchers": ("score", "rank", "verify", "export", "diff", "rerun"),
}
EXIT_CODES = (
    "exit codes: 0 success; 1 the check failed, or the runs differ; 2 wrong config, protocol, "
    "table or archive; 3 unusable case; 4 unusable submission; 5 the infrastructure failed; "
    "130 stopped"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command and return its exit code; an error of ours is one line on stderr."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="segarena",
        description="A benchmark for interactive medical image segmentation.",
        epilog=_commands_and_exit_codes(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"segarena {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    if words and words[0] in COMMANDS:
        module, _ = COMMANDS[words[0]]
        importlib.import_module(module).add_parser(subparsers)
        subparsers.choices[words[0]].epilog = EXIT_CODES
    else:
        for name in COMMANDS:
            subparsers.add_parser(name)  # so that a misspelt one is answered with all of them
    given = parser.parse_args(words)
    try:
        return given.run(given)
    except KeyboardInterrupt:
        print("segarena: stopped", file=sys.stderr)
        return 130
    except SegArenaError as error:
        print(f"segarena: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        full = full_disk(error)
        if full is None:
            raise
        print(f"segarena: {full}", file=sys.stderr)
        return full.exit_code


def _commands_and_exit_codes() -> str:
    lines = []
    for users, names in GROUPS.items():
        lines += [f"commands for {users}:", *(f"  {n:<8} {COMMANDS[n][1]}" for n in names), ""]
    return "\n".join(
        [*lines, textwrap.fill(EXIT_CODES, 80), "", "segarena COMMAND --help: options"]
    )


if __name__ == "__main__":
    sys.exit(main())
