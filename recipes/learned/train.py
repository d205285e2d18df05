"""Train the network of demo/submissions/learned, from synthetic shapes and textures alone.

    python train.py NET.npz SECONDS [--batch 32] [--pool 2048] [--size 64] [--start NET.npz]

No image of a patient is used, so no licence question comes with the weights. A sample is a cube:
regions with random grey values, texture, blur, bias field, noise and thick slices; one of them is
the target. The cube is cropped around the target as predict.py crops a case around its box. The
network sees the image, the box, the clicks so far and its answer before; it is trained after 0 to
5 clicks, each where its own answer is most wrong, as the benchmark's user clicks.

Needs torch; a GPU makes samples and steps about a hundred times faster. Writes half-precision
weights in the layout that predict.py reads.
"""

import argparse
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

CHANNELS = (16, 32, 64, 96)
SIGMA = 0.06  # of a click, in half sides of the cube
ROUNDS = 6


class Norm(nn.GroupNorm):
    """Group normalisation that stays in half precision where the network runs in it."""

    def forward(self, x):
        """Return the normalised activations, of the same type."""
        with torch.autocast(x.device.type, enabled=False):
            weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
            return F.group_norm(x, self.num_groups, weight, bias, self.eps)


class Block(nn.Sequential):
    """Two convolutions, each with its normalisation."""

    def __init__(self, inputs, outputs):
        super().__init__(
            nn.Conv3d(inputs, outputs, 3, padding=1, bias=False),
            Norm(8, outputs),
            nn.SiLU(inplace=True),
            nn.Conv3d(outputs, outputs, 3, padding=1, bias=False),
            Norm(8, outputs),
            nn.SiLU(inplace=True),
        )


class Net(nn.Module):
    """A U-Net of four levels: (N, 5, D, H, W), sides that 8 divides, to logits (N, 1, D, H, W)."""

    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList(
            Block(a, b) for a, b in zip((5, *CHANNELS), CHANNELS, strict=False)
        )
        pairs = zip(CHANNELS[::-1], CHANNELS[-2::-1], strict=False)
        self.up = nn.ModuleList(Block(a + b, b) for a, b in pairs)
        self.head = nn.Conv3d(CHANNELS[0], 1, 1)

    def forward(self, x):
        """Return the logits."""
        skipped = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool3d(x, 2) if level else x)
            skipped.append(x)
        for block, skip in zip(self.up, skipped[-2::-1], strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], 1))
        return self.head(x)


def uniform(low, high, *shape):
    """Return random numbers, or one of them, on the device of the samples."""
    return low + (high - low) * torch.rand(*shape, device=DEVICE)


def per_sample(values):
    """Return (N,) as (N, 1, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1, 1)


def noise(n, channels, size, fewest, most):
    """Return smooth noise (N, C, size, size, size) of a random number of cells per axis."""
    cells = [int(torch.randint(fewest, most + 1, ())) for _ in range(3)]
    grain = torch.randn(n, channels, *cells, device=DEVICE)
    return F.interpolate(grain, (size,) * 3, mode="trilinear", align_corners=True)


def blur(x, sigma):
    """Return the volumes (N, C, ...) blurred with one Gaussian."""
    radius = max(int(3 * sigma + 0.5), 1)
    t = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-t * t / (2 * sigma * sigma))
    kernel = (kernel / kernel.sum()).view(1, 1, -1)
    for axis in range(2, 5):
        line = x.movedim(axis, -1)
        shape = line.shape
        padded = F.pad(line.reshape(-1, 1, shape[-1]), (radius, radius), mode="replicate")
        x = F.conv1d(padded, kernel).view(shape).movedim(-1, axis)
    return x


def places(size):
    """Return the coordinates (3, D, H, W) of the voxels, from -1 to 1."""
    t = torch.linspace(-1, 1, size, device=DEVICE)
    return torch.stack(torch.meshgrid(t, t, t, indexing="ij"))


def warped(n, size):
    """Return coordinates (N, 3, D, H, W), turned and bent at random for each sample."""
    bend = noise(n, 3, size, 3, 8) * per_sample(uniform(0.04, 0.3, n))
    turn, _ = torch.linalg.qr(torch.randn(n, 3, 3, device=DEVICE))
    return torch.einsum("nij,njdhw->nidhw", turn, places(size)[None] + bend)


def ellipsoids(n, size):
    """Return bent ellipsoids; a third has a lobe, a third is hollow or cut open."""
    at = warped(n, size)
    radii = uniform(0.15, 0.6, n, 3, 1, 1, 1)
    distance = ((at / radii) ** 2).sum(1, keepdim=True)
    kind = per_sample(torch.randint(0, 3, (n,), device=DEVICE))
    centre = (0.35 * torch.randn(n, 3, 1, 1, 1, device=DEVICE)).clamp(-0.5, 0.5)
    lobe = (((at - centre) / uniform(0.12, 0.35, n, 3, 1, 1, 1)) ** 2).sum(1, keepdim=True) < 1
    hollow = (distance > per_sample(uniform(0.15, 0.6, n))) | (at[:, :1] > 0)
    mask = distance < 1
    return torch.where(kind == 1, mask | lobe, torch.where(kind == 2, mask & hollow, mask))


def tubes(n, size):
    """Return bent tubes."""
    at = warped(n, size)
    t = torch.linspace(-1, 1, 24, device=DEVICE)
    a = (
        torch.randn(n, 3, 3, 1, device=DEVICE)
        * torch.tensor([0.5, 0.25, 0.15], device=DEVICE)[:, None]
    )
    curve = a[:, :, 0] * t + a[:, :, 1] * torch.sin(2.5 * t) + a[:, :, 2] * torch.cos(4 * t)
    curve = curve * 0.7 / curve.abs().amax((1, 2), keepdim=True).clamp(min=0.3)
    distance = torch.full((n, 1, size, size, size), 9.0, device=DEVICE)
    for j in range(24):
        step = (at - curve[:, :, j, None, None, None]) ** 2
        distance = torch.minimum(distance, step.sum(1, keepdim=True))
    return distance < per_sample(uniform(0.05, 0.2, n)) ** 2


def pieces(regions):
    """Return what hangs together with the middle voxel within its region."""
    middle = regions.shape[-1] // 2
    own = regions == regions[:, :, middle, middle, middle].view(-1, 1, 1, 1, 1)
    mask = torch.zeros_like(own)
    mask[:, :, middle, middle, middle] = True
    for _ in range(int(0.3 * regions.shape[-1])):
        mask = (F.max_pool3d(mask.to(HALF), 3, 1, 1) > 0) & own
    return mask


def volumes(n, size):
    """Return images (N, 1, D, H, W), from 0 to about 1, and their targets, before any cropping."""
    count = int(torch.randint(4, 16, ()))
    regions = noise(n, count, size, 3, 9).argmax(1, keepdim=True)
    third = max(n // 3, 1)
    shapes = [ellipsoids(third, size), tubes(third, size), pieces(regions[2 * third :])]
    target = torch.cat(shapes)[:n]
    ball = (places(size) ** 2).sum(0)[None, None]
    small = target.flatten(1).sum(1) < 60
    target = torch.where(per_sample(small), ball < 0.16, target)
    image = torch.gather(torch.rand(n, count, device=DEVICE), 1, regions.flatten(1))
    image = image.view(n, 1, size, size, size)
    around = (image * target).flatten(1).sum(1) / target.flatten(1).sum(1)
    sign = torch.sign(torch.randn(n, device=DEVICE))
    near = around + uniform(0.06, 0.35, n) * sign  # half of the targets differ little
    grey = torch.where(torch.rand(n, device=DEVICE) < 0.5, near, torch.rand(n, device=DEVICE))
    inside = noise(n, 1, size, 4, 16) * per_sample(uniform(0, 0.12, n))
    image = image + noise(n, 1, size, 8, 20) * per_sample(uniform(0, 0.12, n))
    image = torch.where(target, per_sample(grey) + inside, image)
    outside = noise(n, 1, size, 3, 3) + ball * 1.2 > 1.1
    outside &= per_sample(torch.rand(n, device=DEVICE) < 0.35) & ~target
    image = torch.where(outside, torch.zeros_like(image), image)
    image = blur(image, 0.4 + 1.2 * float(torch.rand(())))
    image = image * (1 + 0.25 * noise(n, 1, size, 3, 3))
    return image + torch.randn_like(image) * per_sample(uniform(0, 0.12, n)), target


def extents(line):
    """Return the first and the last index (N,) that is true in each row (N, L)."""
    line = line.float()
    return line.argmax(1), line.shape[1] - 1 - line.flip(1).argmax(1)


def middle_slice(target):
    """Return which slices hold the target (N, D), and its middle one (N, H, W)."""
    filled = target.flatten(3).any(3)[:, 0]
    middle = (filled.cumsum(1) >= (filled.sum(1, keepdim=True) // 2 + 1)).float().argmax(1)
    return filled, target[torch.arange(len(target), device=DEVICE), 0, middle]


def samples(n, size):
    """Return images and targets as predict.py sees them: around a box, in a cube of `size`."""
    image, target = volumes(n, size * 5 // 4)
    filled, cut = middle_slice(target)
    edges = []
    for line in (filled, cut.any(2), cut.any(1)):
        first, last = extents(line)
        side = (last - first + 1).float()
        low = (first - side * uniform(0.3, 0.9, n)).clamp(min=0)
        high = (last + 1 + side * uniform(0.3, 0.9, n)).clamp(max=line.shape[1])
        edges.append(torch.stack([low, high], 1) / line.shape[1] * 2 - 1)
    t = (torch.arange(size, device=DEVICE) + 0.5) / size
    axes = [low[:, None] + (high - low)[:, None] * t for low, high in (e.T for e in edges)]
    shape = (n, size, size, size)
    grid = torch.stack(
        [
            axes[2][:, None, None, :].expand(shape),
            axes[1][:, None, :, None].expand(shape),
            axes[0][:, :, None, None].expand(shape),
        ],
        -1,
    )
    image = F.grid_sample(image, grid, align_corners=False, padding_mode="border")
    target = F.grid_sample(target.float(), grid, align_corners=False) > 0.5
    if float(torch.rand(())) < 0.5:  # a few thick slices
        slices = int(2 + 30 * torch.rand(()) ** 2)
        at = ((torch.arange(slices) + 0.5) / slices * size).long().to(DEVICE)
        size3 = (size,) * 3
        image = F.interpolate(image[:, :, at], size3, mode="trilinear", align_corners=False)
        target = F.interpolate(target[:, :, at].float(), size3, mode="nearest") > 0.5
    some = image.flatten(1)[:, ::7]
    low, high = (per_sample(some.quantile(q, 1)) for q in (0.01, 0.99))
    image = ((image - low) / (high - low).clamp(min=1e-3)).clamp(-0.2, 1.2)
    fits = target.flatten(1).sum(1) > 30
    return image[fits].to(HALF), target[fits]


def turned(image, target):
    """Return the cubes mirrored and turned in the same random way, grey values bent or inverted."""
    flips = [axis for axis in (2, 3, 4) if torch.rand(()) < 0.5]
    order = (0, 1, 2, 4, 3) if torch.rand(()) < 0.5 else (0, 1, 2, 3, 4)
    image, target = (x.flip(flips).permute(order).contiguous() for x in (image, target))
    n = len(image)
    inverted = per_sample(torch.rand(n, device=DEVICE) < 0.3)
    image = torch.where(inverted, 1 - image.float(), image.float())
    power = per_sample(torch.exp(uniform(-0.4, 0.4, n)))
    return image.clamp(0, 1) ** power + image.clamp(max=0) + (image - 1).clamp(min=0), target


def boxes(target):
    """Return the benchmark's boxes (N, 1, D, H, W): that of the middle slice, over the z range.

    Half of them are wider than the target, by the same share on all four sides.
    """
    t = torch.arange(target.shape[-1], device=DEVICE)
    share = uniform(-0.3, 0.3, len(target)).clamp(min=0)
    filled, cut = middle_slice(target)
    lines = []
    for line, wider in ((filled, 0), (cut.any(2), share), (cut.any(1), share)):
        first, last = extents(line)
        shift = (wider * (last - first + 1)).round() if line is not filled else 0
        lines.append((t >= (first - shift)[:, None]) & (t <= (last + shift)[:, None]))
    z, y, x = lines
    return (z[:, :, None, None] & y[:, None, :, None] & x[:, None, None, :])[:, None]


def click(answer, target, foreground, background, at):
    """Return both maps of clicks with one more, about where the largest error is deepest."""
    error = (answer != target).float()
    depth = F.avg_pool3d(F.avg_pool3d(error, 5, 1, 2), 5, 1, 2) * error
    size, flat = target.shape[-1], depth.flatten(1)
    where = flat.argmax(1)
    zyx = torch.stack([where // (size * size), where // size % size, where % size], 1)
    centre = zyx.float() / (size - 1) * 2 - 1
    distance = ((at[None] - centre[:, :, None, None, None]) ** 2).sum(1, keepdim=True)
    spot = torch.exp(-distance / (2 * SIGMA**2)) * per_sample(flat.amax(1) > 0)
    missed = per_sample(torch.gather(target.flatten(1), 1, where[:, None])[:, 0])
    return (
        torch.where(missed, torch.maximum(foreground, spot), foreground),
        torch.where(missed, background, torch.maximum(background, spot)),
    )


def dice_loss(logits, target):
    """Return the loss: cross entropy and soft Dice."""
    truth, p = target.float(), torch.sigmoid(logits)
    both = (p * truth).flatten(1).sum(1)
    dice = (2 * both + 1) / (p.flatten(1).sum(1) + truth.flatten(1).sum(1) + 1)
    return F.binary_cross_entropy_with_logits(logits, truth) + 1 - dice.mean()


def load(net, path):
    """Read the weights that `save` wrote."""
    with np.load(path) as file:
        arrays = {name: file[name].astype("f4") for name in file.files}
    net.load_state_dict(
        {
            name: torch.from_numpy(x.transpose(4, 3, 0, 1, 2) if x.ndim == 5 else x)
            for name, x in arrays.items()
        }
    )


def save(net, path):
    """Write the weights (float16), convolutions as (z, y, x, input, output)."""
    arrays = {}
    for name, tensor in net.state_dict().items():
        value = tensor.float().cpu().numpy()
        arrays[name] = (value.transpose(2, 3, 4, 1, 0) if value.ndim == 5 else value).astype("f2")
    np.savez_compressed(path, **arrays)


class Pool:
    """Cubes that are being prompted: image, target, box, clicks so far, the answer before.

    The oldest are replaced by new ones. One that has had all its rounds starts again.
    """

    def __init__(self, count, size):
        shape = (count, 1, size, size, size)
        types = {"image": HALF, "foreground": HALF, "background": HALF}
        types |= {"target": torch.bool, "box": torch.bool, "answer": torch.bool}
        self.count, self.size, self.made = count, size, 0
        self.fields = {
            name: torch.zeros(shape, dtype=kind, device=DEVICE) for name, kind in types.items()
        }
        self.rounds = torch.zeros(count, dtype=torch.long, device=DEVICE)
        self.at = places(size)

    def add(self, n):
        """Make n new samples."""
        image, target = turned(*samples(n, self.size))
        slots = (self.made + torch.arange(len(image), device=DEVICE)) % self.count
        self.fields["image"][slots], self.fields["target"][slots] = image.to(HALF), target
        self.made += len(image)
        self.start(slots)

    def start(self, slots):
        """Draw boxes; one in ten has none, and a click in its place."""
        target = self.fields["target"][slots]
        has_box = per_sample(torch.rand(len(slots), device=DEVICE) > 0.1)
        nothing = torch.zeros_like(target)
        spots = torch.zeros(target.shape, dtype=HALF, device=DEVICE)
        first, _ = click(nothing, target, spots, spots, self.at)
        self.fields["box"][slots] = boxes(target) & has_box
        self.fields["foreground"][slots] = torch.where(has_box, spots, first.to(HALF))
        self.fields["background"][slots] = 0
        self.fields["answer"][slots] = False
        self.rounds[slots] = 0

    def draw(self, n):
        """Return n slots, and what the network sees of them."""
        slots = torch.randperm(min(self.made, self.count), device=DEVICE)[:n]
        names = ("image", "box", "foreground", "background", "answer")
        return slots, torch.cat([self.fields[name][slots].float() for name in names], 1)

    def prompt(self, slots, answer):
        """Add the click that each answer calls for; start again after the last round."""
        target = self.fields["target"][slots]
        clicks = (self.fields[name][slots] for name in ("foreground", "background"))
        foreground, background = click(answer, target, *clicks, self.at)
        self.fields["foreground"][slots] = foreground.to(HALF)
        self.fields["background"][slots] = background.to(HALF)
        self.fields["answer"][slots] = answer
        self.rounds[slots] += 1
        over = slots[self.rounds[slots] >= ROUNDS]
        if len(over):
            self.start(over)


def arguments():
    """Return what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("net")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pool", type=int, default=2048)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--start", help="weights to start from")
    return parser.parse_args()


def main():
    """Train for the given time."""
    given = arguments()
    torch.manual_seed(7)
    torch.backends.cudnn.benchmark = True
    net, average = Net().to(DEVICE), Net().to(DEVICE)  # average: over about the last 500 steps
    if given.start:
        load(net, given.start)
    average.load_state_dict(net.state_dict())
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=1e-4)
    mixed = torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=DEVICE == "cuda")
    begun, pool = time.time(), Pool(given.pool, given.size)
    with torch.no_grad():
        for _ in range(8):
            pool.add(given.batch)
    step, dices = 0, torch.zeros(2, ROUNDS, device=DEVICE)
    while time.time() - begun < given.seconds:
        done = (time.time() - begun) / given.seconds
        rate = 2e-3 * min(1, step / 200 + 0.01) * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-5
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.no_grad():
            pool.add(max(given.batch // 5, 3))
            slots, x = pool.draw(given.batch)
            target, rounds = pool.fields["target"][slots], pool.rounds[slots]
        with mixed:
            logits = net(x).float()
        loss = dice_loss(logits, target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            hard = logits > 0
            both = 2 * (hard & target).flatten(1).sum(1)
            dice = both / (hard.flatten(1).sum(1) + target.flatten(1).sum(1))
            dices[0].index_add_(0, rounds, dice)
            dices[1].index_add_(0, rounds, torch.ones_like(dice))
            pool.prompt(slots, hard)
            keep = min(0.998, step / (step + 10))
            for ours, theirs in zip(average.parameters(), net.parameters(), strict=True):
                ours.lerp_(theirs, 1 - keep)
        if step in {5, 20, 60} or step % 200 == 0:
            scores = " ".join(f"{value:.3f}" for value in (dices[0] / dices[1]).tolist())
            dices.zero_()
            passed = time.time() - begun
            print(f"{step} steps, {pool.made} made, {passed:.0f} s, DSC {scores}", flush=True)
            if step % 1000 == 0:
                save(average, given.net)
    save(average, given.net)
    print(f"{step} steps of {given.batch}, {pool.made} samples made, {time.time() - begun:.0f} s")


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
HALF = torch.float16 if DEVICE == "cuda" else torch.float32

if __name__ == "__main__":
    main()
