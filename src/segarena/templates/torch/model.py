"""The model: a small network on maps of the prompts. Replace `Network` by yours."""

from pathlib import Path

import torch
from torch import nn

from maps import maps

WEIGHTS = Path(__file__).with_name("weights.pt")


class Network(nn.Module):
    """Two convolutions, (N, 4, D, H, W) to (N, 1, D, H, W); their weights are set, not trained."""

    def __init__(self):
        super().__init__()
        self.smooth = nn.Conv3d(4, 4, 3, padding=1, groups=4, padding_mode="replicate", bias=False)
        self.weigh = nn.Conv3d(4, 1, 1, bias=False)
        with torch.no_grad():
            self.smooth.weight.fill_(1 / 27)
            self.weigh.weight.copy_(torch.tensor([3.0, 6.0, 8.0, -8.0]).reshape(1, 4, 1, 1, 1))

    def forward(self, x):
        return self.weigh(self.smooth(x))


class Model:
    """Made once per container: loads the weights, on a GPU where there is one."""

    def __init__(self):
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.network = Network()
        if WEIGHTS.exists():
            known = torch.load(WEIGHTS, map_location=self.device, weights_only=True)
            self.network.load_state_dict(known)
        self.network.to(self.device).eval()

    @torch.inference_mode()
    def probability(self, image, spacing, box, fg, bg, before):
        """Return the probability (D, H, W) that a voxel belongs to a label.

        image: uint8 (D, H, W) or (D, H, W, 3). spacing: mm, (z, y, x). box: the label's box or
        None. fg, bg: all its voxels so far (n, 3). before: its mask in the previous answer.
        """
        x = torch.from_numpy(maps(image, spacing, box, fg, bg))[None].to(self.device)
        return torch.sigmoid(self.network(x))[0, 0].cpu().numpy()
