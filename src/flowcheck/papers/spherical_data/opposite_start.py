r"""The start opposite to v (after Theorem 3; Lemma 6 as printed): the angle stays π, and the norm dies without reaching zero.

There $\partial_t\ln\|\mathbf w_e\|=-N\|\mathbf w_e\|^{1-2/N}(c_0/\pi+\kappa)$, so for N > 2 the norm falls like
$((N-2)c_0t/\pi)^{-N/(N-2)}$.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from flowcheck.integration.initial_value import solve
from flowcheck.measures.refinement import refined
from flowcheck.networks import linear
from flowcheck.papers.spherical_data import broken_flows, lemma_8, reduced_flow
from flowcheck.papers.spherical_data.full_weights import Accuracy, FullFlow
from flowcheck.papers.spherical_data.population import Array, law
from flowcheck.papers.spherical_data.reduced_flow import COARSE_RTOL, RTOL
from flowcheck.pipeline.evidence import Found, Measurement

LAST_TIME = 1e8
TOLERANCES = (1e-11, 1e-13), (1e-10, 1e-12)
"""(rtol, atol) of ln ‖w_e‖, and those that its error is measured with."""
CLOSED_FORM = 1e-13
"""Rounding of π κ / c0: a quadrature of 320 positive terms that add up to at most one, half a unit each: 4e-14."""


BESIDE = 0.01
"""Angle to the opposite direction of the start of a control."""
STARTS = tuple(np.array([math.sin(angle), -math.cos(angle)]) for angle in (0.0, BESIDE))
"""The opposite start and the one beside it, for v = e_2."""
ADVANCES = np.linspace(0.0, 20.0, 401)
"""Clock advances of that flow: it turns after some 5, and then its norm grows."""


def measure(depth: int, opposite: linear.Weights, beside: linear.Weights, accuracy: Accuracy) -> Found:
    """Decay of the norm, and the angle of full weights up to t = 10, each with its change from a coarser integration.

    Weights whose products are the `STARTS`; controls are the second of them, and layers that are out of balance.
    """
    times = np.linspace(0.0, 10.0, 101)

    def of_weights(how: Accuracy) -> dict[str, float]:
        unbalanced = broken_flows.unbalanced(opposite, times, how)
        return {
            "opposite_sine_max": sine(broken_flows.planar_flow(opposite, broken_flows.V, times, how)),
            "opposite_sine_beside": sine(broken_flows.planar_flow(beside, broken_flows.V, times, how)),
            "opposite_lower_ratio_unbalanced": used_fall(times, np.log(unbalanced.norm), depth),
        }

    found = refined(lambda tolerances: decay(depth, tolerances), *TOLERANCES)
    found |= refined(lambda rtol: {"opposite_slope_gap_beside": slope_gap(*beside_decay(depth, rtol), depth)}, RTOL, COARSE_RTOL)
    found |= refined(of_weights, accuracy, accuracy.coarser)
    return {name: each.largest() for name, each in found.items()}


def decay(depth: int, tolerances: tuple[float, float]) -> dict[str, float]:
    """From norm one on the circle up to t = 1e8, followed in ln(1 + t): the late slope of ln ‖w_e‖ in it, and its size.

    `opposite_slope_gap` is the distance of the slope to -N/(N-2), and `opposite_lower_ratio_max` the largest share that the fall
    uses of what Eq. (17) allows.
    """
    circle, power, u = law("circle"), 1.0 - 2.0 / depth, np.linspace(0.0, math.log(LAST_TIME), 400)

    def rate(u: float, s: Array) -> Array:
        return -depth * np.exp(u + power * s) * (circle.c0 / math.pi + circle.kappa(np.exp(s)))

    rtol, atol = tolerances
    s = solve(rate, u[-1], np.zeros(1), "LSODA", u, rtol=rtol, atol=atol).y[0]
    late = [-40, -1]
    return {
        "opposite_slope_gap": slope_gap(u[late], s[late], depth),
        "opposite_lower_ratio_max": used_fall(np.expm1(u), s, depth),
    }


def beside_decay(depth: int, rtol: float) -> tuple[Float[Array, " 2"], Float[Array, " 2"]]:
    """Logarithms of time and norm at the last two records of the flow that starts `BESIDE` the opposite direction, norm one."""
    start = np.asarray(reduced_flow.clock_of_gap(np.array([BESIDE])))
    path = reduced_flow.reduced_flow(law("circle"), depth, start, np.zeros(1), ADVANCES, rtol=rtol)
    return np.log(path.t[0, -2:]), path.s[0, -2:]


def slope_gap(log_time: Float[Array, " 2"], log_norm: Float[Array, " 2"], depth: int) -> float:
    """Distance of the slope between two moments to that of the decay, -N/(N-2)."""
    return float(abs(np.diff(log_norm)[0] / np.diff(log_time)[0] + depth / (depth - 2)))


def used_fall(times: Float[Array, " p"], log_norm: Float[Array, " p"], depth: int) -> float:
    """Largest share that a fall from norm one uses of what the lower bound of Eq. (17) allows, after the first time, 0."""
    fall, allowed = lemma_8.moved_and_allowed(times[1:], log_norm[1:], 0.0, law("circle").c0, depth)[0]
    return float((fall / allowed).max())


def sine(flow: FullFlow) -> float:
    """Largest sine of the angle to the line of v. From the opposite start it grows from rounding alone."""
    return float(np.abs(flow.w_e[:, 0] / flow.norm).max())


def growth() -> Measurement:
    """Largest π g / (c0 ‖w‖) at the angle π, over norms from 1e-12 to 100: not positive, so the norm never grows there."""
    circle = law("circle")
    return Measurement(-1.0 - math.pi / circle.c0 * np.min(circle.kappa(np.geomspace(1e-12, 1e2, 200))), CLOSED_FORM)
