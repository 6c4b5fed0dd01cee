"""Proposition 4: for depth two and balanced weights the exponent is a straight line in t, of slope 2 c0 / π."""

from __future__ import annotations

import numpy as np

from flowcheck.papers.spherical_data.bounds import proposition4_exponent
from flowcheck.papers.spherical_data.full_weights import LAST_CLOCK, FullFlow


def distance(flow: FullFlow, q0: float, c0: float) -> float:
    """Largest distance of the exponent of full weights to the line that starts at 2 `q0`."""
    line = proposition4_exponent(flow.times, q0, c0)
    return float(np.abs(2 * flow.q - line)[flow.q < LAST_CLOCK].max())
