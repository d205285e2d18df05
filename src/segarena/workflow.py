"""`segarena run`: the whole workflow from the installed package, in any folder."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from segarena.errors import ConfigError
from segarena.extras import INSTALL, without
from segarena.protocol import DATA

# With one of these, the user or a profile says how many jobs run at a time.
_SAYS_HOW_MANY = ("-c", "--cores", "-j", "--jobs", "-e", "--executor", "--profile")


def add_parser(subparsers: Any) -> None:
    """Add `run` to the sub-commands of `segarena`."""
    parser = subparsers.add_parser(
        "run",
        description="Run the whole workflow on the cases and submissions of a config file. "
        "Results go to results/ in the working folder; the same command continues a run. "
        "Everything after CONFIG goes to Snakemake.",
        epilog="segarena run config.yaml --dry-run; segarena run config.yaml --profile slurm",
    )
    parser.add_argument("config", type=Path, metavar="CONFIG")
    parser.add_argument(
        "options", nargs=argparse.REMAINDER, metavar="...", help="options of Snakemake"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Turn this process into Snakemake's; raises ConfigError without Snakemake or the config."""
    if not arguments.config.is_file():
        raise ConfigError(f"{arguments.config}: no such file; name the config of the run")
    words = command(arguments.config, *_options(arguments.options))
    sys.stdout.flush()
    os.execv(words[0], words)


def command(config: Path, *options: str) -> list[str]:
    """Return the command that runs the workflow; raises ConfigError where Snakemake is missing."""
    if without("snakemake"):
        raise ConfigError(f"a run needs Snakemake; install it: {INSTALL}")
    words = [sys.executable, "-m", "snakemake", "--configfile", str(config)]
    # The snakefile second: --configfile would take a target after it for another file.
    return [*words, "--snakefile", str(DATA / "Snakefile"), *options]


def _options(given: list[str]) -> list[str]:
    """Return the options for Snakemake: all cores unless they say, and our profiles by name."""
    options = list(given)
    for number, option in enumerate(options[:-1], start=1):
        ours = DATA / "profiles" / options[number]
        if option == "--profile" and ours.is_dir() and not Path(options[number]).exists():
            options[number] = str(ours)
    if not any(option.startswith(_SAYS_HOW_MANY) for option in options):
        options += ["--cores", "all"]
    return options
