r"""Gronwall's inequality on random cases whose solutions are integrated, not taken from the inequality (deep_homogeneous, A.3;
neuron_pursuit, Lemma 16).

On [a, b]: $u(t)\le\alpha(t)+\int_a^t\beta u\,ds$ with $\beta\ge0$ implies
$u(t)\le\alpha(t)+\int_a^t\alpha(s)\beta(s)e^{\int_s^t\beta}ds$, and $u(t)\le\alpha(t)e^{\int_a^t\beta}$ if alpha does not
decrease.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from flowcheck.measures.refinement import refined
from flowcheck.pipeline.evidence import Found

Function = Callable[[float], Float[np.ndarray, " cases"]]


@dataclass(frozen=True)
class Excess:
    """Largest u(t) minus its bound over t, for each case, over the largest |bound|; positive where the bound fails."""

    general: Float[np.ndarray, " cases"]
    monotone: Float[np.ndarray, " cases"]
    from_zero: Float[np.ndarray, " cases"]
    """The first bound with the lower limit 0 in place of a."""


def excess(alpha: Function, beta: Function, slack: Function, a: float, b: float, steps: int) -> Excess:
    r"""Integrate $U'=\beta u$ with $u=\alpha-\text{slack}+U$ by the classical Runge-Kutta method and compare u with its bounds.

    The integrals of the bounds are the solutions of $B'=\beta$, $G'=\alpha\beta e^{-B}$, integrated with it.
    """
    h = (b - a) / steps

    def rate(t: float, state: np.ndarray) -> np.ndarray:
        big_u, big_b, _ = state
        return np.array([beta(t) * (alpha(t) - slack(t) + big_u), beta(t), alpha(t) * beta(t) * np.exp(-big_b)])

    times, states = a + h * np.arange(steps + 1), [np.zeros((3, len(alpha(a))))]
    for t in times[:-1]:
        y = states[-1]
        k1 = rate(t, y)
        k2 = rate(t + 0.5 * h, y + 0.5 * h * k1)
        k3 = rate(t + 0.5 * h, y + 0.5 * h * k2)
        k4 = rate(t + h, y + h * k3)
        states.append(y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
    big_u, big_b, big_g = np.moveaxis(np.array(states), 1, 0)
    alphas = np.array([alpha(t) for t in times])
    u = alphas - np.array([slack(t) for t in times]) + big_u
    at_zero = big_g[np.abs(times).argmin()] if a <= 0 <= b else np.full(u.shape[1], np.nan)
    bounds = [alphas + np.exp(big_b) * big_g, alphas * np.exp(big_b), alphas + np.exp(big_b) * (big_g - at_zero)]
    scale = np.abs(bounds[0]).max(axis=0)
    return Excess(*((u - bound).max(axis=0) / scale for bound in bounds))


def random_excess(rng: np.random.Generator, cases: int, steps: int, *, increasing: bool) -> Excess:
    """Trigonometric alpha, beta >= 0 and slack > 0 on [1, 3]; alpha of either sign and slope, or `increasing`."""
    offset, amplitude, drift = rng.normal(size=(3, cases))
    speed, phase, second, shift = rng.uniform(1.0, 6.0, size=(4, cases))
    level, gap = rng.uniform(0.1, 1.5, cases), rng.uniform(0.05, 1.0, cases)

    def alpha(t: float) -> np.ndarray:
        if increasing:
            return offset + np.abs(drift) * t + np.abs(amplitude) * (t + np.sin(speed * t + phase) / speed)
        return offset + drift * t + amplitude * np.sin(speed * t + phase)

    return excess(
        alpha,
        beta=lambda t: level * (1 + np.cos(second * t + shift)),
        slack=lambda t: gap * (1.1 + np.sin(second * t - phase)),
        a=1.0,
        b=3.0,
        steps=steps,
    )


def inequality(rng: Callable[[bool], np.random.Generator], cases: int, steps: int) -> Found:
    """Both parts on random functions, in steps and in twice as long ones; `rng` gives the stream for alpha increasing or not.

    Controls: a decreasing alpha in the second part; the lower limit 0 of the first part, as printed.
    """

    def largest(count: int) -> dict[str, float]:
        plain, increasing = (random_excess(rng(up), cases, count, increasing=up) for up in (False, True))
        falling = excess(lambda t: np.full(1, 1.0 - t), _constant(1.0), _constant(0.0), 0.0, 1.0, count)
        printed = excess(_constant(1.0), _constant(1.0), _constant(0.0), -1.0, 1.0, count)
        return {
            "gronwall_general_max": float(max(plain.general.max(), increasing.general.max())),
            "gronwall_monotone_max": float(increasing.monotone.max()),
            "gronwall_falling_alpha": float(falling.monotone[0]),
            "gronwall_from_zero": float(printed.from_zero[0]),
        }

    found = {name: number.number() for name, number in refined(largest, steps, steps // 2).items()}
    # the general part is asked of both kinds of alpha
    behind = {"gronwall_general_max": 2 * cases, "gronwall_monotone_max": cases}
    return {name: replace(number, n=behind.get(name)) for name, number in found.items()}


def _constant(value: float) -> Function:
    return lambda t: np.full(1, value)
