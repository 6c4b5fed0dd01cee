"""Euler's method, for the toy project of the pipeline tests."""

import numpy as np

from flowcheck.toy_exact import exact


def errors(step_size: float, horizon: float, rate: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Times and errors of explicit Euler on x' = -x against the decay with `rate`."""
    t = np.arange(round(horizon / step_size) + 1) * step_size
    return t, np.abs((1 - step_size) ** np.arange(t.size) - exact(t, rate))
