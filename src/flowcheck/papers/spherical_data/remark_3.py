"""Remark 3 (spherical_data): no limit on the step size. Steps far beyond 2/β, and what happens without a lower limit."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from flowcheck.measures import readings
from flowcheck.papers.spherical_data.descent import PopulationPath, population_descent
from flowcheck.papers.spherical_data.population import SphericalLaw
from flowcheck.papers.spherical_data.theorem_2 import half_space_entry, radius_entry
from flowcheck.pipeline.evidence import Found, Measurement

Array = np.ndarray

START = 2.4981
"""Angle of the start: that of Section 5, where tan(θ/2) = 3."""
SECOND_MOMENT_ROUNDING = 1e-13
"""Relative rounding of E x1²: two sums of some 300 positive terms, half a unit in the last place a term."""
BLOCK = 500
"""Steps whose loss is taken at once: the quadrature nodes of all of them would be the largest arrays of an experiment."""


def beyond_the_limit(law: SphericalLaw, step_size: float, steps: int) -> Found:
    """Descent from norm 1 with steps beyond 2/β: is the loss still falling, and where does the direction end?

    β = E x1² / 4 is the largest eigenvalue of the Hessian, at w = 0. A second start shows that the cosine may fall.
    """
    path = population_descent(law, np.ones(1), np.array([START]), np.full((1, steps), step_size))
    falling = population_descent(law, np.array([3.0]), np.array([0.3]), np.full((1, 2), step_size))
    over = step_size * 0.25 * law.coordinate_second_moment / 2.0
    return {
        "huge_step_loss_increases": readings.count(np.diff(losses(path, 0)) > 0),
        "huge_step_final_gap": Measurement(path.one_minus_cos[0, -1], path.final_rounding()[0]),
        "huge_step_over_smoothness_limit": Measurement(over, SECOND_MOMENT_ROUNDING * over),
        "huge_step_cosine_drop": Measurement(np.diff(falling.one_minus_cos).max(), 2.0 * falling.rounding.sum()),
    }


def losses(path: PopulationPath, run: int, pull: float = 1.0) -> Float[Array, " p"]:
    """Population loss of one run at every step; `pull` is 1 - 2p where a share p of the labels is flipped."""
    blocks = np.arange(BLOCK, path.norm.shape[1], BLOCK)
    parts = zip(*(np.split(values[run], blocks) for values in (path.norm, path.cosine)), strict=True)
    return np.concatenate([path.law.loss(norm, pull * cosine) for norm, cosine in parts])


def summable_steps(law: SphericalLaw) -> Found:
    """Steps 2^-n from norm 10, which no number bounds below: they neither turn the direction nor leave the half-space."""
    path = population_descent(law, np.array([10.0]), np.array([START]), 0.5 ** np.arange(1.0, 61.0)[None])
    return {
        "summable_final_gap": Measurement(path.one_minus_cos[0, -1], path.final_rounding()[0]),
        "summable_runs_without_n0": Measurement.count(int(np.isnan(half_space_entry(path)[0]))),
        "summable_runs_without_n1": Measurement.count(int(radius_entry(path)[0] < 0)),
        "summable_along_v": Measurement(path.along[0, -1], path.norm[0, -1] * path.rounding.sum()),
    }
