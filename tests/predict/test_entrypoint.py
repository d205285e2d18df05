"""The message to a team whose image's ENTRYPOINT keeps predict.sh from running."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docker_archive import write_docker_archive

from segarena.predict import runners


@pytest.mark.parametrize(
    ("runtime", "words", "cure"),
    [
        ("docker", ["true"], 'exec "$@"'),
        ("docker", ["/bin/sh", "-c"], 'exec "$@"'),
        ("podman", ["cat", "/no-such-file"], 'exec "$@"'),
        ("apptainer", ["true"], 'exec "$@"'),
    ],
    indirect=["runtime"],
)
def test_a_failed_call_of_an_image_with_an_entry_point_says_so(
    runtime: str,
    words: list[str],
    cure: str,
    base_image: Callable[..., Path],
    table: Any,
    tmp_path: Path,
) -> None:
    """The message names the entry point and what to do about it."""
    folder = tmp_path / "team"
    folder.mkdir()
    (folder / "predict.sh").write_text("exit 3\n")
    archive = tmp_path / "team.tar"
    write_docker_archive(archive, [base_image("tiny"), (folder, "/workspace")], entrypoint=words)
    called = table.call(runners.ready(archive, runtime=runtime, base_image=""))
    assert called.status in {"crashed", "no_answer"}
    assert f"ENTRYPOINT ({' '.join(words)})" in called.message
    assert cure in called.message
