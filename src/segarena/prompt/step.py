"""Say what the simulated user says at one interaction."""

from pathlib import Path
from typing import Any

import numpy as np

from segarena.case import asked_labels, ignored, read_answer, read_boxes, read_truth
from segarena.files import read_json, write_json
from segarena.prompt.user import Prompts, Scene, has_prompts, next_prompts, no_prompts


def main(files: dict[str, str], output: str, case: str, k: int, values: dict[str, Any]) -> None:
    """Write all prompts up to interaction `k`."""
    step = values["step"]
    truth = read_truth(files["truth"])
    labels = asked_labels(truth, values.get("ignore_label"))
    prompts: Prompts = read_json(files["prompts"]) if "prompts" in files else no_prompts(labels)
    segs = read_answer(files["answer"]) if has_prompts(prompts) else None
    outside = ignored(truth, values.get("ignore_label"))
    if outside is not None and segs is not None:
        segs = np.where(outside, 0, segs)
    boxes = read_boxes(files["image"]) if step["prompt"] == "box" else None
    scene = Scene(
        gts=truth.gts if outside is None else np.where(outside, 0, truth.gts),
        labels=labels,
        segs=segs,
        boxes=None if boxes is None else boxes[: len(prompts["labels"])],
        drawn=Path(files["drawn"]) if "drawn" in files else None,
        seed=values["seed"],
        case=case,
        interaction=k,
        repetition=values.get("repetition", 0),
    )
    head = {
        "case": case,
        "protocol": values["protocol"],
        "version": values["version"],
        "interaction": k,
        "prompt": step["prompt"],
        "seed": values["seed"],
    }
    if scene.repetition:
        head["repetition"] = scene.repetition
    write_json(output, {**next_prompts(prompts, step, scene, values.get("stop_when")), **head})
