r"""Lemma 8: bounds on the norm of a deep linear network (N > 2), and its growth where it turns.

(i) $(\|\mathbf w_e(0)\|^{2/N}+0.6t)^{N/2}\ge\|\mathbf w_e(t)\|\ge(\|\mathbf w_e(0)\|^{2/N-1}+(N-2)c_0t)^{-N/(N-2)}$, Eq. (17).
Both say that a power of the norm moves by no more than a multiple of t; measured is which share of that it uses.
(ii) At the turn dg/dt > 0: by the closed-form gradient it is $c_0^2\,\|\mathbf w_e\|^{2-2/N}\sin^2\theta/\pi^2$.
Controls are flows of unbalanced layers, and points on an ellipse, on which the norm turns back.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from jaxtyping import Float

from flowcheck.measures import readings
from flowcheck.papers.spherical_data import reduced_flow
from flowcheck.papers.spherical_data.bounds import lemma8_log_norm_bounds
from flowcheck.papers.spherical_data.phases import Phases, highest_excess, over_runs
from flowcheck.papers.spherical_data.population import Array
from flowcheck.pipeline.evidence import Found


def used_shares(phases: Phases) -> dict[str, Float[Array, " s"]]:
    """Largest share that each flow uses of the fall and of the growth that Eq. (17) allows; above one the bound is broken.

    Raises ValueError if depth <= 2.
    """
    path = phases.path
    s0 = np.log(phases.norm0)
    (fall, allowed_fall), (growth, allowed_growth) = moved_and_allowed(path.t, path.s, s0, path.law.c0, path.depth)
    return {
        "lemma8_lower": 1.0 + highest_excess(fall, allowed_fall, phases.anywhere),
        "lemma8_upper": 1.0 + highest_excess(growth, allowed_growth, phases.anywhere),
    }


def moved_and_allowed(
    t: Float[Array, "*s"], s: Float[Array, "*s"], s0: Float[Array, "*#s"] | float, c0: float, depth: int
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    r"""How far $\|\mathbf w_e\|^{2/N-1}$ has moved since t = 0, and as far as the lower bound lets it; the same of
    $\|\mathbf w_e\|^{2/N}$ and the upper bound. All over their values at t = 0. `s` is the log norm, `s0` that at t = 0.
    """
    bounds, powers = lemma8_log_norm_bounds(t, np.exp(s0), c0, depth), (2.0 / depth - 1.0, 2.0 / depth)
    lower, upper = ((np.expm1(p * (s - s0)), np.expm1(p * (bound - s0))) for p, bound in zip(powers, bounds, strict=True))
    return lower, upper


def growth_slope(path: reduced_flow.ReducedPath, step: float) -> Float[Array, " s"]:
    """dg/dt at T over its predicted value, by central differences over `step` of the clock; one for flows that never shrink."""
    turn, ahead = path.transition, np.full(len(path.q), step)
    sides = [reduced_flow.advance(path.law, path.depth, turn.q, turn.s, turn.t, sign * ahead) for sign in (1.0, -1.0)]
    g = [reduced_flow.norm_growth(path.law, q, s) for q, s, _ in sides]
    # cosh^-2 q is sin² θ
    predicted = (path.law.c0 / math.pi) ** 2 * np.exp((2 - 2 / path.depth) * turn.s) / np.cosh(np.minimum(turn.q, 300)) ** 2
    slope = (g[0] - g[1]) / (sides[0][2] - sides[1][2]) / predicted
    return np.where(turn.t > 0, slope, 1.0)


def tightest(runs: pd.DataFrame) -> Found:
    """The flow that uses most of Eq. (17), over all flows of depth three and more, and what the median flow uses."""
    asked = {"max": readings.largest, "median": readings.median}
    return {
        f"lemma8_{side}_ratio_{name}": over_runs(runs, f"lemma8_{side}", reading)
        for side in ("lower", "upper")
        for name, reading in asked.items()
    }


def slopes(runs: pd.DataFrame) -> Found:
    """Part (ii), over all flows whose norm turns, of any depth."""
    turning = runs[runs["T"] > 0]
    return {
        "lemma8_growth_slope_min": over_runs(turning, "growth_slope_at_T"),
        "lemma8_growth_slope_max": over_runs(turning, "growth_slope_at_T", readings.largest),
    }
