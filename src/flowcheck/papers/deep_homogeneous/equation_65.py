r"""Eq. (65) of deep_homogeneous: a $\bar\delta$ below which the bound (72) at $T_\epsilon$ is at most $\epsilon^2/2$.

An inequality between constants, whatever they are. Logarithms throughout: $\bar\delta$ is below 1e-40, and often below 1e-300.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from flowcheck.measures import readings
from flowcheck.papers.homogeneous.near_saddles import UNIT_ROUNDOFF
from flowcheck.pipeline.evidence import Measurement
from flowcheck.saddles.constants import Reach

ROUNDINGS = 20
"""Sums and logarithms on the way from constants to an excess; each is off by a rounding of numbers as large as the exponent."""


def excesses(constants: Sequence[Reach]) -> dict[str, Measurement]:
    r"""Logarithm of (72) at half of $\bar\delta$ over $\epsilon^2/2$, largest over epsilon; not positive if (65) suffices.

    `eq65`: both corrected; `eq65_printed`: both as printed; `eq65_slip`: the corrected (72) with only the parenthesis of (65)
    repaired.
    """
    tried = {
        "eq65": [_excess(c, c.log_delta, printed=False) for c in constants],
        "eq65_printed": [_excess(c, c.log_delta_printed, printed=True) for c in constants],
        "eq65_slip": [_excess(c, c.log_delta_parenthesis, printed=False) for c in constants],
    }
    errors = np.array([rounding(c) for c in constants])
    return {name: readings.largest(np.array(values), errors) for name, values in tried.items()}


def _excess(c: Reach, log_delta: float, *, printed: bool) -> float:
    level, half = 2 * math.log(c.epsilon) - math.log(2), math.log(0.5)
    return c.log_deviation(log_delta + half, c.time, printed=printed) - level


def rounding(c: Reach) -> float:
    r"""Bound on the rounding of sums of the exponent $2TK^1\|\bar y\|$ and of $\ln\bar\delta$, which nearly cancel."""
    return ROUNDINGS * UNIT_ROUNDOFF * (c.exponent + abs(c.log_delta))
