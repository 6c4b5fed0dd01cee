r"""Lemma 5 (spherical_data): a sufficient condition for descent in angle, and what it decides in one step.

The condition is Eq. (11), $\|\mathbf w(n+1)\|+\bar{\mathbf w}(n)^\top\mathbf w(n+1)\ge(1+\delta)c_0\eta_n\cos\theta(n)/\pi$.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float

from flowcheck.papers.spherical_data import bounds
from flowcheck.papers.spherical_data.descent import PopulationPath
from flowcheck.papers.spherical_data.excess import Excess, excess

Array = np.ndarray

DECIDED_DELTA = 1e-9
"""A δ nearer to zero than this has no sign: its quotient rounds by about 1e-15, and up to 1e5 times that where a step reverses w,
whose sum above the line then cancels."""
DECIDED_CHANGE = 1e-13
"""A change of the cosine below this has no sign: two numbers below 2, each with the rounding of one step, are subtracted."""


def condition(path: PopulationPath) -> Float[Array, "s n"]:
    """The δ with which Eq. (11) holds with equality in each step; infinite where cos θ <= 0."""
    along, across, norm = path.along, path.across, path.norm
    projection = (along[:, :-1] * along[:, 1:] + across[:, :-1] * across[:, 1:]) / norm[:, :-1]
    right = path.law.c0 * path.step_sizes * along[:, :-1] / norm[:, :-1] / math.pi
    return np.divide(norm[:, 1:] + projection, right, out=np.full_like(right, np.inf), where=right > 0) - 1.0


def against_bound(path: PopulationPath, delta: Float[Array, " s"]) -> Excess:
    """Excess over the bound of Lemma 5 with the δ of each run, where it is positive and finite."""
    guaranteed: list[tuple[int, Array] | None] = []
    for run, steps in enumerate(path.step_sizes):
        if not 0 < delta[run] < math.inf:
            guaranteed.append(None)
            continue
        exponent = bounds.lemma5_sum(steps, path.norm[run, 0], path.law.c0)
        guaranteed.append((0, bounds.lemma5_rate(path.cosine[run, 0], delta[run]) * exponent))
    return excess(path, guaranteed)


def single_steps(path: PopulationPath) -> tuple[Bool[Array, " decided"], Bool[Array, " decided"]]:
    """Steps whose outcome rounding does not decide: whether the cosine fell, and whether Eq. (11) holds with no δ > 0."""
    delta, change = condition(path), -np.diff(path.one_minus_cos, axis=1)
    decided = (np.abs(delta) > DECIDED_DELTA) & (np.abs(change) > DECIDED_CHANGE)
    return change[decided] < 0, delta[decided] < 0
