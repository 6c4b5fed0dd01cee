r"""Lemma 12 (spherical_data): the norm after a step of gradient descent, Eq. (10), and the increment of the cosine below it.

With $\mathbf w^+=\mathbf w-\eta\nabla L(\mathbf w)$, $\bar{\mathbf w}=\mathbf w/\|\mathbf w\|$ and the angle θ of w and v,

$$\|\mathbf w^+\|^2=(\bar{\mathbf w}^\top\mathbf w^+)^2+\Bigl(\frac{c_0\eta}\pi\Bigr)^2\sin^2\theta ,\qquad
\cos\theta^+-\cos\theta=\frac1{\|\mathbf w^+\|}\Bigl[\frac{c_0\eta}\pi\sin^2\theta
-\Bigl(\frac{c_0\eta}\pi\Bigr)^2\frac{\sin^2\theta\cos\theta}{\|\mathbf w^+\|+\bar{\mathbf w}^\top\mathbf w^+}\Bigr].$$

The gradient is that of Eq. (2) by direct quadrature, so that none of this is presupposed.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from flowcheck.papers.spherical_data.broken_data import ELLIPSE, ellipse_c0
from flowcheck.papers.spherical_data.population import PANELS, SphericalLaw, law_gradient, planar_gradient

Array = np.ndarray

STRETCH = ELLIPSE / ellipse_c0()
"""To the ellipse, of mean norm one, on which both must fail."""


def residuals(
    law: SphericalLaw, w: Float[Array, " d"], v: Float[Array, " d"], step_size: float, *, panels: int = PANELS
) -> tuple[float, float]:
    """Absolute residuals of both identities after a step from w: the first over ‖w‖², the second as it is."""
    return _residuals(w, v, step_size, w - step_size * law_gradient(law, w, v, panels), law.c0)


def stretched_residuals(
    w: Float[Array, " d"], v: Float[Array, " d"], step_size: float, *, panels: int = PANELS
) -> tuple[float, float]:
    """The same for points of a stretched circle, whose law is not spherically symmetric: the identities are broken.

    Of w and v only the first two components are used, both scaled to norm 1.
    """
    v, w = v[:2] / np.linalg.norm(v[:2]), w[:2] / np.linalg.norm(w[:2])
    after = w - step_size * planar_gradient(np.ones(1), np.ones(1), w, v, stretch=STRETCH, panels=panels)
    return _residuals(w, v, step_size, after, 1.0)


def _residuals(
    w: Float[Array, " d"], v: Float[Array, " d"], step_size: float, after: Float[Array, " d"], c0: float
) -> tuple[float, float]:
    unit, norm = w / np.linalg.norm(w), np.linalg.norm(after)
    cosine, projection = unit @ v, unit @ after
    sine_squared = float(np.sum((v - cosine * unit) ** 2))
    longer = norm**2 - projection**2 - (c0 * step_size / math.pi) ** 2 * sine_squared
    turn = c0 * step_size * sine_squared / math.pi
    turn = turn - (c0 * step_size / math.pi) ** 2 * sine_squared * cosine / (norm + projection)
    return float(abs(longer) / norm**2), float(abs(after @ v / norm - cosine - turn / norm))
