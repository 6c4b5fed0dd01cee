r"""Eq. (72) of deep_homogeneous: $\|w_z/\delta-u\|$ against the bound by Gronwall's inequality, and the step before it."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool

from flowcheck.measures.refinement import change
from flowcheck.papers.homogeneous.near_saddles import rounding_of_sums
from flowcheck.pipeline.evidence import Measurement
from flowcheck.saddles.constants import Reach
from flowcheck.saddles.departure import Departure, Start
from flowcheck.saddles.saddle import Saddle


def log_ratio(path: Departure, rows: Bool[np.ndarray, " s"], last: int, c: Reach) -> float:
    r"""Largest logarithm of $\|w_z/\delta-u\|^2$ over the corrected (72), at the recorded times up to number `last`."""
    with np.errstate(divide="ignore"):
        squared = 2 * np.log(path.deviation[rows, 1 : last + 1])
    return float((squared - c.log_deviations(np.log(path.delta[rows]), path.tau[1 : last + 1], printed=False)).max())


def increments(saddle: Saddle, start: Start, delta: float, c: Reach, coarse: Reach) -> dict[str, Measurement]:
    r"""The change of H_n over $K^2\sqrt C\,\delta$, and over the text's $K^2C\delta^2$, at the start, where it is largest.

    `coarse` holds the constants of a coarser u.
    """
    step = saddle.fitted.increment(saddle.weights, start.n[None], np.array([delta]), saddle.residual).outputs
    size = float(np.linalg.norm(step))

    def ratios(c: Reach) -> tuple[float, float]:
        return size / (c.k2 * math.sqrt(c.c)), size / (c.k2 * c.c * delta)

    found = {}
    for name, fine, other in zip(("eq72_step", "eq72_step_printed"), ratios(c), ratios(coarse), strict=True):
        moved = float(change(np.array(fine), np.array(other)))
        found[name] = Measurement(fine, moved + rounding_of_sums(saddle.fitted) * fine)
    return found
