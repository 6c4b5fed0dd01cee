"""What violates statements of spherical_data as they are printed: a function each, which gives the left and the right side.

All are on the circle, with gradients by direct quadrature of Eq. (2). The inputs stand in the claims.
"""

from __future__ import annotations

import math

import numpy as np

from flowcheck.papers.spherical_data.population import law, law_gradient

V = np.array([0.0, 1.0])


def lemma_3_slope(norm: float, step: float) -> tuple[float, float]:
    r"""$\partial g/\partial\theta$ at $\theta=0$, by central differences, against the 0 that it is to be below."""
    circle = law("circle")
    turned = [norm * np.array([math.sin(angle), math.cos(angle)]) for angle in (step, -step)]
    up, down = (-float(w @ law_gradient(circle, w, V)) for w in turned)
    return (up - down) / (2 * step), 0.0


def lemma_6_growth(depth: int, norm: float, time: float, steps: int) -> tuple[float, float]:
    r"""The largest $\partial_t\|\mathbf w_e\|^2$ along the flow of Eq. (14), against the 0 that it is to reach.

    From -v times the norm. The direction stays, so the flow is an equation for the norm; Euler's method, in steps that keep it
    positive.
    """
    circle, r, largest = law("circle"), norm, -math.inf
    for _ in range(steps):
        growth = -float(r * -V @ law_gradient(circle, -r * V, V))
        speed = depth * r ** (2 - 2 / depth) * growth  # half of the derivative of the squared norm
        largest = max(largest, 2 * speed)
        r += time / steps * speed / r
    return largest, 0.0


def equation_41_factor(depth: int) -> tuple[float, float]:
    r"""$\partial_t\|\mathbf w_e\|^2$ by Eq. (14) and the product rule, against $N\|\mathbf w_e\|^{2-2/N}g$, at (0.6, -0.8)."""
    w = np.array([0.6, -0.8])
    gradient, size = law_gradient(law("circle"), w, V), float(np.linalg.norm(w))
    unit = w / size
    velocity = -(size ** (2 - 2 / depth)) * (gradient + (depth - 1) * unit * (unit @ gradient))
    return 2 * float(w @ velocity), depth * size ** (2 - 2 / depth) * -float(w @ gradient)
