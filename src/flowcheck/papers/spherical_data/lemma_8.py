r"""Lemma 8: bounds on the norm of a deep linear network (N > 2), and its growth where it turns.

(i) $(\|\mathbf w_e(0)\|^{2/N}+0.6t)^{N/2}\ge\|\mathbf w_e(t)\|\ge(\|\mathbf w_e(0)\|^{2/N-1}+(N-2)c_0t)^{-N/(N-2)}$, Eq. (17).
Both say that a power of the norm moves by no more than a multiple of t; measured is which share of that it uses.
(ii) At the turn dg/dt > 0: by the closed-form gradient it is $c_0^2\,\|\mathbf w_e\|^{2-2/N}\sin^2\theta/\pi^2$.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from flowcheck.measures import readings
from flowcheck.papers.spherical_data import reduced_flow
from flowcheck.papers.spherical_data.bounds import GROWTH_CAP
from flowcheck.papers.spherical_data.phases import Phases, highest_excess, over_runs
from flowcheck.papers.spherical_data.population import Array
from flowcheck.pipeline.evidence import Found


def used_shares(phases: Phases) -> dict[str, Float[Array, " s"]]:
    """Largest share that each flow uses of the fall and of the growth that Eq. (17) allows; above one the bound is broken."""
    path, depth = phases.path, phases.path.depth
    power, r, r0 = 2.0 / depth, np.exp(phases.path.s), phases.norm0
    fall, allowed_fall = r ** (power - 1) - r0 ** (power - 1), (depth - 2) * path.law.c0 * path.t
    growth, allowed_growth = r**power - r0**power, 2 * GROWTH_CAP * path.t
    return {
        "lemma8_lower": 1.0 + highest_excess(fall, allowed_fall, phases.anywhere),
        "lemma8_upper": 1.0 + highest_excess(growth, allowed_growth, phases.anywhere),
    }


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
    """The flow that uses most of Eq. (17), over all flows of depth three and more."""
    lower, upper = (over_runs(runs, f"lemma8_{side}", readings.largest) for side in ("lower", "upper"))
    return {
        "lemma8_lower_ratio_max": lower,
        "lemma8_lower_ratio_c0_halved": replace(lower, value=2 * lower.value, error=2 * lower.error),
        "lemma8_upper_ratio_max": upper,
        "lemma8_upper_ratio_cap_halved": replace(upper, value=2 * upper.value, error=2 * upper.error),
    }


def slopes(runs: pd.DataFrame) -> Found:
    """Part (ii), over all flows whose norm turns, of any depth."""
    turning = runs[runs["T"] > 0]
    return {
        "lemma8_growth_slope_min": over_runs(turning, "growth_slope_at_T"),
        "lemma8_growth_slope_max": over_runs(turning, "growth_slope_at_T", readings.largest),
    }
