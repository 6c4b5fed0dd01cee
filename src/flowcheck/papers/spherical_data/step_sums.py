r"""Growth of the step-size sums of Remarks 6 and 7 (spherical_data), in log space.

$S_n^-=\sum_k\eta_k/\sqrt{A+\sum_{i\le k}\eta_i^2}$ and $S_n^+$ with $\eta_i^2+C\eta_i$ inside. Orders of growth show late
(some only beyond $n=10^{30}$), so the sums are taken exactly up to `TERMS` terms and continued as integrals in $u=\ln n$,
with closed-form inner sums.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from flowcheck.measures.readings import largest_of, smallest_of
from flowcheck.measures.refinement import Refined
from flowcheck.pipeline.evidence import Found, Measurement

TERMS, POINTS = 100_000, 40_001
"""Terms that are added one by one, and nodes of the integral after them. The error is the change from half as many of both."""
LOG_N = 60 * math.log(10)
LOG_N_HARMONIC = 1e7
STEPS_GEOMETRIC = 20_000
A, C = 1.0, 0.6
SUMS = {"minus": 0.0, "plus": C}
"""S_n^- of Remark 6 and S_n^+ of Remark 7, and the C in them."""
POWERS: dict[str, float | None] = {
    **{f"{alpha:g}": alpha for alpha in (0.0, 0.5, 1.0, -0.25, -0.75)},
    **{"harmonic": -1.0, "summable": -2.0, "geometric": None},
}
"""Step sizes n^alpha by name; None are geometric steps."""
INSTEAD: dict[str, float] = dict.fromkeys(POWERS, -0.75) | {"-0.75": -0.6, "harmonic": -0.9}
"""For each a power of n whose sums grow with other orders: what is measured of its sums must not pass."""


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


def stated(kind: str, alpha: float | None) -> float:
    """The order that Remark 6 (``minus``) or 7 (``plus``) states for the steps n^alpha; that in ln n for harmonic steps."""
    if alpha is None:
        return 1.0
    if alpha == -1:
        return 1.0 if kind == "minus" else 0.5
    if alpha < -1:
        return 0.0
    return min(alpha + 1, 0.5) if kind == "minus" else (min(alpha, 0.0) + 1) / 2


def late_orders() -> dict[str, Order]:
    """Orders of growth by name: ``minus`` (Remark 6) or ``plus`` (Remark 7), and the steps.

    Powers and summable steps (n^-2): d ln S / d ln n at n = 1e60. Harmonic steps: d ln S / d ln ln n at ln n = 1e7.
    Geometric steps (ratio 1.5): d ln S / d ln n at n = 20,000; the error is its change from half as many steps.
    """
    orders = {}
    for kind, c in SUMS.items():
        for name, alpha in POWERS.items():
            if alpha is None:
                measured = Refined.of(*(np.asarray(geometric_slope(1.5, c, STEPS_GEOMETRIC // k)) for k in (1, 2)))
            else:
                measured = _order(alpha, c, LOG_N_HARMONIC if alpha == -1 else LOG_N, in_log=alpha == -1)
            orders[f"{kind}_{name}"] = Order(measured, stated(kind, alpha))
    return orders


def broken_orders() -> dict[str, Order]:
    """The same of other steps, `INSTEAD`, at n = 1e60, beside the orders that are stated for the ones whose names they have."""
    return {
        f"{kind}_{name}": Order(_order(other, c, LOG_N, in_log=POWERS[name] == -1), stated(kind, POWERS[name]))
        for kind, c in SUMS.items()
        for name, other in INSTEAD.items()
    }


def distances(orders: dict[str, Order], broken: dict[str, Order]) -> Found:
    """Distance of each order to the stated one, the largest for each remark, and the smallest of other steps."""

    def gaps(orders: dict[str, Order]) -> dict[str, Measurement]:
        return {
            name: Measurement(abs(order.measured.value.item() - order.stated), order.measured.error.item())
            for name, order in orders.items()
        }

    found, others = gaps(orders), gaps(broken)
    of_each = {f"step_sum_slope_gap_{name}": gap for name, gap in found.items()}
    for kind in SUMS:
        of_kind = [[gap for name, gap in each.items() if name.startswith(kind)] for each in (found, others)]
        of_each[f"step_sum_slope_gap_{kind}_max"] = replace(largest_of(of_kind[0]), n=len(of_kind[0]))
        of_each[f"step_sum_slope_gap_{kind}_other_steps_min"] = replace(smallest_of(of_kind[1]), n=len(of_kind[1]))
    return of_each


def _order(alpha: float, c: float, log_n: float, *, in_log: bool = False) -> Refined:
    """D ln S / d ln n, or d ln S / d ln ln n."""
    pairs = (power_slope(alpha, c, log_n, terms=TERMS // k, points=1 + (POINTS - 1) // k) for k in (1, 2))
    return Refined.of(*(np.asarray(rate * (log_n if in_log else 1.0) / total) for total, rate in pairs))
