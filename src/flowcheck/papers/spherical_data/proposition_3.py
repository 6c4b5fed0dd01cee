r"""Proposition 3(ii) (again in Proposition 5), its printed forms, Eq. (21), and the size of the gradient far along -v.

$$\nabla L(a\mathbf v)=-\mathbb E\frac{|t|}{1+e^{a|t|}}\,\mathbf v,\qquad
\lim_{\beta\to\infty}-\mathbf v^\top\nabla L(\alpha\mathbf v+\beta\mathbf z)=\frac{c_0}{\pi}.$$
"""

from __future__ import annotations

import math

import numpy as np

from flowcheck.measures.refinement import Refined, refined
from flowcheck.papers.spherical_data.pointwise import ROUNDING
from flowcheck.papers.spherical_data.population import COARSE_PANELS, PANELS, SphericalLaw, law_gradient
from flowcheck.pipeline.evidence import Found, Measurement

MULTIPLES = (-5.0, -1.0, 0.1, 1.0, 5.0)
CLOSED_FORM = 1e-12
"""Relative error of κ at norms up to 1e5 (see `population.PANELS`), so that of -v·∇L in units of c0/π."""


def along_v(law: SphericalLaw) -> Found:
    """Largest distance of the quadrature at multiples of v to the formula, to it with the printed sign, and without the factor a.

    In units of c0/π. Each number stands for one law.
    """
    v, unit = np.eye(law.dimension)[-1], law.c0 / math.pi
    x, weight = law.coordinate_nodes, law.coordinate_weights

    def distances(panels: int) -> dict[str, float]:
        found: dict[str, float] = dict.fromkeys(("parallel", "parallel_printed_sign", "parallel_printed_exponent"), 0.0)
        for a in MULTIPLES:
            gradient = law_gradient(law, a * v, v, panels=panels)
            value, without_a = float(weight @ (x / (1.0 + np.exp(a * x)))), float(weight @ (x / (1.0 + np.exp(x))))
            for name, other in zip(found, (value * v, -value * v, without_a * v), strict=True):
                found[name] = max(found[name], float(np.abs(gradient + other).max() / unit))
        return found

    known = refined(distances, PANELS, COARSE_PANELS)
    return {f"{name}_residual_max": each.with_rounding(ROUNDING).largest() for name, each in known.items()}


def far_across(law: SphericalLaw) -> Found:
    """Eq. (21) by the closed form, with α = 1: relative distance to the limit at β = 10^4, and its slope from β = 100 on."""
    v, z, beta = np.eye(law.dimension)[-1], np.eye(law.dimension)[0], np.array([1e2, 1e3, 1e4])
    far = np.array([abs(-v @ law.gradient(v + b * z, v) / (law.c0 / math.pi) - 1.0) for b in beta])
    span = math.log(beta[-1] / beta[0])
    return {
        "limit21_slope_max": Measurement(
            math.log(far[-1] / far[0]) / span, (CLOSED_FORM / far[0] + CLOSED_FORM / far[-1]) / span, n=1
        ),
        "limit21_gap_max": Measurement(far[-1], CLOSED_FORM, n=1),
    }


def size_far_along(law: SphericalLaw) -> Measurement:
    """Size of the gradient at -100 v over c0: 2/π is what it tends to, and its supremum."""
    v = np.eye(law.dimension)[-1]
    gradients = (law_gradient(law, -100.0 * v, v, panels=panels) for panels in (PANELS, COARSE_PANELS))
    return Refined.of(*(float(np.linalg.norm(each) / law.c0) for each in gradients)).with_rounding(ROUNDING / math.pi).number()
