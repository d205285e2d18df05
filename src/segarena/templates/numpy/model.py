"""The model: four maps of the prompts, weighed and added. Replace it by yours."""

import numpy as np

from maps import maps

WEIGHTS = np.array([3.0, 6.0, 8.0, -8.0], np.float32)  # chosen, not learnt


class Model:
    """Made once per container, so this is the place to load weights."""

    def probability(self, image, spacing, box, fg, bg, before):
        """Return the probability (D, H, W) that a voxel belongs to a label.

        image: uint8 (D, H, W) or (D, H, W, 3). spacing: mm, (z, y, x). box: the label's box or
        None. fg, bg: all its voxels so far (n, 3). before: its mask in the previous answer.
        """
        odds = np.tensordot(WEIGHTS, maps(image, spacing, box, fg, bg), 1)
        return 1 / (1 + np.exp(-odds))
