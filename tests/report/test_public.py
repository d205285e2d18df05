"""The public report has nothing secret in it."""

import json
import re
from pathlib import Path

import pytest

from segarena.protocol import load
from segarena.report import results
from segarena.report.public import write_public

NAMES = {"alpha": "Team <A>", "beta": "Beta", "gamma": "Gamma"}


@pytest.fixture(scope="module")
def public(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The public report of the run whose cases and hosts have names that nothing else contains."""
    where = run_folder / "results"
    protocol = load("cvpr25")
    found = results.read(
        sorted((where / "score" / "cvpr25").glob("*_metrics.csv")),
        where / "rank" / "cvpr25",
        protocol=protocol,
        names=NAMES,
        groups={
            case: {"modality": "CT" if case in "ab" else "MR", "hospital": f"St-Secret-{case}"}
            for case in "abcde"
        },
    )
    secret = dict(zip("abcde", (f"patient-471{i}" for i in range(5)), strict=True))
    for table in (found.scores, found.first, found.calls):
        table["case"] = table["case"].map(secret)
    found.calls["host"] = "node17.cluster.local"
    found.calls["message"] = "reason-of-a-failure"
    found.calls["ended"] = "2026-05-04T12:00:00+00:00"
    object.__setattr__(found, "groups", {secret[c]: v for c, v in found.groups.items()})
    folder = tmp_path_factory.mktemp("public")
    write_public(folder, found)
    return folder


def test_nothing_secret_is_in_any_file(public: Path) -> None:
    """Neither cases, groups, hosts, messages, paths, images, coordinates nor left-out teams."""
    assert {path.name for path in public.rglob("*")} == {
        "index.html",
        "leaderboard.json",
        "table.html",
    }
    secret = r"patient|471\d|St-Secret|hospital|node17|reason-of-a-failure|delta|accept clicks"
    secret += r"|results/|predict|\.npz|\.nii|\.png|\.webp|base64|<img|<script|clicks|boxes|truth"
    secret += r"|modality|gts|crashed|failed|/tmp/|\balpha\b"
    for path in public.iterdir():
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"<style>.*?</style>", "", text, flags=re.S)
        assert not re.findall(secret, text, re.I), path.name


def test_the_leaderboard_is_in_json(public: Path) -> None:
    """Names, ranks and the means over all cases: 0.9 + 0.06 - 0.04 for the best."""
    board = json.loads((public / "leaderboard.json").read_text(encoding="utf-8"))
    assert [(row["rank"], row["name"]) for row in board["submissions"]] == [
        (1, "Team <A>"),
        (2, "Beta"),
        (3, "Gamma"),
    ]
    assert board["submissions"][0]["metrics"]["DSC_Final"] == pytest.approx(0.92)
    assert (board["cases"], board["date"]) == (5, "2026-05-04")


def test_the_table_to_embed_is_one_table_and_names_are_text(public: Path) -> None:
    """No page around it, no script, and a name that is markup is escaped."""
    text = (public / "table.html").read_text(encoding="utf-8").strip()
    assert text.startswith("<table") and text.endswith("</table>")
    assert "Team &lt;A&gt;" in text
