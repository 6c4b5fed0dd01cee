r"""Growth of the step-size sums of Remarks 6 and 7 (spherical_data), in log space.

$S_n^-=\sum_k\eta_k/\sqrt{A+\sum_{i\le k}\eta_i^2}$ and $S_n^+$ with $\eta_i^2+C\eta_i$ inside. Orders of growth show late
(some only beyond $n=10^{30}$), so the sums are taken exactly up to `TERMS` terms and continued as integrals in $u=\ln n$,
with closed-form inner sums.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from flowcheck.measures.refinement import Refined
from flowcheck.pipeline.evidence import Found, Measurement

TERMS, POINTS = 100_000, 40_001
"""Terms that are added one by one, and nodes of the integral after them. The error is the change from half as many of both."""
LOG_N = 60 * math.log(10)
LOG_N_HARMONIC = 1e7
STEPS_GEOMETRIC = 20_000
POWERS = (0.0, 0.5, 1.0, -0.25, -0.75)
A, C = 1.0, 0.6


class Order(NamedTuple):
    """Late order of growth of a sum, and the one that the paper states."""

    measured: Refined
    stated: float


def power_slope(alpha: float, c: float, log_n: float, *, terms: int = TERMS, points: int = POINTS) -> tuple[float, float]:
    """(S, dS/du) at u = ln n = `log_n` for the steps n^alpha: a sum of `terms` terms, then an integral with `points` nodes.

    For the steps 1/n the rate is a power of u, and u runs over six decades: its nodes are spaced geometrically.
    """
    from scipy.integrate import cumulative_simpson  # cells of an experiment that only gathers sums do not need it

    k = np.arange(1.0, terms + 1.0)
    inner = A + np.cumsum(k ** (2 * alpha) + c * k**alpha)
    exact = float(np.sum(k**alpha / np.sqrt(inner)))
    u = (np.geomspace if alpha == -1 else np.linspace)(math.log(terms), log_n, points)
    grown = inner[-1] + _integral(2 * alpha + 1, u) + c * _integral(alpha + 1, u)
    rate = np.exp((alpha + 1) * u) / np.sqrt(grown)
    return exact + float(cumulative_simpson(rate, x=u)[-1]), float(rate[-1])


def _integral(power: float, u: np.ndarray) -> np.ndarray:
    """Integral of exp(power * u) from u[0]."""
    return u - u[0] if power == 0 else (np.exp(power * u) - math.exp(power * u[0])) / power


def geometric_slope(ratio: float, c: float, n: int = STEPS_GEOMETRIC) -> float:
    """Slope d ln S / d ln n at n for the steps ratio^n; inner sums are carried relative to ratio^{2n}, so nothing overflows."""
    squares, firsts, total, term = A, 0.0, 0.0, 0.0
    for k in range(1, n + 1):
        squares = squares / ratio**2 + 1.0
        firsts = firsts / ratio**2 + c * ratio ** (-min(k, 1000))
        term = 1.0 / math.sqrt(squares + firsts)
        total += term
    return n * term / total


def late_orders() -> dict[str, Order]:
    """Orders of growth by name: ``minus`` (Remark 6) or ``plus`` (Remark 7), and the steps.

    Powers and summable steps (n^-2): d ln S / d ln n at n = 1e60. Harmonic steps: d ln S / d ln ln n at ln n = 1e7.
    Geometric steps (ratio 1.5): d ln S / d ln n at n = 20,000; the error is its change from half as many steps.
    """
    orders = {}
    for kind, c in (("minus", 0.0), ("plus", C)):
        for alpha in POWERS:
            stated = min(alpha + 1, 0.5) if kind == "minus" else (min(alpha, 0.0) + 1) / 2
            orders[f"{kind}_{alpha:g}"] = Order(_order(alpha, c, LOG_N), stated)
        orders[f"{kind}_summable"] = Order(_order(-2.0, c, LOG_N), 0.0)
        harmonic = _order(-1.0, c, LOG_N_HARMONIC, per_log=LOG_N_HARMONIC)
        orders[f"{kind}_harmonic"] = Order(harmonic, 1.0 if kind == "minus" else 0.5)
        geometric = (geometric_slope(1.5, c, n) for n in (STEPS_GEOMETRIC, STEPS_GEOMETRIC // 2))
        orders[f"{kind}_geometric"] = Order(Refined.of(*map(np.asarray, geometric)), 1.0)
    return orders


def distances(orders: dict[str, Order]) -> Found:
    """Distance of each order to the stated one, and of an order of S_n^+ to that of S_n^-, from which it must differ."""
    plus, minus = orders["plus_-0.25"], orders["minus_-0.25"]
    pairs = orders | {"remarks_exchanged": Order(plus.measured, minus.stated)}
    return {
        f"step_sum_slope_gap_{name}": Measurement(abs(order.measured.value.item() - order.stated), order.measured.error.item())
        for name, order in pairs.items()
    }


def _order(alpha: float, c: float, log_n: float, per_log: float = 1.0) -> Refined:
    """D ln S / d ln n, times `per_log`."""
    pairs = (power_slope(alpha, c, log_n, terms=TERMS // k, points=1 + (POINTS - 1) // k) for k in (1, 2))
    return Refined.of(*(np.asarray(rate * per_log / total) for total, rate in pairs))
