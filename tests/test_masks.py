"""Tests of the kernels on label maps, against numpy and scipy."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from segarena import masks
from segarena.errors import CaseError

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("width", [1, 7, 8, 16, 65])
def test_tally_counts_and_boxes_every_label(dtype, width):
    """Counts and boxes are numpy's, for rows that fill whole words and for others."""
    truth = RNG.integers(0, 4, (3, 5, width)).astype(dtype)
    truth[:, 1:3] = 2
    answer = truth.copy()
    answer[RNG.random(truth.shape) < 0.1] = 1
    found = masks.tally(truth, answer)
    for row, label in enumerate(found.labels):
        one, other = truth == label, answer == label
        assert found.truth_voxels[row] == one.sum()
        assert found.answer_voxels[row] == other.sum()
        assert found.common_voxels[row] == (one & other).sum()
        assert found.box[row].tolist() == box_of(one | other)
        assert found.error_box[row].tolist() == box_of(one != other)
    assert set(found.labels) == set(np.unique(truth)) - {0}


def box_of(mask):
    where = np.argwhere(mask)
    if not len(where):
        return [0] * 6
    return [*where.min(axis=0).tolist(), *(where.max(axis=0) + 1).tolist()]


def test_labels_of_unlike_types_become_comparable():
    """A signed map that holds small labels is compared with an unsigned one."""
    truth, answer = masks.comparable(np.ones((1, 1, 2), np.int64), np.ones((1, 1, 2), np.uint8))
    assert truth.dtype == answer.dtype == np.uint8


def test_two_dimensional_arrays_are_refused():
    """A map without a slice axis is told how to become one."""
    with pytest.raises(CaseError, match="a 2D map as a single slice"):
        masks.comparable(np.ones((2, 2), np.uint8), np.ones((2, 2), np.uint8))


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 63), (3, 4, 64), (2, 5, 130)])
def test_runs_and_components_are_those_of_scipy(shape):
    """Runs hold the mask's voxels; components are as many as scipy finds."""
    labels = (RNG.random(shape) < 0.3).astype(np.uint8)
    words = masks.bits(labels, 1, np.array([0, 0, 0, *shape]))
    rows, starts, stops = masks.runs(words)
    again = np.zeros((len(rows) - 1, shape[2] + 1), np.uint8)
    for row in range(len(rows) - 1):
        for run in range(rows[row], rows[row + 1]):
            again[row, starts[run] : stops[run]] = 1
    again = again.reshape(shape[0] + 1, shape[1] + 1, -1)[:-1, :-1, :-1]
    assert (again == labels).all()
    roots = masks.components((rows, starts, stops), words.shape[1])
    assert len(np.unique(roots)) == ndimage.label(labels, np.ones((3, 3, 3)))[1]


@pytest.mark.parametrize("density", [0.5, 0.02, 0.002])
def test_distances_are_those_of_scipy(density):
    """The distance of every voxel to a mask is scipy's, to rounding, with anisotropic spacing."""
    mask = RNG.random((7, 30, 128)) < density
    mask[3, 4, 5] = True
    asked = RNG.random(mask.shape) < 0.2
    spacing_mm = (3.0, 0.7, 0.45)
    places = masks.places(masks.packed(asked))
    assert (places == np.argwhere(asked)).all()
    expected = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)[asked]
    found = masks.distances(places, masks.packed(mask), spacing_mm)
    assert np.abs(found - expected).max() < 1e-10


@pytest.mark.parametrize("flat", [False, True])
def test_border_voxels_are_what_erosion_takes_away(flat):
    """A border voxel is one that an erosion across faces removes."""
    labels = (ndimage.gaussian_filter(RNG.random((1 if flat else 5, 20, 70)), 1) > 0.5) + 0
    words = masks.bits(labels.astype(np.uint8), 1, np.array([0, 0, 0, *labels.shape]))
    cross = ndimage.generate_binary_structure(3, 1)
    if flat:
        cross[[0, 2]] = False
    expected = labels.astype(bool) & ~ndimage.binary_erosion(labels, cross)
    found = masks.unpacked(masks.border(words, flat))[:-1, :-1, : labels.shape[2]]
    assert (found == expected).all()


@pytest.mark.parametrize("writable_cache", [True, False])
def test_kernels_work_where_the_package_cannot_be_written(tmp_path, writable_cache):
    """With a read-only package the user's cache folder serves, and without one no cache does."""
    package = tmp_path / "src" / "segarena"
    source = Path(masks.__file__).parent
    package.mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "masks.py"):
        shutil.copy(source / name, package)
    (package / "__pycache__").write_text("a file where the folder would be")
    home = tmp_path / "home"
    if writable_cache:
        home.mkdir()
    else:
        home.write_text("a file where the folder would be")
    code = (
        "import numpy as np; from segarena import masks; m = np.ones((1, 1, 3), np.uint8);"
        "print(masks.kernel(lambda x: x + 1)(1))"
    )
    environment = {k: v for k, v in os.environ.items() if k not in {"NUMBA_CACHE_DIR", "HOME"}}
    environment |= {
        "PYTHONPATH": str(package.parent),
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "2", done.stderr


def test_set_up_compiles_all_that_clicks_and_metrics_use():
    """After `python -m segarena.masks` a job finds every kernel in the cache."""
    work = """
import numpy as np
from segarena import masks
from segarena.prompt import clicks
from segarena.score.metrics import METRICS, score
for dtype in (np.uint8, np.uint16):
    truth = np.zeros((9, 9, 9), dtype)
    truth[2:7, 2:7, 2:7] = 1
    answer = np.roll(truth, 1, axis=2)
    clicks.largest_error(truth, answer, seed=42)
    clicks.LARGEST_VOLUME = 1
    clicks.largest_error(truth, answer, seed=42)
    needed = {"tolerance_mm": 1, "width_mm": 1, "worst_mm": 1}
    for points in ("elements", "voxels"):
        for metric in METRICS.values():
            given = {k: v for k, v in needed.items() if k in metric.parameters}
            if "points" in metric.parameters:
                given["points"] = points
            if metric.name != "clDice" and metric.needs in {"labels", "surfaces"}:
                score(truth, answer, (1, 1, 1), [{"name": metric.name} | given])
    for given in ({"instances": "labels"}, {"dilation": 1}):
        score(truth, answer, (1, 1, 1), [{"name": "F1"} | given])
kernels = [k for k in vars(masks).values() if hasattr(k, "stats")]
print({k.__name__: dict(k.stats.cache_misses) for k in kernels if k.stats.cache_misses})
"""
    environment = os.environ | {"PYTHONPATH": str(Path(masks.__file__).parents[1])}
    for command in (["-m", "segarena.masks"], ["-c", work]):
        done = subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "{}"


def test_a_job_starts_without_scipys_linear_algebra():
    """It costs a tenth of a second; what numba makes of scipy for others works all the same."""
    code = (
        "import sys, numpy as np; from segarena import masks\n"
        "words = masks.bits(np.ones((1, 1, 8), np.uint8), 1, np.array([0, 0, 0, 1, 1, 8]))\n"
        "print('scipy.linalg' in sys.modules, int(words.sum()))\n"
        "import numba\n"
        "print(*numba.njit(lambda a, b: np.convolve(a, b))(np.ones(2), np.ones(2)))\n"
        "import scipy.linalg; print(scipy.linalg.det(np.eye(2)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False 255", "1.0 2.0 1.0", "1.0"]
