"""Which config a run reads, and what it says of folders and sheets that it does not like."""

import subprocess
import sys
from pathlib import Path

import yaml
from arena import Arena

from segarena.status import report


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
    values = [f"{key}={value}" for key, value in empty_arena.config.items()]
    done = _snakemake(empty_arena, "--config", *values)
    assert done.returncode == 0, done.stdout


def test_warnings_are_told_at_the_end_and_in_status(empty_arena: Arena):
    """An upload on its way (at the start as well), and one program under two names."""
    empty_arena.add_case("one")
    for name in ("ada", "bob"):
        empty_arena.add_submission(name)
    (empty_arena.folder_of("submissions") / "eve.tar.gz.part").touch()
    printed = empty_arena.run("results/score/short/ada/one.csv", "results/predict/bob/image.json")
    upload = "submissions/eve.tar.gz.part: an upload that is not finished; it is not used"
    twins = "ada, bob are the same image under 2 names"
    end = printed.index("steps (100%) done")
    assert printed.index(f"segarena: warning: {upload}") < end
    for warning in (upload, twins):
        assert printed.index(f"segarena: warning: {warning}", end)
    printed = report(empty_arena.work, now=0)
    assert f"warning: {upload}\nwarning: {twins}\n" in printed
    assert "short: 2 of 4 answers" in printed
