"""NSD, HD95 and mean surface distance beside the libraries that have them, on the same pairs.

    pip install -r benchmarks/requirements.txt
    python benchmarks/against_libraries.py [VOLUME:QUALITY ...]

For each library: CPU seconds for all it has of the three, SegArena's for the same under the same
conventions, and the largest difference of each. numba and torch run single-threaded.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import volumes

from segarena.score.metrics import score

Masks = tuple[np.ndarray, np.ndarray]
Spacing = tuple[float, float, float]
TOLERANCE_MM = 2.0

NSD = {"name": "NSD", "tolerance_mm": TOLERANCE_MM}
VOXELS = {"points": "voxels", "dimensions": 3}
LINEAR = VOXELS | {"interpolation": "linear"}

OURS: dict[str, list[dict[str, Any]]] = {
    "surface-distance": [NSD, {"name": "HD95"}, {"name": "MASD"}],
    "MONAI": [NSD | VOXELS, {"name": "HD95"} | LINEAR, {"name": "ASSD"} | VOXELS],
    "SimpleITK": [{"name": "HD95"} | LINEAR, {"name": "ASSD"} | VOXELS],
    "MedPy": [{"name": "HD95", "pooling": "pooled"} | LINEAR, {"name": "ASSD"} | VOXELS],
}


def surface_distance(masks: Masks, spacing_mm: Spacing) -> list[float]:
    """NSD, robust Hausdorff and the mean of the directed means by DeepMind's library."""
    import surface_distance as sd

    found = sd.compute_surface_distances(*masks, spacing_mm)
    return [
        sd.compute_surface_dice_at_tolerance(found, TOLERANCE_MM),
        sd.compute_robust_hausdorff(found, 95),
        float(np.mean(sd.compute_average_surface_distance(found))),
    ]


def monai(masks: Masks, spacing_mm: Spacing) -> list[float]:
    """NSD, HD95 and the symmetric average by MONAI's functions with their defaults."""
    import torch
    from monai.metrics import (
        compute_average_surface_distance,
        compute_hausdorff_distance,
        compute_surface_dice,
    )

    truth, answer = (torch.from_numpy(mask[None, None]) for mask in masks)
    one = {"include_background": True, "spacing": spacing_mm}
    return [
        float(compute_surface_dice(answer, truth, [TOLERANCE_MM], **one)),
        float(compute_hausdorff_distance(answer, truth, percentile=95, **one)),
        float(compute_average_surface_distance(answer, truth, symmetric=True, **one)),
    ]


def simpleitk(masks: Masks, spacing_mm: Spacing) -> list[float]:
    """HD95 and the symmetric average from SimpleITK's contours and their distance maps."""
    import SimpleITK as sitk

    contours, maps = [], []
    for mask in masks:
        image = sitk.GetImageFromArray(np.pad(mask, 1).astype(np.uint8))
        image.SetSpacing(spacing_mm[::-1])
        contour = sitk.LabelContour(image)
        contours.append(sitk.GetArrayFromImage(contour) > 0)
        distance = sitk.SignedMaurerDistanceMap(
            contour, squaredDistance=False, useImageSpacing=True
        )
        maps.append(np.abs(sitk.GetArrayFromImage(distance)))
    directed = [maps[1][contours[0]], maps[0][contours[1]]]
    return [
        float(max(np.percentile(d, 95) for d in directed)),
        float(np.concatenate(directed).mean()),
    ]


def medpy(masks: Masks, spacing_mm: Spacing) -> list[float]:
    """HD95 (pooled) and what MedPy calls the average symmetric surface distance."""
    from medpy.metric import binary

    truth, answer = masks
    return [
        float(binary.hd95(answer, truth, voxelspacing=spacing_mm)),
        float(binary.assd(answer, truth, voxelspacing=spacing_mm)),
    ]


LIBRARIES: dict[str, Callable[[Masks, Spacing], list[float]]] = {
    "surface-distance": surface_distance,
    "MONAI": monai,
    "SimpleITK": simpleitk,
    "MedPy": medpy,
}


def main() -> None:
    """Print a row a volume and library."""
    print("| volume | library | its s | SegArena s | ratio | largest differences |")
    print("|---|---|---|---|---|---|", flush=True)
    for asked in sys.argv[1:] or ["ts3mm:0.9", "s128:0.9"]:
        name, quality = asked.split(":")
        volume = volumes.VOLUMES[name]
        truth, answer = volumes.drawn(volume, quality)
        labels = sorted(set(np.unique(truth)) & set(np.unique(answer)) - {0})
        for library, theirs in LIBRARIES.items():
            theirs((truth == labels[0], answer == labels[0]), volume.spacing_mm)
            score(truth, answer, volume.spacing_mm, OURS[library], labels=labels[:1])
            start = time.process_time()
            expected = [
                theirs((truth == label, answer == label), volume.spacing_mm) for label in labels
            ]
            middle = time.process_time()
            found = score(truth, answer, volume.spacing_mm, OURS[library], labels=labels)
            end = time.process_time()
            values = np.array([s.value for s in found]).reshape(len(labels), -1)
            away = np.abs(values - np.array(expected)).max(axis=0)
            words = ", ".join(
                f"{metric['name']} {difference:.1g}"
                for metric, difference in zip(OURS[library], away, strict=True)
            )
            theirs_s, ours_s = middle - start, end - middle
            print(
                f"| {name} {quality} | {library} | {theirs_s:.2f} | {ours_s:.3f} "
                f"| {theirs_s / ours_s:.0f}x | {words} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
