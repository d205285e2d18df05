"""Randomness from a name: what is drawn depends on where it is drawn, never on what ran before.

Each draw has its own generator, named by the protocol's seed, the case, the label, the interaction
and the repetition. A job run alone, on another machine or in another order therefore draws what it
draws in the whole run, and no label or case disturbs the next.
"""

import hashlib

import numpy as np


def generator(
    seed: int, case: str, label: int, interaction: int, repetition: int = 0
) -> np.random.Generator:
    """Return the generator of one label at one interaction of one case.

    `interaction` counts from 1; `repetition` 0 is the protocol run once. The name is hashed with
    SHA-256 because Python's own hash differs between processes.
    """
    name = f"{seed}\0{case}\0{label}\0{interaction}\0{repetition}"
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), "<u4")
    return np.random.default_rng(np.random.SeedSequence([int(word) for word in words]))
