r"""Lemma 7, Eq. (16), and Eq. (39): rates of the angle and of the norm's power for balanced weights.

$$\partial_t\cos\theta=\frac{c_0\sin^2\theta}{\pi}\|\mathbf w_e\|^{1-2/N},\qquad
\partial_t\|\mathbf w_e\|^{2/N}=2g(\mathbf w_e).$$

The derivatives are taken from the layers' own velocities by the product rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from flowcheck.measures.refinement import Refined, refined
from flowcheck.networks import linear
from flowcheck.papers.spherical_data.full_weights import FullFlow
from flowcheck.papers.spherical_data.population import Array, SphericalLaw, law_gradient

ROUNDING = 4e-13
"""The gradient is a quadrature of 900 terms whose sizes add up to c0 or less: half a unit each is 1e-13 c0, and 3e-13 c0/π."""


def defects(law: SphericalLaw, weights: linear.Weights, v: Float[Array, " d"], panels: int) -> tuple[float, float]:
    """Left minus right side of Eq. (16), in units of c0/π ‖w_e‖^{1-2/N}, and of Eq. (39), in units of c0 ‖w_e‖."""
    depth, w_e = len(weights), linear.end_to_end(weights)
    gradient = law_gradient(law, w_e, v, panels=panels)
    rate = linear.end_to_end_velocity(weights, gradient)
    norm = np.linalg.norm(w_e)
    unit = w_e / norm
    across = v - (unit @ v) * unit
    cosine_rate = across @ rate / norm
    predicted = law.c0 / math.pi * float(np.sum(across**2)) * norm ** (1 - 2 / depth)
    norm_rate = 2 / depth * norm ** (2 / depth - 1) * (unit @ rate)
    scale = law.c0 / math.pi * norm ** (1 - 2 / depth)
    return float((cosine_rate - predicted) / scale), float((norm_rate + 2 * w_e @ gradient) / (law.c0 * norm))


def residuals(fine: Sequence[FullFlow], coarse: Sequence[FullFlow]) -> dict[str, Refined]:
    """Largest absolute defect of either equation over all flows and times, with its change to those followed coarsely."""

    def largest(flows: Sequence[FullFlow]) -> dict[str, float]:
        found = [defects(flow.law, state, flow.v, flow.accuracy.panels) for flow in flows for state in flow.states]
        return dict(zip(("lemma7_residual", "equation39_residual"), np.abs(found).max(axis=0), strict=True))

    return {name: each.with_rounding(ROUNDING) for name, each in refined(largest, fine, coarse).items()}
