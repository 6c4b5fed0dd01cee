r"""Eq. (8) of spherical_data: what one step does to the cosine. Geometry, for any vector in the gradient's place.

With $\mathbf w^+=\mathbf w-\eta\mathbf g$ and $\bar{\mathbf w}=\mathbf w/\|\mathbf w\|$,

$$\cos\theta^+-\cos\theta=\frac1{\|\mathbf w^+\|}
\Bigl[-\eta\bigl(\mathbf v-(\bar{\mathbf w}^\top\mathbf v)\bar{\mathbf w}\bigr)^\top\mathbf g
-\bigl(\|\mathbf w^+\|-\bar{\mathbf w}^\top\mathbf w^+\bigr)\cos\theta\Bigr].$$
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Array = np.ndarray

EPSILON = float(np.finfo(np.float64).eps)


class Residual(NamedTuple):
    """Distance of the two sides, the same without the second term in brackets, and a bound on the rounding of both."""

    full: float
    truncated: float
    rounding: float


def residual(w: Float[Array, " d"], v: Float[Array, " d"], step_size: float, g: Float[Array, " d"]) -> Residual:
    """Both sides after a step from w along -g; v has norm 1.

    Four scalar products of d terms and three sums are rounded, each relative to ‖w‖ + η ‖g‖ over ‖w+‖ where the step is long.
    """
    unit = w / np.linalg.norm(w)
    cosine, moved = unit @ v, w - step_size * g
    size = np.linalg.norm(moved)
    linear = -step_size * (v - cosine * unit) @ g
    change = moved @ v / size - cosine
    reach = (np.linalg.norm(w) + step_size * np.linalg.norm(g)) / size
    return Residual(
        full=float(abs(change - (linear - (size - unit @ moved) * cosine) / size)),
        truncated=float(abs(change - linear / size)),
        rounding=float(EPSILON * (4 * len(w) + 3) * (1.0 + reach)),
    )
