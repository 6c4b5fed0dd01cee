"""Exact solution of exponential decay: reached by the script of `decay` through `toy_euler` only."""

import numpy as np


def exact(t: np.ndarray, rate: float = 1.0) -> np.ndarray:
    """Solution of x' = -rate x, x(0) = 1."""
    # the comment that a test changes
    return np.exp(-rate * t)
