"""Tests of metrics of probabilities, by closed forms and by counting voxels one by one."""

import math

import numpy as np
import pytest

from segarena.errors import ConfigError
from segarena.score import probabilities
from segarena.score.metrics import check, score

ORDERED = [
    # p of the levels 0 to 4, the level observed, and the score of Epstein 1969, divided by 4
    ((1, 0, 0, 0, 0), 0, 0.0),
    ((1, 0, 0, 0, 0), 2, 0.5),
    ((1, 0, 0, 0, 0), 4, 1.0),
    ((0, 0, 1, 0, 0), 0, 0.5),
    ((0.2, 0.2, 0.2, 0.2, 0.2), 2, (0.04 + 0.16 + 0.16 + 0.04) / 4),
    ((0, 0.4, 0.2, 0.4, 0), 1, (0.36 + 0.16) / 4),
]


def values(truth, probs, metrics, spacing_mm=(1.0, 1.0, 1.0), labels=None):
    truth, probs = np.asarray(truth, np.uint8), np.asarray(probs, np.uint8)
    labels = labels or list(range(1, len(probs) + 1))
    places = probabilities.Places(truth, labels, spacing_mm)
    tables = probabilities.count(probabilities.streamed(probs), places, metrics)
    found = score(truth, truth, spacing_mm, metrics, labels=labels, probs=tables)
    return [one.value for one in found]


def line(*numbers):
    return np.array(numbers).reshape(1, 1, -1)


def test_values_of_four_voxels_by_hand():
    """p = 1, .6, .4, 0 with truth 1, 0, 1, 0, in closed form."""
    names = ("Brier", "AUROC", "NLL", "ECE")
    metrics = [{"name": name, "region": "image"} for name in names]
    brier, auroc, nll, ece = values(line(1, 0, 1, 0), [line(255, 153, 102, 0)], metrics)
    assert brier == pytest.approx((0 + 0.36 + 0.36 + 0) / 4)
    assert auroc == 3 / 4
    assert nll == pytest.approx(-2 * math.log(0.4) / 4)
    assert ece == pytest.approx((0 + 0.6 + 0.6 + 0) / 4)


def test_random_probabilities_equal_a_count_of_voxels():
    """Of 200 voxels and three labels each metric is that of the plain formula in numpy."""
    random = np.random.default_rng(1)
    truth = random.integers(0, 4, (2, 10, 10)).astype(np.uint8)
    probs = random.integers(0, 86, (3, 2, 10, 10)).astype(np.uint8)
    p = probs / 255
    with_rest = np.concatenate([[1 - p.sum(axis=0)], p])
    is_true = np.stack([truth == label for label in range(4)])
    metrics = [
        {"name": "Brier", "region": "image"},
        {"name": "Brier", "region": "image", "kind": "all_labels", "as": "all"},
        {"name": "NLL", "region": "image", "kind": "all_labels"},
        {"name": "RPS", "region": "image"},
        {"name": "AUROC", "region": "image"},
    ]
    found = np.reshape(values(truth, probs, metrics), (3, 5))
    true = (with_rest * is_true).sum(axis=0)
    cumulative = np.cumsum(with_rest, axis=0) - np.cumsum(is_true, axis=0)
    for row, label in zip(found, (1, 2, 3), strict=True):
        inside, outside = p[label - 1][truth == label], p[label - 1][truth != label]
        pairs = (inside[:, None] > outside) + (inside[:, None] == outside) / 2
        assert row == pytest.approx(
            [
                np.mean((p[label - 1] - is_true[label]) ** 2),
                np.mean(((with_rest - is_true) ** 2).sum(axis=0)),
                -np.mean(np.log(np.maximum(true, 1e-10))),
                np.mean((cumulative**2).sum(axis=0)) / 3,
                pairs.mean(),
            ]
        )


@pytest.mark.parametrize(("p", "observed", "expected"), ORDERED)
def test_ranked_scores_are_those_of_epstein(p, observed, expected):
    """Probabilities far from the observed level cost more than those beside it."""
    probs = [line(round(255 * one)) for one in p[1:]]
    found = values(line(observed), probs, [{"name": "RPS", "region": "image"}])
    assert found == pytest.approx([expected] * 4)


def test_regions():
    """The box is 20 voxels around the label, the rim what is near its outline, in mm."""
    truth = np.zeros((1, 1, 100), np.uint8)
    truth[..., 50:60] = 1
    probs = np.full((1, *truth.shape), 255, np.uint8)
    metrics = [
        {"name": "Brier", "region": "image", "as": "image"},
        {"name": "Brier", "as": "box"},
        {"name": "Brier", "region": "rim", "width_mm": 2, "as": "rim"},
    ]
    image, box, rim = values(truth, probs, metrics)
    assert (image, box, rim) == (90 / 100, 40 / 50, 4 / 8)
    (rim,) = values(truth, probs, metrics[2:], spacing_mm=(1.0, 1.0, 2.0))
    assert rim == 2 / 4


def test_labels_that_overlap_have_no_value_over_all_classes():
    """A sum above 1 leaves metrics of one label alone."""
    metrics = [
        {"name": "Brier", "region": "image"},
        {"name": "Brier", "region": "image", "kind": "all_labels", "as": "all"},
        {"name": "RPS", "region": "image"},
    ]
    found = values(line(1, 2), [line(255, 255), line(0, 255)], metrics)
    assert found[0] == 0.5
    assert np.isnan(found[1:3]).all()


def test_a_region_without_the_label_inside_or_out_has_no_auroc():
    """Nothing to compare is nan, never an error."""
    (found,) = values(line(1, 1), [line(0, 255)], [{"name": "AUROC"}])
    assert math.isnan(found)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ({"name": "ECE", "bins": 2.5}, r"metrics.0.bins: is 2.5; a whole number is expected"),
        ({"name": "ECE", "bins": 300}, r"metrics.0.bins: is 300; at most 255 is expected"),
        ({"name": "Brier", "width_mm": 3, "region": "box"}, r"width_mm: has no effect with"),
        ({"name": "Brier", "kind": "top_label"}, r"one of one_label, all_labels is expected"),
    ],
)
def test_parameters_that_cannot_be_meant_are_rejected(metric, expected):
    """One line names the key."""
    with pytest.raises(ConfigError, match=expected):
        check([metric])
