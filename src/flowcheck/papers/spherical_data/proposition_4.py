"""Proposition 4: for depth two and balanced weights the exponent is a straight line in t, of slope 2 c0 / π."""

from __future__ import annotations

import numpy as np

from flowcheck.papers.spherical_data.bounds import proposition4_exponent
from flowcheck.papers.spherical_data.full_weights import FullFlow

LAST_CLOCK = 6.0
"""Beyond, the arctanh of a rounded cosine is what limits the comparison: e^{2q} amplifies its rounding."""


def distance(flow: FullFlow, q0: float, c0: float) -> float:
    """Largest distance of the exponent of full weights to the line that starts at 2 `q0`."""
    line = proposition4_exponent(flow.times, q0, c0)
    return float(np.abs(2 * flow.q - line)[flow.q < LAST_CLOCK].max())
