"""What is there only with the extra `workflow`: Snakemake, and what draws figures and reports.

A participant's install does without: check, score, rank, verify, diff, export and status work, and
say what they leave out.
"""

from importlib.util import find_spec

INSTALL = "pip install 'segarena[workflow]'"


def without(module: str) -> bool:
    """Return whether a module of the extra is not installed."""
    return find_spec(module) is None
