"""Lemma 10: a function whose derivative is positive wherever it vanishes crosses zero once, from below."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from flowcheck.pipeline.evidence import Found, Measurement

POSITIVE_PART = 1e-12
"""Rounding of the positive factor at its zero of h: ten operations on numbers up to 200, with a factor of fifty."""


def random_functions(rng: np.random.Generator, functions: int) -> Found:
    """Random h(t) = p(t)(t - a) with positive p: once above zero, never below. Controls: crossings from above."""
    t = np.linspace(0.0, 10.0, 4001)
    violations, smallest = 0, math.inf
    for _ in range(functions):
        a, c = rng.uniform(-2.0, 9.0), rng.uniform(0.05, 2.0, 4)
        positive = c[0] + c[1] * (t - 10 * c[2]) ** 2 + 0.9 * c[0] * np.sin(5 * c[3] * t)
        h = positive * (t - a)
        if a >= 0:
            value = c[0] + c[1] * (a - 10 * c[2]) ** 2 + 0.9 * c[0] * math.sin(5 * c[3] * a)
            smallest = min(smallest, value)  # h'(a) = p(a)
        violations += breaks_pattern(h)
    return {
        "lemma10_violations": Measurement.count(violations, functions),
        "lemma10_slope_min": Measurement(smallest, POSITIVE_PART, n=functions),
        "lemma10_violations_sine": Measurement.count(breaks_pattern(np.sin(t - 1.0)), 1),
    }


def breaks_pattern(h: Float[np.ndarray, " n"]) -> bool:
    """Whether h falls below zero again after T = inf{h >= 0}."""
    reached = np.flatnonzero(h >= 0)
    return bool(len(reached) and np.any(h[reached[0] :] < 0))
