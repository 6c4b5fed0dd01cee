r"""Lemma 11: $y'=f(t)(1-y^2)$, Eq. (38), is solved by $\tanh(\mathrm{artanh}\,y(0)+\int_0^tf)$."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.integrate import quad

from flowcheck.integration.initial_value import solve
from flowcheck.pipeline.evidence import Found, Measurement

INTEGRATED = 1e-12
"""Error of cos θ: the tolerance of the solver, 1e-12, over an interval in which errors contract; quadrature is at 1e-13."""


def random_rates(rng: np.random.Generator, functions: int) -> Found:
    """The scalar problem (38) for random positive f, integrated for cos θ itself and compared with the closed form."""
    gaps, rates, halved = [], [], []
    for _ in range(functions):
        a, b, w = rng.uniform(-1, 0.5), rng.uniform(0, 0.8), rng.uniform(0.5, 4.0)
        start = rng.uniform(0.05, math.pi - 0.05)

        def f(t: float, a: float = a, b: float = b, w: float = w) -> float:
            return math.exp(a + b * math.sin(w * t))

        def rising(t: float, cosine: np.ndarray, f: Callable[[float], float] = f) -> np.ndarray:
            return f(t) * (1 - cosine**2)

        times, first = np.linspace(0.0, 3.0, 31), np.array([math.cos(start)])
        solved = solve(rising, times[-1], first, "DOP853", times, rtol=1e-12, atol=1e-14)
        primitive = np.array([quad(f, 0.0, t, epsabs=1e-13, epsrel=1e-13)[0] for t in times])
        q0 = -math.log(math.tan(0.5 * start))
        gaps.append(np.abs(solved.y[0] - np.tanh(q0 + primitive)).max())
        halved.append(np.abs(solved.y[0] - np.tanh(q0 + 0.5 * primitive)).max())
        rates.append(np.diff(solved.y[0]).min())
    return {
        "lemma11_gap_max": Measurement(max(gaps), INTEGRATED, n=functions),
        "lemma11_gap_half_rate_min": Measurement(min(halved), 10 * INTEGRATED, n=functions),
        "lemma11_cosine_increase_min": Measurement(min(rates), INTEGRATED, n=functions),
    }
