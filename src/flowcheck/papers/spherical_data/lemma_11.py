r"""Lemma 11: $y'=f(t)(1-y^2)$, Eq. (38), is solved by $\tanh(\mathrm{artanh}\,y(0)+\int_0^tf)$."""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import quad

from flowcheck.integration.initial_value import solve
from flowcheck.measures.refinement import refined
from flowcheck.pipeline.evidence import Found

TOLERANCES = 1e-13, 1e-12
"""Of the solver, and the one that errors are measured with."""
QUADRATURE = 1e-13
"""Of the integral of f: what it adds to the error of a distance."""


def random_rates(rng: np.random.Generator, functions: int) -> Found:
    """The scalar problem (38) for random positive f, integrated for cos θ itself and compared with the closed form.

    Control: half of the integral in the closed form.
    """
    ranges = (-1.0, 0.5), (0.0, 0.8), (0.5, 4.0), (0.05, math.pi - 0.05)
    drawn = [tuple(rng.uniform(*ends) for ends in ranges) for _ in range(functions)]

    def measure(rtol: float) -> dict[str, np.ndarray]:
        found = np.array([compare(a, b, w, start, rtol) for a, b, w, start in drawn]).T
        return dict(zip(("gap_max", "gap_half_rate_min", "cosine_increase_min"), found, strict=True))

    found = {name: each.with_rounding(QUADRATURE) for name, each in refined(measure, *TOLERANCES).items()}
    return {f"lemma11_{name}": each.largest() if name == "gap_max" else each.smallest() for name, each in found.items()}


def compare(a: float, b: float, w: float, start: float, rtol: float) -> tuple[float, float, float]:
    """For f = exp(a + b sin(w t)): largest distances to the closed form and to that of half the integral, and least increase."""

    def f(t: float) -> float:
        return math.exp(a + b * math.sin(w * t))

    def rising(t: float, cosine: np.ndarray) -> np.ndarray:
        return f(t) * (1 - cosine**2)

    times, first = np.linspace(0.0, 3.0, 31), np.array([math.cos(start)])
    cosine = solve(rising, times[-1], first, "DOP853", times, rtol=rtol, atol=1e-2 * rtol).y[0]
    primitive = np.array([quad(f, 0.0, t, epsabs=1e-13, epsrel=1e-13)[0] for t in times])
    q0 = -math.log(math.tan(0.5 * start))
    whole, half = (float(np.abs(cosine - np.tanh(q0 + share * primitive)).max()) for share in (1.0, 0.5))
    return whole, half, float(np.diff(cosine).min())
