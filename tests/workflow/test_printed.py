"""What a run prints can be read."""

from arena import Arena


def test_a_plan_is_short_and_gives_no_wrong_advice(arena: Arena):
    """No list of a job's files, and not the advice to skip what a changed metric reruns."""
    arena.add_protocol(metrics=[{"name": "DSC"}, {"name": "NSD", "tolerance_mm": 1}])
    printed = arena.run("--dry-run")
    assert "short: scoring ada on one" in printed
    assert "Reason: " not in printed
    assert "--rerun-triggers" not in printed
    assert "--cleanup-metadata" not in printed


def test_reasons_are_shown_to_whoever_asks(arena: Arena):
    """The command line's own --quiet takes the place of the profile's."""
    arena.path("rank", "short", "leaderboard.csv").unlink()
    assert "Reason: Missing output files" in arena.run("--dry-run", "--quiet", "host")
