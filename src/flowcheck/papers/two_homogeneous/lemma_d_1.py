r"""Lemma D.1 of two_homogeneous: $Z=\|w_n-\bar w_n\|^2+\|w_z\|^2$ grows at a rate of at most $2M_2$, not of M_2 as printed.

The counterexample has two opposite inputs; w_z grows at the rate 2K of its input, against M_2 = 2K + 12.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from flowcheck.measures.refinement import Refined
from flowcheck.networks.zoo import power_net
from flowcheck.pipeline.evidence import Found, Measurement
from flowcheck.saddles import constants as saddle_constants
from flowcheck.saddles import departure
from flowcheck.saddles.saddle import Saddle
from flowcheck.saddles.units import Units

START_N, START_Z = np.array([0.6, 0.8]), np.array([-1.0, 0.0])
AT_THE_START = 4 * float(np.finfo(np.float64).eps)
"""Relative rounding of Z at t = 0, a sum of three squares: one half of an epsilon for each of six operations."""


def rate_bound(label: float) -> float:
    r"""$M_2=\max(\mu_2+\mu_1\mu_3,\beta(2M_1+\mu_3))$ in the unit ball around (1, 0).

    Only the first input moves H_n there, by (w_1^2 - 1, 0): mu1 = 3, mu3 = 4, mu2 = 0, and beta = 1.
    """
    return max(3.0 * 4.0, 2 * (label + 3 + 1) + 4)


def two_inputs(label: float) -> Saddle:
    """Max(0, x.w)^2 on the inputs (1, 0) and (-1, 0) with labels 1 and K, at (1, 0)."""
    unit = Units.of(power_net(1, 2, 2), np.array([[1.0, 0.0], [-1.0, 0.0]]))
    saddle = Saddle(unit, unit, np.array([1.0, 0.0]), np.array([0.0, label]))
    saddle.stationarity()
    return saddle


def growth(label: float, delta: float, times: Float[np.ndarray, " p"], coarser: float) -> Float[np.ndarray, " p+1"]:
    r"""$Z/\delta^2$ at t = 0 and at these times."""

    def u(t: float) -> np.ndarray:
        return math.exp(2 * label * t) * START_Z

    path = departure.depart(two_inputs(label), np.array([delta]), START_N, START_Z, np.append(0.0, times), u, coarser=coarser)
    return path.a_norm[0] ** 2 + path.b_norm[0] ** 2


def counterexample(label: float, delta: float, constants: Float[np.ndarray, " c"]) -> Found:
    """(56) and (18) as printed, with C delta^2 at t = ln(C) / M_2, and the largest rate ln(Z / 2 delta^2) / t.

    The latter against 2 M_2, with the M_2 that all saddles are judged by, and against the M_2 worked out by hand, as printed.
    """
    m2, bound = rate_bound(label), saddle_constants.growth(two_inputs(label)).m2
    times = np.log(constants) / m2
    fine, coarse = (growth(label, delta, times, coarser) for coarser in (1.0, departure.COARSER))
    rate, coarse_rate = (np.log(z[1:] / 2) / times for z in (fine, coarse))
    start = fine[0] / constants[0]
    return {
        "printed_56_ratio_max": Refined.of(fine[1:] / (2 * constants), coarse[1:] / (2 * constants)).largest(),
        "printed_18_ratio_start": Measurement(start, AT_THE_START * start),
        "printed_18_ratio_max": Refined.of(fine[1:] / constants, coarse[1:] / constants).largest(),
        "counterexample_rate_ratio": Refined.of(rate / (2 * bound), coarse_rate / (2 * bound)).largest(),
        "counterexample_rate_ratio_printed": Refined.of(rate / m2, coarse_rate / m2).largest(),
        "counterexample_m2": np.array(m2),
        "counterexample_z": fine,
        "counterexample_z_coarse": coarse,
        "counterexample_rate": rate,
        "counterexample_rate_coarse": coarse_rate,
        "constants": constants,
    }
