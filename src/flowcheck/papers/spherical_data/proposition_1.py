r"""Proposition 1: the loss is Lipschitz with $\mathbb E\|\mathbf x\|$, smooth with $\frac14\lambda_{\max}(\Sigma)$, and convex.

It is not strongly convex: the Hessian fades along v.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from flowcheck.measures import readings
from flowcheck.measures.refinement import Refined
from flowcheck.papers.spherical_data.pointwise import ROUNDING
from flowcheck.papers.spherical_data.population import COARSE_PANELS, PANELS, Array, SphericalLaw, law_gradient
from flowcheck.pipeline.evidence import Found, Measurement

Pair = tuple[Float[Array, " d"], Float[Array, " d"]]
LOSS = 2e-13
"""Relative: a loss is a sum of up to 960 terms of one sign, half a unit each, and a linear term no larger than that sum."""
CURVATURE = 1e-12
"""Relative error of κ and κ' at norms up to 1e5 (see `population.PANELS`)."""


def random_pairs(rng: np.random.Generator, dimension: int, pairs: int) -> list[Pair]:
    """Pairs of points in random directions, with norms from 0.3 to 10."""
    drawn = []
    for _ in range(pairs):
        a, b = (10 ** rng.uniform(-0.5, 1.0) * x / np.linalg.norm(x) for x in rng.standard_normal((2, dimension)))
        drawn.append((a, b))
    return drawn


def on_pairs(law: SphericalLaw, pairs: Sequence[Pair]) -> Found:
    """Largest differences of losses and of gradients over what the proposition allows, smallest convexity gap at midpoints.

    The gap is over the squared distance. Each number stands for one law.
    """
    v = np.eye(law.dimension)[-1]

    def loss(w: Float[Array, " d"]) -> float:
        norm = float(np.linalg.norm(w))
        return float(law.loss(norm, w @ v / norm))

    def changes(panels: int) -> Float[Array, " n"]:
        gradients = ([law_gradient(law, w, v, panels=panels) for w in pair] for pair in pairs)
        return np.array([np.linalg.norm(first - second) for first, second in gradients])

    losses = [(loss(a), loss(b), loss(0.5 * (a + b))) for a, b in pairs]
    distance = np.array([np.linalg.norm(a - b) for a, b in pairs])
    rise = np.array([abs(first - second) for first, second, _ in losses])
    rounding = LOSS * np.array([first + second for first, second, _ in losses])
    jensen = [(0.5 * (first + second) - middle) / gap**2 for (first, second, middle), gap in zip(losses, distance, strict=True)]
    allowed = 0.25 * law.coordinate_second_moment * distance
    rounded = 2 * ROUNDING * law.c0 / math.pi / allowed
    smooth = Refined.of(changes(PANELS) / allowed, changes(COARSE_PANELS) / allowed).with_rounding(rounded).largest()
    found = {
        "lipschitz_ratio_max": readings.largest(rise / (law.mean_norm * distance), rounding / (law.mean_norm * distance)),
        "smoothness_ratio_max": smooth,
        "jensen_gap_min": readings.smallest(np.array(jensen), rounding / distance**2),
    }
    return {name: replace(number, n=1) for name, number in found.items()}


def fading(law: SphericalLaw) -> Found:
    """Slope of ln ‖∇²L(kv)‖ against ln k over a decade, which is -1; and with a tenth of the mass on {v·x = 0}.

    There the logistic curvature stays 1/4, so that the hypothesis P(v·x = 0) = 0 is broken, and the Hessian does not fade.
    """
    k = np.array([1e3, 1e4])
    hessian = np.maximum(law.kappa(k) / k, law.kappa_slope(k))  # tangential and radial eigenvalues along v
    atom = 0.9 * hessian + 0.1 * 0.25 * law.coordinate_second_moment
    slope, slope_atom = (math.log(x[1] / x[0]) / math.log(10.0) for x in (hessian, atom))
    error = 2 * CURVATURE / math.log(10.0)
    return {
        "hessian_slope_max": Measurement(slope, error, n=1),
        "hessian_slope_with_atom_min": Measurement(slope_atom, error, n=1),
    }
