"""Which config a run reads, and what it says of folders and sheets that it does not like."""

import subprocess
import sys
from pathlib import Path

import yaml
from arena import Arena


def _snakemake(arena: Arena, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Plan a run in the working directory, without --configfile."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", f"{arena.project}/Snakefile"]
    return subprocess.run(
        [*command, "--cores", "1", "--dry-run", *arguments],
        cwd=arena.work,
        env=arena.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _configured(arena: Arena) -> Path:
    """Write the config where it is looked for."""
    arena.add_case("one")
    arena.add_submission("ada")
    path = arena.folder_of("config") / "config.yaml"
    path.write_text(yaml.safe_dump(arena.config))
    return path


def test_a_key_on_the_command_line_keeps_the_config_file(empty_arena: Arena):
    """`--config seed=7` changes one key of config/config.yaml."""
    _configured(empty_arena)
    done = _snakemake(empty_arena, "--config", "seed=7")
    assert done.returncode == 0, done.stdout
    assert "Preparing case one" in done.stdout


def test_another_config_file_stands_alone(empty_arena: Arena, tmp_path: Path):
    """With --configfile the sheets of config/config.yaml are not seen, as in the demo."""
    path = _configured(empty_arena)
    other = tmp_path / "other.yaml"
    other.write_text(path.read_text())
    path.write_text(yaml.safe_dump({**empty_arena.config, "sheets": {"cases": "gone.tsv"}}))
    done = _snakemake(empty_arena, "--configfile", str(other))
    assert done.returncode == 0, done.stdout
    done = _snakemake(empty_arena, "--configfile", str(other), "--config", "seed=7")
    assert done.returncode == 0, done.stdout
    assert "segarena: sheets: no file 'gone.tsv'" in _snakemake(empty_arena).stdout


def test_a_config_on_the_command_line_alone_is_enough(empty_arena: Arena):
    """Where there is no config/config.yaml, --config may say all."""
    _configured(empty_arena).unlink()
    said = [f"{key}={value}" for key, value in empty_arena.config.items()]
    done = _snakemake(empty_arena, "--config", *said)
    assert done.returncode == 0, done.stdout


def test_an_upload_on_its_way_is_told_at_start_and_end(empty_arena: Arena):
    """The run goes on without it; its line stands at the beginning and at the end."""
    empty_arena.add_case("one")
    empty_arena.add_submission("ada")
    (empty_arena.folder_of("submissions") / "bob.tar.gz.part").touch()
    printed = empty_arena.run()
    note = "segarena: warning: submissions/bob.tar.gz.part: an upload that is not finished"
    begin, end = printed.index(note), printed.rindex(note)
    assert begin < printed.index("All results are there") < end
