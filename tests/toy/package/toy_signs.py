"""Random signs: a module beside its script."""

import numpy as np


def signs(rng: np.random.Generator, count: int, probability: float = 0.5) -> np.ndarray:
    """Signs that are positive with the given probability."""
    return np.where(rng.random(count) < probability, 1, -1)
