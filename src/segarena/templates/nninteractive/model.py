"""The model: a session of nnInteractive, which is shown one label after the other."""

import os
from pathlib import Path

import numpy as np
import torch

from maps import maps

WEIGHTS = Path(__file__).with_name("weights")


class Model:
    """Made once per container: starts the session, on a GPU where there is one."""

    def __init__(self):
        self.image = None
        if WEIGHTS.is_dir():
            self.session = real_session()
        else:
            print(f"no {WEIGHTS}: a stand-in answers, not nnInteractive")
            self.session = StandIn()

    def probability(self, image, spacing, box, fg, bg, before):
        """Return the mask (D, H, W) of a label, 0 or 1.

        image: uint8 (D, H, W) or (D, H, W, 3). spacing: mm, (z, y, x). box: the label's box or
        None. fg, bg: all its voxels so far (n, 3). before: its mask in the previous answer.
        """
        if image is not self.image:
            grey = image.mean(axis=-1) if image.ndim == 4 else image
            self.session.set_image(grey.astype(np.float32)[None])
            self.image = image
        target = torch.zeros(image.shape[:3], dtype=torch.uint8)
        self.session.set_target_buffer(target)
        self.session.reset_interactions()
        steps = []
        if box is not None:
            sides = [(box["z_mid"], box["z_mid"])]
            sides += [(box[f"z_mid_{a}_min"], box[f"z_mid_{a}_max"]) for a in "yx"]
            half_open = [[int(low), int(high) + 1] for low, high in sides]
            steps.append((self.session.add_bbox_interaction, half_open, True))
        for voxels, is_label in ((fg, True), (bg, False)):
            points = [tuple(map(int, voxel)) for voxel in voxels]
            steps += [(self.session.add_point_interaction, point, is_label) for point in points]
        for i, (add, place, is_label) in enumerate(steps, start=1):
            add(place, include_interaction=is_label, run_prediction=i == len(steps))
        return target.numpy().astype(np.float32)


def real_session():
    """Return nnInteractive's own session with the weights."""
    from nnInteractive.inference.inference_session import nnInteractiveInferenceSession

    session = nnInteractiveInferenceSession(
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        torch_n_threads=os.cpu_count() or 1,
    )
    session.initialize_from_trained_model_folder(str(WEIGHTS))
    return session


class StandIn:
    """What the template uses of a session: an ellipsoid at the box, refined around the points."""

    def set_image(self, image):
        self.image = image[0]

    def set_target_buffer(self, target):
        self.target = target

    def reset_interactions(self):
        self.box, self.points = None, {True: [], False: []}
        self.target.zero_()

    def add_bbox_interaction(self, sides, include_interaction, run_prediction=True):
        (z, _), (y_min, y_max), (x_min, x_max) = sides
        self.box = {"z_mid_y_min": y_min, "z_mid_y_max": y_max - 1, "z_mid": z}
        self.box |= {"z_mid_x_min": x_min, "z_mid_x_max": x_max - 1}
        half = (y_max - y_min) // 4
        self.box |= {"z_min": z - half, "z_max": z + half}
        self.predict(run_prediction)

    def add_point_interaction(self, point, include_interaction, run_prediction=True):
        self.points[include_interaction].append(point)
        self.predict(run_prediction)

    def predict(self, run_prediction):
        if run_prediction:
            found = maps(self.image, (1, 1, 1), self.box, self.points[True], self.points[False])
            odds = np.tensordot(np.array([3.0, 6.0, 8.0, -8.0], np.float32), found, 1)
            self.target.copy_(torch.from_numpy(odds > 0))
