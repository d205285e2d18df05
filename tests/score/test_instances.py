"""Tests of instances and of how they overlap, against scipy and by counting."""

import numpy as np
import pytest
from scipy import ndimage

from segarena.score import instances
from segarena.score.pair import pairs

ORDER = {6: 1, 18: 2, 26: 3}


def pair_of(truth, answer):
    (pair,) = pairs(truth.astype(np.uint8), answer.astype(np.uint8), (1.0, 1.0, 1.0), [1])
    return pair


def random_pairs(number, *, share):
    """Yield pairs of speckled masks, a third of them slices, wide enough for two words of bits."""
    random = np.random.default_rng(7)
    for at in range(number):
        shape = (1 if at % 3 == 0 else 9, 11, 70)
        truth, answer = random.random((2, *shape)) < share
        yield pair_of(truth, answer)


def rows_of(found):
    """Return (instance of the truth, of the answer, common voxels) of each pair of a table."""
    return np.stack([found.of_truth, found.of_answer, found.common], axis=1).tolist()


def label_maps(pair, connectivity):
    neighbours = ndimage.generate_binary_structure(3, ORDER[connectivity])
    return [ndimage.label(labels, neighbours)[0] for labels in pair.maps]


@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_components_and_their_overlaps_are_those_of_scipy(connectivity):
    """Sizes and shared voxels equal those of scipy's components, which are numbered the same."""
    for pair in random_pairs(9, share=0.15):
        found = instances.table(pair, instances="components", connectivity=connectivity)
        truth, answer = label_maps(pair, connectivity)
        assert found.truth.voxels.tolist() == np.bincount(truth.ravel())[1:].tolist()
        assert found.answer.voxels.tolist() == np.bincount(answer.ravel())[1:].tolist()
        shared = np.zeros((truth.max() + 1, answer.max() + 1), int)
        np.add.at(shared, (truth.ravel(), answer.ravel()), 1)
        expected = [[*place, n] for place, n in np.ndenumerate(shared[1:, 1:]) if n]
        assert rows_of(found) == expected


@pytest.mark.parametrize("times", [1, 2, 3])
def test_lesions_are_joined_where_their_dilations_touch(times):
    """Lesions and the answers that touch them equal scipy's dilation by the 18-neighbourhood."""
    for pair in random_pairs(6, share=0.004):
        found = instances.table(pair, instances="components", connectivity=26, dilation=times)
        one = pair.maps[0]
        grown = ndimage.binary_dilation(one, ndimage.generate_binary_structure(3, 2), times)
        zones = ndimage.label(grown, np.ones((3, 3, 3)))[0]
        assert found.truth.voxels.tolist() == np.bincount(zones[one > 0])[1:].tolist()
        answer = label_maps(pair, 26)[1]
        both = (zones > 0) & (answer > 0)
        touching = np.unique(np.stack([zones[both], answer[both]], axis=1) - 1, axis=0)
        assert rows_of(found) == [
            [z, a, np.count_nonzero((one > 0) & (zones == z + 1) & (answer == a + 1))]
            for z, a in touching.tolist()
        ]


def test_each_id_of_a_map_is_an_instance():
    """Ids may have gaps and parts apart; ids of truth and answer need not be the same."""
    truth = np.array([[[5, 5, 0, 300, 5]]], np.uint16)
    answer = np.array([[[7, 7, 7, 7, 0]]], np.uint16)
    (pair,) = pairs(truth, answer, (1.0, 1.0, 1.0), [5])
    found = instances.table(pair.case, instances="labels", connectivity=26)
    assert found.truth.voxels.tolist() == [3, 1]
    assert found.answer.voxels.tolist() == [4]
    assert found.common.tolist() == [2, 1]


def test_a_voxel_belongs_to_the_nearest_component_and_in_a_tie_to_the_first():
    """Voxels by region equal a search over all components, in whole squared distances."""
    for pair in random_pairs(6, share=0.02):
        found = instances.table(pair, instances="components", connectivity=26)
        truth, answer = label_maps(pair, 26)[0], pair.maps[1]
        ids, expected = range(1, truth.max() + 1), [0] * truth.max()
        for place in np.argwhere(answer):
            squared = [((np.argwhere(truth == n) - place) ** 2).sum(1).min() for n in ids]
            expected[int(np.argmin(squared))] += 1
        assert instances.voxels_by_region(pair, found).tolist() == expected


def test_an_instance_is_cropped_with_the_answers_that_belong_to_it():
    """The cropped pair holds the one instance and the chosen answers, and nothing beside them."""
    truth, answer = np.zeros((2, 3, 6, 8), np.uint8)
    truth[1, 1:4, 1:4], truth[1, 2, 6] = 1, 1
    answer[1, 1, 1:3], answer[2, 3, 3], answer[0, 5, 0] = 1, 1, 1
    pair = pair_of(truth, answer)
    found = instances.table(pair, instances="components", connectivity=6)
    assert found.answer.voxels.tolist() == [1, 2, 1]
    one = instances.cropped(pair, found, 0, np.array([1, 2]))
    assert (one.truth_voxels, one.answer_voxels, one.common_voxels) == (9, 3, 2)
    assert one.maps[0].shape == (2, 3, 3)
    assert one.maps[1].tolist() == [
        [[1, 1, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0], [0, 0, 1]],
    ]
