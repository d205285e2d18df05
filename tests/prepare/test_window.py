import numpy as np
import pytest

from segarena.errors import ConfigError
from segarena.prepare.window import Window, by_percentiles, chosen_window, windowed


@pytest.mark.parametrize(
    ("name", "level", "width"),
    [
        ("abdomen", 40, 400),
        ("lung", -500, 1400),
        ("bone", 400, 1000),
        ("brain", 50, 100),
        ("mediastinum", 50, 350),
    ],
)
def test_presets_are_those_of_the_challenge(name, level, width):
    """Each preset has the level and width that radiology and the challenge use."""
    assert chosen_window(modality=None, window=name) == Window(level, width)


def test_level_and_width_are_read():
    """A window may be given as level/width, negative and fractional numbers too."""
    assert chosen_window(modality="MR", window="-62.5/1500") == Window(-62.5, 1500)


def test_ct_without_a_window_is_the_abdomen():
    """CT without a window is seen through the abdominal one, however CT is written."""
    assert chosen_window(modality="ct", window=None) == Window(40, 400)


@pytest.mark.parametrize("modality", [None, "MR", "US"])
def test_other_modalities_have_no_window(modality):
    """Without CT and without a window the percentiles rule."""
    assert chosen_window(modality=modality, window=None) is None


@pytest.mark.parametrize("window", ["liver", "40", "40/0", "40/-1", "a/b", "1/2/3", "nan/4", ""])
def test_a_window_that_is_none_is_refused_with_what_to_write(window):
    """A window that is neither a preset nor level/width is told with both ways to write one."""
    with pytest.raises(
        ConfigError, match="abdomen, lung, bone, brain, mediastinum, or level/width"
    ):
        chosen_window(modality=None, window=window)


def test_a_window_maps_its_ends_to_black_and_white():
    """level - width/2 and less is 0, level + width/2 and more is 255, the level is 127."""
    hu = np.array([[[-1000, -160, 40, 240, 3000]]], np.int16)
    assert windowed(hu, Window(40, 400)).tolist() == [[[0, 0, 127, 255, 255]]]


def test_percentiles_are_those_of_the_non_zero_voxels():
    """Zeros count neither in the percentiles nor in the stretch, and stay 0."""
    values = np.concatenate([np.zeros(5000), np.arange(1001) + 1000]).reshape(1, 1, -1)
    expected = (np.clip(np.arange(1001), 5, 995) - 5) / 990 * 255
    turned = by_percentiles(values)
    assert turned.dtype == np.uint8
    assert not turned[0, 0, :5000].any()
    assert np.abs(turned[0, 0, 5000:] - expected).max() < 1 + 1e-9


def test_zeros_of_a_signed_image_stay_zero():
    """A voxel that is 0 is 0 also where the image has values below it."""
    values = np.array([[[-100.0, 0.0, 100.0]]])
    assert by_percentiles(values).tolist() == [[[0, 0, 255]]]


def test_one_non_zero_value_is_white():
    """Equal percentiles do not divide by zero: what is not 0 is white."""
    assert by_percentiles(np.array([[[0, 7, 7]]])).tolist() == [[[0, 255, 255]]]


def test_a_few_bright_voxels_on_a_constant_background_are_seen():
    """Where both percentiles are the background's value, lowest and highest stand in for them."""
    values = np.full((2, 50, 50), 100, np.uint16)
    values[0, 3, 3:5] = 4000, 2050
    turned = by_percentiles(values)
    assert turned[0, 3, 3:5].tolist() == [255, 127]
    assert np.count_nonzero(turned) == 2


def test_an_image_of_zeros_stays_black():
    """No non-zero voxel, no percentile: all is 0."""
    assert not by_percentiles(np.zeros((2, 3, 4))).any()
