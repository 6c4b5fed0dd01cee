r"""Growth of the step-size sums of Remarks 6 and 7 (spherical_data), in log space.

$S_n^-=\sum_k\eta_k/\sqrt{A+\sum_{i\le k}\eta_i^2}$ and $S_n^+$ with $\eta_i^2+C\eta_i$ inside. Orders of growth show late
(some only beyond $n=10^{30}$), so the sums are taken exactly up to `EXACT` terms and continued as integrals in $u=\ln n$,
with closed-form inner sums.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import cumulative_simpson

EXACT = 100_000
POWERS = (0.0, 0.5, 1.0, -0.25, -0.75)
A, C = 1.0, 0.6


def power_slope(alpha: float, c: float, log_n: float, points: int = 40_001) -> tuple[float, float]:
    """(S, dS/du) at ln n = `log_n` for the steps n^alpha. Integrals replace sums beyond `EXACT`, an error of order 1/EXACT.

    For the steps 1/n the rate is a power of u, and u runs over six decades: its nodes are spaced geometrically.
    """
    k = np.arange(1.0, EXACT + 1.0)
    inner = A + np.cumsum(k ** (2 * alpha) + c * k**alpha)
    exact = float(np.sum(k**alpha / np.sqrt(inner)))
    u = (np.geomspace if alpha == -1 else np.linspace)(math.log(EXACT), log_n, points)
    grown = inner[-1] + _integral(2 * alpha + 1, u) + c * _integral(alpha + 1, u)
    rate = np.exp((alpha + 1) * u) / np.sqrt(grown)
    return exact + float(cumulative_simpson(rate, x=u)[-1]), float(rate[-1])


def _integral(power: float, u: np.ndarray) -> np.ndarray:
    """Integral of exp(power * u) from u[0]."""
    return u - u[0] if power == 0 else (np.exp(power * u) - math.exp(power * u[0])) / power


def geometric_slope(ratio: float, c: float, n: int = 20_000) -> float:
    """Slope d ln S / d ln n at n for the steps ratio^n; inner sums are carried relative to ratio^{2n}, so nothing overflows."""
    squares, firsts, total, term = A, 0.0, 0.0, 0.0
    for k in range(1, n + 1):
        squares = squares / ratio**2 + 1.0
        firsts = firsts / ratio**2 + c * ratio ** (-min(k, 1000))
        term = 1.0 / math.sqrt(squares + firsts)
        total += term
    return n * term / total


def late_slopes() -> dict[str, tuple[float, float, float]]:
    """Measured order of growth, order of the paper, and error, by name.

    Powers: d ln S / d ln n at n = 1e60. Harmonic steps: d ln S / d ln ln n at ln n = 1e7. Summable steps (n^-2): d ln S / d ln n.
    Geometric steps (ratio 1.5): d ln S / d ln n at n = 20,000.
    """
    slopes: dict[str, tuple[float, float, float]] = {}
    for kind, c in (("minus", 0.0), ("plus", C)):
        for alpha in POWERS:
            predicted = min(alpha + 1, 0.5) if kind == "minus" else (min(alpha, 0.0) + 1) / 2
            slopes[f"{kind}_{alpha:g}"] = (*_with_error(alpha, c, 60 * math.log(10)), predicted)
        total, error = _with_error(-2.0, c, 60 * math.log(10))
        slopes[f"{kind}_summable"] = (total, error, 0.0)
        s, rate = power_slope(-1.0, c, 1e7)
        slopes[f"{kind}_harmonic"] = (rate * 1e7 / s, 1e-4, 1.0 if kind == "minus" else 0.5)
        slopes[f"{kind}_geometric"] = (geometric_slope(1.5, c), 1e-6, 1.0)
    return {name: (slope, predicted, error) for name, (slope, error, predicted) in slopes.items()}


def _with_error(alpha: float, c: float, log_n: float) -> tuple[float, float]:
    fine, coarse = (power_slope(alpha, c, log_n, points) for points in (40_001, 20_001))
    slope = fine[1] / fine[0]
    return slope, abs(slope - coarse[1] / coarse[0]) + 1.0 / EXACT
