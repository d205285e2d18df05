"""Number of clicks, scribbles and repetitions, from the case to the ranking."""

import csv
import gzip
import json
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard
from arena import PREDICT, PROTOCOL, Arena, new_arena

from segarena.predict.accepts import refusal

cv2 = pytest.importorskip("cv2")

# Paints a disc at each click; from the third click on a label it sees the image as it is. Each call
# leaves a line beside the submissions.
DISCS = """
import glob, os
import numpy as np
for path in glob.glob(os.path.join(os.environ["INPUTS"], "*.npz")):
    case = np.load(path, allow_pickle=True)
    imgs = case["imgs"]
    segs = np.zeros(imgs.shape[:3], np.uint8)
    z, y, x = np.indices(segs.shape)
    for i, marks in enumerate(case["clicks"] if "clicks" in case.files else (), 1):
        for kind, value, radius in (("fg", i, 6), ("bg", 0, 3)):
            for cz, cy, cx in marks[kind]:
                segs[(z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 <= radius ** 2] = value
        if KNOWS_FROM and len(case["clicks_order"][i - 1]) >= KNOWS_FROM:
            segs[segs == i] = 0
            segs[imgs == 20 + 90 * i] = i
    for i, marks in enumerate(case["scribbles"] if "scribbles" in case.files else (), 1):
        for kind, value in (("bg", 0), ("fg", i)):
            for at in marks[kind]:
                segs[tuple(at)] = value
    np.savez_compressed(os.path.join(os.environ["OUTPUTS"], os.path.basename(path)), segs=segs)
    with open(os.path.join("..", "..", "calls-NAME"), "a") as calls:
        calls.write("clicks" if "clicks" in case.files else "other")
        calls.write("\\n")
"""
PEOPLE = Path(__file__).parents[1] / "data" / "scribbles" / "SCD_p12_axis2_midslice.npz"
AT = (0.5, 0.8, 0.9)
CLICKS = 6


def protocol(arena: Arena, **changes) -> str:
    """Write a protocol beside the others and return its path."""
    arena.add_protocol(**changes)
    return arena.config["protocols"][0]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """One 2D case of two labels, three submissions, three protocols."""
    arena = new_arena(tmp_path_factory.mktemp("protocols"))
    gts = np.zeros((1, 40, 48), np.uint8)
    gts[0, 5:30, 4:16] = 1
    gts[0, 20:36, 24:45] = 2
    gts[0, 26:30, 30:40] = 0
    imgs = (gts * 90 + 20).astype(np.uint8)
    spacing = np.ones(3)
    np.savez(arena.folder_of("images") / "plane.npz", imgs=imgs, spacing=spacing)
    np.savez(arena.folder_of("labels") / "plane.npz", gts=gts)
    for name, knows_from in (("ada", 0), ("eve", 3), ("bob", 0)):
        source = DISCS.replace("KNOWS_FROM", str(knows_from)).replace("NAME", name)
        arena.add_submission(name, source)
    (arena.work / "submissions/bob/segarena.yaml").write_text("accepts: [boxes, clicks]\n")
    arena.config["protocols"] = [
        protocol(
            arena,
            name="few",
            user=[{"prompt": "click", "times": CLICKS, "rule": "ritm"}],
            stop_when={"iou": 0.9},
            metrics=[{"name": "IoU"}, {"name": "HD95"}],
            series={"auc_from": 1, "noc": {"at": list(AT), "min_area_px": 150}},
            ranking={"metrics": ["NoC@90", "HD95_Final"], "scheme": "mean_then_rank"},
        ),
        protocol(
            arena,
            name="strokes",
            user=[{"prompt": "scribble", "times": 2, "mix": {"line": 1, "contour": 1}}],
            repeat=2,
        ),
    ]
    arena.run(*(f"results/rank/{name}/leaderboard.csv" for name in ("few", "strokes")))
    return arena


def answers(arena: Arena, repetition: str, name: str, n: int) -> list[np.ndarray]:
    return [
        np.load(arena.path("predict", repetition, name, "plane", f"{k}.npz"))["segs"]
        for k in range(1, n + 1)
    ]


def prompts_of(arena: Arena, repetition: str, name: str, k: int) -> dict:
    return json.loads(arena.path("prompt", repetition, name, "plane", f"{k}.json").read_text())


def truth(arena: Arena) -> np.ndarray:
    return np.load(arena.work / "labels" / "plane.npz")["gts"]


def iou(gts: np.ndarray, segs: np.ndarray, label: int) -> float:
    both = np.count_nonzero((gts == label) & (segs == label))
    return both / np.count_nonzero((gts == label) | (segs == label))


def published_click(missed: np.ndarray, added: np.ndarray, clicked: list) -> tuple:
    """The click of the published rule on one picture, by OpenCV."""
    depths = []
    for error in (missed, added):
        padded = np.pad(error.astype(np.uint8), 1)
        depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        for y, x in clicked:
            depth[y, x] = 0
        depths.append(depth)
    positive = bool(depths[0].max() > depths[1].max())
    chosen = depths[0] if positive else depths[1]
    y, x = np.argwhere(chosen == chosen.max())[0]
    return int(y), int(x), "fg" if positive else "bg"


@pytest.mark.parametrize("name", ["ada", "eve", "bob"])
def test_every_click_is_the_published_rules(finished_run: Arena, name: str):
    """An oracle of OpenCV, given the answers, names the same clicks of both labels in turn."""
    gts = truth(finished_run)
    before = [np.zeros_like(gts), *answers(finished_run, "few", name, CLICKS)]
    asked = [k for k in range(1, CLICKS + 1) if prompts_of(finished_run, "few", name, k)["asked"]]
    assert asked == list(range(1, len(asked) + 1))
    prompts = prompts_of(finished_run, "few", name, CLICKS)
    for i, label in enumerate((1, 2)):
        clicked: list[tuple[int, int]] = []
        used = {"fg": 0, "bg": 0}
        for k in asked:
            missed = (gts[0] == label) & (before[k - 1][0] != label)
            added = (before[k - 1][0] == label) & (gts[0] != label)
            kind = prompts["clicks_order"][i][k - 1]
            if not (missed.any() or added.any()):
                assert kind is None
                continue
            y, x, expected = published_click(missed, added, clicked)
            assert kind == expected
            assert prompts["clicks"][i][kind][used[kind]] == [0, y, x]
            used[kind] += 1
            clicked.append((y, x))


@pytest.mark.parametrize("name", ["ada", "eve", "bob"])
def test_the_table_says_the_clicks_that_were_needed(finished_run: Arena, name: str):
    """NoC and NoF are the means over labels of what the answers themselves give."""
    gts = truth(finished_run)
    segs = answers(finished_run, "few", name, CLICKS)
    (row,) = rows(finished_run.path("score", "few", f"{name}_metrics.csv"))
    for q in AT:
        first = [
            next((k for k, s in enumerate(segs, 1) if iou(gts, s, label) >= q), None)
            for label in (1, 2)
        ]
        assert float(row[f"NoC@{100 * q:g}"]) == np.mean([k or CLICKS for k in first])
        assert float(row[f"NoF@{100 * q:g}"]) == np.mean([k is None for k in first])
    for k, s in enumerate(segs, 1):
        expected = np.mean([iou(gts, s, label) for label in (1, 2)])
        assert float(row[f"IoU_{k}"]) == pytest.approx(expected)
    sizes = [(np.count_nonzero(gts == n), np.count_nonzero(segs[-1] == n)) for n in (1, 2)]
    large = [n for n, pair in enumerate(sizes, 1) if min(pair) >= 150]
    assert int(row["Kept_min150"]) == len(large)
    expected = np.mean([iou(gts, segs[-1], label) for label in large])
    assert float(row["IoU_Final_min150"]) == pytest.approx(expected)


def test_a_satisfied_user_starts_no_more_calls(finished_run: Arena):
    """The submission is called three times; what is left is recorded as not asked for."""
    calls = (finished_run.work / "calls-eve").read_text().split()
    assert calls.count("clicks") == 3
    records = [
        json.loads(finished_run.path("predict", "few", "eve", "plane", f"{k}.json").read_text())
        for k in range(1, CLICKS + 1)
    ]
    assert [r["status"] for r in records] == ["ok"] * 3 + ["not_asked"] * 3
    assert records[-1]["message"] == "satisfied: every label has an IoU of at least 0.9"
    assert (answers(finished_run, "few", "eve", CLICKS)[-1] == truth(finished_run)).all()


def test_containers_answer_as_processes_do(
    finished_run: Arena,
    empty_arena: Arena,
    docker_host: str,
    submission_archive: Callable[..., Path],
    tmp_path: Path,
):
    """Archives in a real engine: the same clicks, scribbles and answers, the same one left out."""
    arena = empty_arena
    arena.engine = docker_host
    arena.config = {**finished_run.config, "runtime": "docker"}
    for kind in ("images", "labels"):
        shutil.copytree(finished_run.work / kind, arena.work / kind)
    for name, knows_from in (("eve", 3), ("bob", 0)):
        folder = tmp_path / name
        shutil.copytree(finished_run.work / "submissions" / name, folder)
        alone = DISCS.partition("    with open")[0]  # a container can leave no line outside
        (folder / "predict.py").write_text(alone.replace("KNOWS_FROM", str(knows_from)))
        submission_archive(folder, arena.folder_of("submissions") / f"{name}.tar.gz")
    arena.run("results/rank/few/leaderboard.csv", "results/rank/strokes/leaderboard.csv")
    for repetition, name, n in (
        ("few", "eve", CLICKS),
        ("few", "bob", CLICKS),
        ("strokes", "eve", 2),
        ("strokes.2", "eve", 2),
    ):
        assert prompts_of(arena, repetition, name, n) == prompts_of(
            finished_run, repetition, name, n
        )
        for one, other in zip(
            answers(arena, repetition, name, n),
            answers(finished_run, repetition, name, n),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
        record = json.loads(arena.path("predict", repetition, name, "plane", "1.json").read_text())
        assert (record["status"], record["runtime"]) == ("ok", "docker")
    (row,) = rows(arena.path("rank", "strokes", "left_out.csv"))
    assert (row["submission"], row["reason"][:15]) == ("bob", "it does not acc")


def test_fewer_clicks_rank_first(finished_run: Arena):
    """Columns where less is better are ranked so: the one that knows the image wins."""
    board = rows(finished_run.path("rank", "few", "leaderboard.csv"))
    assert board[0]["submission"] == "eve"
    assert float(board[0]["NoC@90_mean"]) == 3
    assert board[0]["NoC@90_mean_then_rank"] == board[0]["HD95_Final_mean_then_rank"] == "1"


def test_who_cannot_use_scribbles_is_left_out_and_told_why(finished_run: Arena):
    """No job is planned for it, it is not ranked, and the reason stands beside the ranking."""
    (row,) = rows(finished_run.path("rank", "strokes", "left_out.csv"))
    assert row["submission"] == "bob"
    assert "does not accept scribbles" in row["reason"]
    assert not finished_run.path("predict", "strokes", "bob").exists()
    board = rows(finished_run.path("rank", "strokes", "leaderboard.csv"))
    assert {row["submission"] for row in board} == {"ada", "eve"}
    assert rows(finished_run.path("rank", "few", "left_out.csv")) == []


def test_scribbles_reach_the_submission_and_its_answer(finished_run: Arena):
    """Every foreground pixel of the first round is answered with its label."""
    prompts = prompts_of(finished_run, "strokes", "ada", 1)
    (segs,) = answers(finished_run, "strokes", "ada", 1)
    gts = truth(finished_run)
    for label, voxels in enumerate(prompts["scribbles"], 1):
        assert voxels["fg"]
        assert all(gts[tuple(at)] == label for at in voxels["fg"])
        assert all(gts[tuple(at)] != label for at in voxels["bg"])
        assert all(segs[tuple(at)] == label for at in voxels["fg"])


def test_repetitions_draw_anew_and_their_spread_is_reported(finished_run: Arena):
    """The second repetition has other strokes; mean and standard deviation are of the two means."""
    one, other = (
        prompts_of(finished_run, repetition, "ada", 1)["scribbles"]
        for repetition in ("strokes", "strokes.2")
    )
    assert one != other
    finals = [
        float(rows(finished_run.path("score", repetition, "ada_metrics.csv"))[0]["DSC_Final"])
        for repetition in ("strokes", "strokes.2")
    ]
    spread = {
        row["submission"]: row for row in rows(finished_run.path("rank", "strokes", "spread.csv"))
    }
    assert float(spread["ada"]["mean"]) == pytest.approx(np.mean(finals))
    assert float(spread["ada"]["standard_deviation"]) == pytest.approx(np.std(finals, ddof=1))
    board = rows(finished_run.path("rank", "strokes", "leaderboard.csv"))
    ada = next(row for row in board if row["submission"] == "ada")
    assert float(ada["DSC_Final_mean"]) == pytest.approx(np.mean(finals))


@pytest.mark.parametrize("jobs", ["interaction", "session"])
def test_what_repetitions_share_is_asked_once(empty_arena: Arena, jobs: str):
    """A box and a click without jitter before scribbles: both repetitions have the same answers.

    The submission is called four times: for the box, the click, and the strokes of each. Then
    all but the final answers of both are dropped.
    """
    arena = empty_arena
    arena.add_case("one")
    counting = PREDICT + 'open(os.path.join("..", "..", "calls"), "a").write("called\\n")\n'
    counting = counting.replace("np.savez", "segs[:, :, ::4] = 0; np.savez")  # never without error
    arena.add_submission("ada", counting)
    arena.config["jobs"] = jobs
    user = [*PROTOCOL["user"], {"prompt": "scribble", "times": 1, "mix": {"line": 1}}]
    arena.add_protocol(user=user, repeat=2)
    arena.run("results/rank/short/spread.csv")
    assert len((arena.work / "calls").read_text().split()) == 4
    for k, same in ((1, True), (2, True), (3, False)):
        one, other = (
            arena.path("prompt", repetition, "ada", "one", f"{k}.json").read_bytes()
            for repetition in ("short", "short.2")
        )
        assert (one == other) == same
    (one,), (other,) = (
        rows(arena.path("score", repetition, "ada_metrics.csv"))
        for repetition in ("short", "short.2")
    )
    for column in ("DSC_1", "DSC_2", "NSD_1", "RunningTime_1", "RunningTime_2"):
        assert one[column] == other[column]
    assert set(arena.plan()) == {"all", "answer_pictures", "case_picture", "report"}
    arena.run("results/predict/short/ada/dropped.json")
    left = arena.path("predict").rglob("*.npz")
    assert {str(path.relative_to(arena.path("predict"))) for path in left} == {
        f"{repetition}/ada/one/3.npz" for repetition in ("short", "short.2")
    }
    assert len((arena.work / "calls").read_text().split()) == 4


def test_a_case_a_label_is_cut_from_each_volume(empty_arena: Arena):
    """Each slice case is the largest slice of its label, one voxel deep, and holds it alone."""
    arena = empty_arena
    arena.add_case("one")
    arena.add_submission("ada")
    arena.config["slices"] = {"rule": "largest", "axis": "z", "size": 32}
    arena.run("results/prepare/cases.tsv")
    gts = np.load(arena.work / "labels" / "one.npz")["gts"]
    for label, z in ((1, 2), (2, 3)):
        cut = np.load(arena.path("prepare", f"one__{label}.truth.npz"))["gts"]
        assert cut.shape == (1, 32, 32)
        assert cut.max() == 1
        share = np.count_nonzero(gts[z] == label) / 24**2
        assert np.count_nonzero(cut) / 32**2 == pytest.approx(share, rel=0.15)
    assert len(rows(arena.path("prepare", "cases.tsv"))) == 2
    assert arena.plan()["session_short"] == 2


def test_an_ignored_label_is_neither_played_nor_counted(empty_arena: Arena):
    """Two labels, of which one is ignored: one is clicked, and answers there are no error."""
    arena = empty_arena
    arena.add_case("one")
    arena.add_submission("ada")
    arena.add_protocol(ignore_label=2)
    arena.run("results/score/short/ada_metrics.csv")
    prompts = json.loads(arena.path("prompt/short/ada/one/2.json").read_text())
    assert prompts["labels"] == [1]
    assert len(prompts["boxes"]) == len(prompts["clicks"]) == 1
    (row,) = rows(arena.path("score", "short", "ada_metrics.csv"))
    assert row["num_class"] == "1"
    gts = np.load(arena.work / "labels" / "one.npz")["gts"]
    segs = np.load(arena.path("predict/short/ada/one/2.npz"))["segs"]
    counted = gts != 2
    one, other = (gts == 1) & counted, (segs == 1) & counted
    dice = 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))
    assert float(row["DSC_Final"]) == pytest.approx(dice)


def test_each_repetition_plays_what_another_person_drew(empty_arena: Arena):
    """The third repetition's strokes are the third annotator's, and reach the submission."""
    arena = empty_arena
    with np.load(PEOPLE) as archive:
        soft, label, img = archive["scribbles"], archive["label"], archive["img"]
    gts = (label > 0).astype(np.uint8)
    np.savez(arena.folder_of("images") / "heart.npz", imgs=img, spacing=np.ones(3))
    np.savez(arena.folder_of("labels") / "heart.npz", gts=gts)
    (arena.work / "cases.tsv").write_text(f"case\tscribbles\nheart\t{PEOPLE}\n")
    arena.config["sheets"] = {"cases": "cases.tsv"}
    arena.add_submission("ada", DISCS.replace("KNOWS_FROM", "0").replace("NAME", "ada"))
    user = [{"prompt": "drawn", "times": 1, "threshold": 0.5}]
    arena.add_protocol(name="pens", user=user, repeat=3)
    arena.run("results/predict/pens.3/ada/heart/1.npz")
    expected = np.argwhere(soft[2, 0] > 127.5)
    segs = np.load(arena.path("predict/pens.3/ada/heart/1.npz"))["segs"]
    assert len(expected)
    np.testing.assert_array_equal(np.argwhere(segs[0]), expected)


def test_a_protocol_that_nobody_can_play_is_told_before_any_job(empty_arena: Arena):
    """One line names the protocol, the submission and what it does not accept."""
    arena = empty_arena
    arena.add_case("one")
    arena.add_submission("ada")
    (arena.work / "submissions/ada/segarena.yaml").write_text("accepts: [scribbles]\n")
    printed = arena.run("--dry-run", expect=1)
    assert "short: no submission can use it (ada: it does not accept boxes and clicks" in printed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("accepts: [boxes, clicks, scribbles]", None),
        ("accepts: [boxes]", "it does not accept clicks (segarena.yaml)"),
        ("accepts: [wishes]", "'wishes' is not one of"),
        ("accepts: {", "not readable as YAML"),
        ("", "not of type 'object'"),
    ],
)
def test_what_a_submission_says_of_itself(tmp_path: Path, text: str, reason: str | None):
    """A file that cannot be used is a reason, not an error: the others go on."""
    (tmp_path / "segarena.yaml").write_text(text)
    found = refusal(tmp_path, {"box", "click"}, tmp_path / "cache.json")
    assert found is None if reason is None else reason in found


def test_what_an_archive_says_is_read_from_its_layers(tmp_path: Path):
    """The last layer that writes or removes the file rules; an archive without it takes all."""
    from docker_archive import write_docker_archive

    layers = []
    for number, text in enumerate(["accepts: [boxes]\n", "accepts: [clicks]\n", None]):
        folder = tmp_path / f"layer{number}"
        folder.mkdir()
        (folder / ("predict.sh" if text is None else "segarena.yaml")).write_text(text or "")
        layers.append((folder, "/workspace"))
    reasons = []
    for number, used in enumerate([layers, layers[:1], layers[2:]]):
        archive = tmp_path / f"team{number}.tar.gz"
        write_docker_archive(archive, used)
        reasons.append(refusal(archive, {"click"}, tmp_path / "cache.json"))
    assert reasons == [None, "it does not accept clicks (segarena.yaml)", None]


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstandard.compress])
def test_a_damaged_archive_says_nothing(tmp_path: Path, pack: Callable[[bytes], bytes]):
    """Planning goes on, however it is packed; predict tells what is wrong with it."""
    from docker_archive import write_docker_archive

    folder = tmp_path / "layer"
    folder.mkdir()
    (folder / "segarena.yaml").write_text("accepts: [boxes]\n")
    (folder / "noise").write_bytes(np.random.default_rng(0).bytes(1 << 20))
    write_docker_archive(tmp_path / "team.tar", [(folder, "/workspace")])
    packed = pack((tmp_path / "team.tar").read_bytes())
    (tmp_path / "team").write_bytes(packed[: len(packed) // 2])
    assert refusal(tmp_path / "team", {"click"}, tmp_path / "cache.json") is None
    (tmp_path / "team").write_bytes(packed[:40] + bytes(100) + packed[140:])
    assert refusal(tmp_path / "team", {"click"}, tmp_path / "cache.json") is None


def test_an_archive_that_unpacks_to_too_much_is_not_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It says nothing here, so planning a run is not held up; predict tells what is wrong."""
    from docker_archive import write_docker_archive

    from segarena.predict import image

    folder = tmp_path / "layer"
    folder.mkdir()
    (folder / "segarena.yaml").write_text("accepts: [boxes]\n")
    (folder / "zeros").write_bytes(bytes(1 << 20))
    write_docker_archive(tmp_path / "team.tar.gz", [(folder, "/workspace")])
    assert refusal(tmp_path / "team.tar.gz", {"click"}, tmp_path / "cache.json")
    (tmp_path / "cache.json").unlink()
    monkeypatch.setattr(image, "_UNPACKED_BYTES", 1 << 18)
    assert refusal(tmp_path / "team.tar.gz", {"click"}, tmp_path / "cache.json") is None
