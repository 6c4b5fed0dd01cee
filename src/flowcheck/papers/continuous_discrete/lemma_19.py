"""Lemma 19: gradient flow of a smooth function exists for all times, and its norm grows at most as the proof says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flowcheck.integration import initial_value
from flowcheck.measures import readings
from flowcheck.measures.refinement import Refined
from flowcheck.pipeline.evidence import Found, Measurement

RTOL, COARSE_RTOL = 1e-12, 1e-10
END, MOMENTS = 20.0, 201


@dataclass(frozen=True)
class Smooth:
    """A function by its gradient, with a bound of the norm of its Hessian everywhere."""

    gradient: Callable[[Float[np.ndarray, " d"]], Float[np.ndarray, " d"]]
    smoothness: float
    start: Float[np.ndarray, " d"]

    def bound(self, times: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
        """Of the norm, from time 0: the second display of the proof."""
        pull, beta = float(np.linalg.norm(self.gradient(np.zeros_like(self.start)))), self.smoothness
        return ((pull + beta * float(np.linalg.norm(self.start))) * np.exp(beta * times) - pull) / beta

    def ratios(self, end: float, rtol: float) -> Float[np.ndarray, " p"]:
        """The norm of the flow over the bound."""
        times = np.linspace(0.0, end, MOMENTS)
        path = initial_value.solve(
            lambda _, q: -self.gradient(q), end, self.start, "DOP853", times, rtol=rtol, atol=1e-3 * rtol
        ).y
        return np.asarray(np.linalg.norm(path, axis=0) / self.bound(times))


def functions(rng: np.random.Generator, draws: int) -> list[Smooth]:
    """Quadratics of all signs, one that meets the bound, sums of cosines with a slope, and log cosh of a random map."""
    found = [Smooth(lambda q: -0.5 * q - np.array([0.3, 0.0]), 0.5, np.array([1.0, 0.0]))]
    for _ in range(draws):
        root, offset = rng.standard_normal((3, 3)) / 2, rng.standard_normal(3)
        symmetric = (root + root.T) / 2
        found.append(
            Smooth(
                lambda q, a=symmetric, b=offset: a @ q + b,  # type: ignore[misc]
                float(np.abs(np.linalg.eigvalsh(symmetric)).max()),
                rng.standard_normal(3),
            )
        )
        found.append(Smooth(lambda q, b=offset: -np.sin(q) + b, 1.0, rng.standard_normal(3)))  # type: ignore[misc]
        found.append(
            Smooth(
                lambda q, a=root: a.T @ np.tanh(a @ q),  # type: ignore[misc]
                float(np.linalg.norm(root, 2)) ** 2,
                rng.standard_normal(3),
            )
        )
    return found


def growth(rng: np.random.Generator, draws: int) -> Found:
    """The norm over its bound up to a late time; for -x^4, with the curvature of its start, up to shortly before its end."""
    tried = functions(rng, draws)
    both = [np.array([one.ratios(END, rtol)[1:].max() for one in tried]) for rtol in (RTOL, COARSE_RTOL)]
    reached = Refined.of(*both)
    quartic = Smooth(lambda q: -4 * q**3, 12.0, np.ones(1))
    # x' = 4 x^3 from 1 ends at 1 / 8
    late = [float(quartic.ratios(0.124999, rtol).max()) for rtol in (RTOL, COARSE_RTOL)]
    return {
        "lemma19_ratio_max": reached.largest(),
        "lemma19_quartic_ratio": Measurement(late[0], abs(late[0] - late[1]) + 1e-12),
        "lemma19_reached": readings.count(np.isfinite(both[0])),
        "lemma19_tried": Measurement.count(len(tried)),
    }
