"""The paper's own start, w(0) = (0.6, -0.8) and v = (0, 1), on the circle: its turn, its angle at given times, its bounds."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from flowcheck.papers.spherical_data import bounds, reduced_flow
from flowcheck.papers.spherical_data.population import Array, law

CLOCK = float(reduced_flow.clock(2.0 * math.atan(3.0)))
"""tan(θ(0) / 2) = 3."""
PLAIN_TOLERANCES = 1e-13, 1e-11
"""Tolerance of integration in plain time, and the one that its error is measured with."""
TIMES = np.linspace(0.0, 30.0, 301)


def start(dimension: int) -> Float[Array, " d"]:
    """w(0) in R^d: it lies in the plane of the first and the last axis."""
    return 0.6 * np.eye(dimension)[0] - 0.8 * direction(dimension)


def direction(dimension: int) -> Float[Array, " d"]:
    """V in R^d: the last axis."""
    return np.eye(dimension)[-1]


def on_the_clock(depth: int, advances: Float[Array, " p"], rtol: float) -> reduced_flow.ReducedPath:
    """The flow, recorded at clock advances."""
    return reduced_flow.reduced_flow(law("circle"), depth, np.array([CLOCK]), np.zeros(1), advances, rtol=rtol)


def turn(path: reduced_flow.ReducedPath) -> dict[str, float]:
    """T, and the norm there."""
    at = path.transition
    return {"transition_time": at.t[0], "norm_at_transition": np.exp(at.s[0])}


def one_minus_cos(depth: int, time: float, rtol: float) -> float:
    """1 - cos θ at one time."""
    q, _ = in_time(depth, np.array([0.0, time]), rtol)
    return float(reduced_flow.one_minus_cos(q[-1]))


def in_time(depth: int, times: Float[Array, " p"], rtol: float) -> tuple[Float[Array, " p"], Float[Array, " p"]]:
    """(q, s) of the flow at these times, the first one 0."""
    q, s = reduced_flow.in_time(law("circle"), depth, np.array([CLOCK]), np.zeros(1), times, rtol=rtol)
    return q[0], s[0]


def curves(path: reduced_flow.ReducedPath) -> dict[str, Array]:
    """What the figures draw: the flow on both clocks, (t, log norm, q) at T, and the bounds of its depth at `TIMES`."""
    depth, c0, at = path.depth, path.law.c0, path.transition
    q, s = in_time(depth, TIMES, PLAIN_TOLERANCES[0])
    at_t, at_s, at_q = (float(part[0]) for part in (at.t, at.s, at.q))
    found = {"q": path.q[0], "s": path.s[0], "t": path.t[0], "times": TIMES, "q_in_time": q, "s_in_time": s}
    found["transition"] = np.array([at_t, at_s, at_q])
    after = np.maximum(TIMES - at_t, 0.0)
    if depth == 1:
        found["first_bound"] = bounds.theorem1_first_phase(TIMES, CLOCK, 1.0, c0)
        second = bounds.theorem1_second_phase(after, at_q, math.exp(at_s), c0)
        found["second_bound"] = np.where(at_t <= TIMES, second, np.nan)
    if depth == 2:
        found["proposition4"] = bounds.proposition4_exponent(TIMES, CLOCK, c0)
    if depth > 2:
        found["first_bound"] = bounds.theorem3_first_phase(TIMES, CLOCK, 1.0, c0, depth)
        second = bounds.theorem3_second_phase(after, at_q, math.exp(at_s), c0, depth)
        found["second_bound"] = np.where(at_t <= TIMES, second, np.nan)
        found["upper_bound"] = bounds.theorem3_upper(TIMES, 1.0, 2.0 * CLOCK, c0, depth)
        lower, upper = bounds.lemma8_log_norm_bounds(TIMES, 1.0, c0, depth)
        found |= {"lower_norm": np.exp(lower), "upper_norm": np.exp(upper)}
    return found
