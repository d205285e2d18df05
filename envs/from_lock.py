"""Write envs/segarena.yaml, the environment for `snakemake --sdm conda`, from requirements.lock.

Run by `make lock`. conda brings Python alone; the packages are the lock file's, through pip, so
that both ways give the same versions. Snakemake copies the file before it builds the environment,
hence the pins are written out and not included by a path.
"""

from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.11"
PLATFORM = {
    "python_version": PYTHON,
    "python_full_version": f"{PYTHON}.0",
    "sys_platform": "linux",
    "platform_machine": "x86_64",
    "platform_system": "Linux",
    "os_name": "posix",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}


def pins(lock: str) -> list[str]:
    """Return the NAME==VERSION of a lock file that hold for Python 3.11 on Linux, x86-64."""
    lines = (line.rstrip("\\ ") for line in lock.splitlines() if line[:1].isalnum())
    wanted = (Requirement(line) for line in lines)
    return [
        f"{want.name}{want.specifier}"
        for want in wanted
        if want.marker is None or want.marker.evaluate(PLATFORM)
    ]


def main() -> None:
    """Write the file."""
    head = [
        "# Written by `make lock` from requirements.lock: the same pins.",
        "channels: [conda-forge]",
        "dependencies:",
        f"  - python={PYTHON}",
        "  - pip",
        "  - pip:",
    ]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    lines = [*head, *(f"      - {pin}" for pin in pins(lock))]
    (ROOT / "envs" / "segarena.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
