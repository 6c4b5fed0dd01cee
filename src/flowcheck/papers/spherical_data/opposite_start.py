r"""The start opposite to v (after Theorem 3; Lemma 6 as printed): the angle stays π, and the norm dies without reaching zero.

There $\partial_t\ln\|\mathbf w_e\|=-N\|\mathbf w_e\|^{1-2/N}(c_0/\pi+\kappa)$, so for N > 2 the norm falls like
$((N-2)c_0t/\pi)^{-N/(N-2)}$.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from flowcheck.integration.initial_value import solve
from flowcheck.measures.refinement import Refined, refined
from flowcheck.networks import linear
from flowcheck.papers.spherical_data.full_weights import Accuracy, follow
from flowcheck.papers.spherical_data.population import Array, law
from flowcheck.pipeline.evidence import Found, Measurement

LAST_TIME = 1e8
TOLERANCES = (1e-11, 1e-13), (1e-10, 1e-12)
"""(rtol, atol) of ln ‖w_e‖, and those that its error is measured with."""
CLOSED_FORM = 1e-13
"""Rounding of π κ / c0: a quadrature of 320 positive terms that add up to at most one, half a unit each: 4e-14."""


def measure(depth: int, weights: linear.Weights, accuracy: Accuracy) -> Found:
    """Decay of the norm, and the angle of full weights up to t = 10, each with its change from a coarser integration."""
    times = np.linspace(0.0, 10.0, 21)
    found = refined(lambda tolerances: decay(depth, tolerances), *TOLERANCES)
    found["opposite_sine_max"] = Refined.of(*(sine(weights, times, how) for how in (accuracy, accuracy.coarser)))
    return {name: each.largest() for name, each in found.items()}


def decay(depth: int, tolerances: tuple[float, float]) -> dict[str, float]:
    """From norm one on the circle up to t = 1e8, followed in ln(1 + t): the late slope of ln ‖w_e‖ in it, and its size.

    `opposite_slope_gap` is its distance to -N/(N-2), `..._one_layer_more` that to the exponent of depth N + 1, and
    `opposite_lower_ratio_max` the largest share that the fall uses of what Eq. (17) allows, with a third of c0 for a control.
    """
    circle, power, u = law("circle"), 1.0 - 2.0 / depth, np.linspace(0.0, math.log(LAST_TIME), 400)

    def rate(u: float, s: Array) -> Array:
        return -depth * np.exp(u + power * s) * (circle.c0 / math.pi + circle.kappa(np.exp(s)))

    rtol, atol = tolerances
    s = solve(rate, u[-1], np.zeros(1), "LSODA", u, rtol=rtol, atol=atol).y[0]
    slope = (s[-1] - s[-40]) / (u[-1] - u[-40])
    used = (np.exp((2.0 / depth - 1.0) * s[1:]) - 1.0) / ((depth - 2) * circle.c0 * np.expm1(u[1:]))
    return {
        "opposite_slope_gap": abs(slope + depth / (depth - 2)),
        "opposite_slope_gap_one_layer_more": abs(slope + (depth + 1) / (depth - 1)),
        "opposite_lower_ratio_max": used.max(),
        "opposite_lower_ratio_third_of_c0": 3 * used.max(),
    }


def sine(weights: linear.Weights, times: Float[Array, " p"], accuracy: Accuracy) -> float:
    """Largest sine of the angle to -v = (0, -1) along the flow of full weights on the circle. It grows from rounding alone."""
    flow = follow(law("circle"), np.array([0.0, 1.0]), weights, times, accuracy)
    return float(np.abs(flow.w_e[:, 0] / flow.norm).max())


def growth() -> Measurement:
    """Largest π g / (c0 ‖w‖) at the angle π, over norms from 1e-12 to 100: not positive, so the norm never grows there."""
    circle = law("circle")
    return Measurement(-1.0 - math.pi / circle.c0 * np.min(circle.kappa(np.geomspace(1e-12, 1e2, 200))), CLOSED_FORM)
