"""The model: MONAI's UNet on maps of the prompts, window by window. Replace `Network` by yours."""

from pathlib import Path

import torch
from monai.inferers import sliding_window_inference
from monai.networks.nets import UNet
from torch import nn

from maps import maps

WEIGHTS = Path(__file__).with_name("weights.pt")
WINDOW = (32, 96, 96)


class Network(nn.Module):
    """Weighed maps, and a small part of a UNet with random weights, (N, 4, ...) to (N, 1, ...)."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.unet = UNet(3, in_channels=4, out_channels=1, channels=(8, 16), strides=(2,))
        self.register_buffer("weights", torch.tensor([3.0, 6.0, 8.0, -8.0]).view(1, 4, 1, 1, 1))

    def forward(self, x):
        return (self.weights * x).sum(1, keepdim=True) + 0.1 * torch.tanh(self.unet(x))


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
        odds = sliding_window_inference(x, WINDOW, 1, self.network, overlap=0.25)
        return torch.sigmoid(odds)[0, 0].cpu().numpy()
