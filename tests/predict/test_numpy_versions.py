"""A submission reads its input with whatever numpy its image has."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segarena.case import Image, write_image
from segarena.predict.runners import Limits
from segarena.predict.runners.docker import DockerRunner
from segarena.predict.session import make_input

BOX = dict.fromkeys(
    ("z_min", "z_max", "z_mid", "z_mid_x_min", "z_mid_y_min", "z_mid_x_max", "z_mid_y_max"), 1
)
READ = """
import numpy as np
case = np.load("inputs/CASE.npz", allow_pickle=True)
assert case["boxes"][0]["z_mid"] == 1 and type(case["boxes"][0]["z_mid"]) is int
assert case["clicks"][0] == {"fg": [[1, 2, 3]], "bg": []}
assert case["clicks_order"].tolist() == [["fg", None]]
assert "gts" not in case.files
np.savez("outputs/CASE.npz", segs=case["prev_pred"])
"""


@pytest.mark.parametrize("spec", ["numpy==1.23.5", "numpy==1.26.4", "numpy>=2"])
def test_the_input_opens_in_every_numpy(
    docker_host: str,
    submission_archive: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spec: str,
):
    """Boxes, clicks and their order are plain values in containers with numpy 1.23, 1.26 and 2."""
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    for name in ("team", "inputs", "outputs"):
        (tmp_path / name).mkdir()
    (tmp_path / "outputs").chmod(0o777)
    (tmp_path / "team" / "predict.sh").write_text("python3 predict.py\n")
    (tmp_path / "team" / "predict.py").write_text(READ)
    image = Image(np.zeros((4, 4, 4), np.uint8), (1.0, 1.0, 1.0), [BOX])
    write_image(tmp_path / "image.npz", image)
    prompts = {
        "boxes": [BOX],
        "clicks": [{"fg": [[1, 2, 3]], "bg": []}],
        "clicks_order": [["fg", None]],
    }
    previous = np.ones((4, 4, 4), np.uint8)
    make_input(tmp_path / "inputs" / "CASE.npz", tmp_path / "image.npz", prompts, previous)
    archive = submission_archive(tmp_path / "team", tmp_path / "team.tar.gz", numpy_spec=spec)
    runner = DockerRunner()
    folders = tmp_path / "inputs", tmp_path / "outputs", tmp_path / "log"
    outcome = runner.run(runner.ready(archive), *folders, Limits(60, 2**30))
    assert outcome.exit_code == 0, (tmp_path / "log").read_text()
    assert np.load(tmp_path / "outputs" / "CASE.npz")["segs"].sum() == 64
