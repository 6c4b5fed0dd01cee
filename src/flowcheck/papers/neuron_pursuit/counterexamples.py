"""What violates statements of neuron_pursuit as they are printed: a function each, which gives the left and the right side.

Each is the smallest system that does, computed by other means than the experiment that judges the claim. The inputs stand in the
claims.
"""

from __future__ import annotations

import math

import numpy as np


def lemma_16_limit(a: float, t: float) -> tuple[float, float]:
    r"""$u(t)=e^{t-a}$ against the bound with the lower limit 0, by quadrature, for $\alpha=\beta=1$ on [a, t]."""
    grid = np.linspace(0.0, t, 2001)
    return math.exp(t - a), 1.0 + float(np.trapezoid(np.exp(t - grid), grid))


def lemma_17_constant(eigenvalue: float, distance: float) -> tuple[float, float]:
    r"""$|g'(w)|$ against $\frac K\mu(g(w)-g_*)^{1/2}$ for $g=\lambda w^2/2$, K = $\lambda$ and $\mu=\sqrt{2\lambda}$ at this w.

    $|g'|=\lambda|w|=\mu\sqrt g$: the premise of the lemma holds with equality.
    """
    value = 0.5 * eigenvalue * distance**2
    step = 1e-6 * distance
    slope = 0.5 * eigenvalue * ((distance + step) ** 2 - (distance - step) ** 2) / (2 * step)
    return abs(slope), eigenvalue / math.sqrt(2 * eigenvalue) * math.sqrt(value)
