r"""Eq. (14), the flow of the end-to-end vector (Arora, Cohen and Hazan 2018, Claim 2), at random weights.

$$\dot{\mathbf w}_e=-\|\mathbf w_e\|^{2-2/N}
\bigl(\nabla L(\mathbf w_e)+(N-1)\bar{\mathbf w}_e\bar{\mathbf w}_e^\top\nabla L(\mathbf w_e)\bigr)$$

holds for balanced weights, $W_{j+1}^\top W_{j+1}=W_jW_j^\top$; printed is $W_{j+1}^\top W_{j+1}=W_j^\top W_j$, which needs square
layers and does not imply it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowcheck.measures import readings
from flowcheck.measures.refinement import Refined
from flowcheck.networks import linear
from flowcheck.papers.spherical_data.population import COARSE_PANELS, PANELS, Array, SphericalLaw, law_gradient
from flowcheck.pipeline.evidence import Found

ROUNDING = 1e-13
"""Relative: sums of up to six products of up to six layers with up to ten columns, half a unit for each operation: 4e-14."""

GRAM = 1e-13
"""Rounding of the entries of W^T W: inner products of up to ten numbers up to five in size, ten half units of 25 twice."""


class Drawn(NamedTuple):
    """Weights of one depth: balanced, scaled out of balance, and balanced as the text prints it."""

    balanced: linear.Weights
    unbalanced: linear.Weights
    printed: linear.Weights


def draw(rng: np.random.Generator, dimension: int, depth: int) -> Drawn:
    """Random weights; widths from 1 to 6, and those of the printed condition all equal to the dimension."""
    w = rng.standard_normal(dimension)
    balanced = linear.balanced_weights(w, rng.integers(1, 7, depth - 1).tolist(), rng)
    unbalanced = [2.0 * balanced[0], 0.5 * balanced[1], *balanced[2:]]
    # W_j = q_j a^T with unit q_j, and the last row a^T: all W_j^T W_j are a a^T
    a = rng.standard_normal(dimension)
    units = [x / np.linalg.norm(x) for x in rng.standard_normal((depth - 1, dimension))]
    return Drawn(balanced, unbalanced, [*(np.outer(q, a) for q in units), a[None, :]])


def printed_defect(weights: linear.Weights) -> float:
    """Largest entry of W_j^T W_j - W_1^T W_1 over all layers: Eq. (13) as printed."""
    grams = [layer.T @ layer for layer in weights]
    return max(float(np.abs(gram - grams[0]).max()) for gram in grams)


def residual(law: SphericalLaw, weights: linear.Weights, v: Float[Array, " d"], panels: int = PANELS) -> float:
    """Relative distance between the product rule on the layers' velocities and the right side of Eq. (14)."""
    w_e = linear.end_to_end(weights)
    gradient = law_gradient(law, w_e, v, panels=panels)
    rate = linear.end_to_end_velocity(weights, gradient)
    predicted = linear.end_to_end_rate(w_e, gradient, len(weights))
    return float(np.linalg.norm(rate - predicted) / np.linalg.norm(predicted))


def measure(law: SphericalLaw, drawn: Sequence[Drawn]) -> Found:
    """Largest residual where Eq. (14) must hold, smallest ones where it must not, and the defect of the printed condition."""
    v = np.eye(law.dimension)[-1]

    def residuals(panels: int) -> Float[Array, "depths 3"]:
        return np.array([[residual(law, weights, v, panels) for weights in each] for each in drawn])

    balanced, unbalanced, printed = (
        Refined.of(*each).with_rounding(ROUNDING) for each in zip(residuals(PANELS).T, residuals(COARSE_PANELS).T, strict=True)
    )
    found = {
        "equation14_residual_balanced": balanced.largest(),
        "equation14_residual_unbalanced": unbalanced.smallest(),
        "equation14_residual_printed13": printed.smallest(),
        "printed13_defect_max": readings.largest(np.array([printed_defect(each.printed) for each in drawn]), GRAM),
    }
    return {name: replace(number, n=1) for name, number in found.items()}  # one number a law
