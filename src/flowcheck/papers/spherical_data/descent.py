r"""Gradient descent on the population loss of spherical data.

The population step stays in the plane of w and v. With $\mathbf w=w_\parallel\mathbf v+w_\perp\mathbf z$,

$$w_\parallel^+=\Bigl(1-\eta\frac{\kappa(r)}r\Bigr)w_\parallel+\frac{\eta c_0}{\pi},\qquad
w_\perp^+=\Bigl(1-\eta\frac{\kappa(r)}r\Bigr)w_\perp ,$$

so the angle to v keeps its relative precision however small it gets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from flowcheck.papers.spherical_data.population import Array, SphericalLaw

Wrap = Callable[[Any], Iterator[Any]]

STEP_ROUNDING = 8.0 * float(np.finfo(np.float64).eps)
"""Relative rounding of 1 - cos θ in one step: the norm, the quotient of κ and it, and the factor of the step are known to two
units in the last place each, 1 - cos θ goes with the square of that factor, and what earlier steps left in the norm doubles it.
Runs in extended precision stay below (tests)."""


@dataclass(frozen=True)
class PopulationPath:
    """Iterates of S runs, n = 0 ... steps: components along v and across it, arrays [S, steps + 1]."""

    law: SphericalLaw
    step_sizes: Float[Array, "s n"]
    along: Float[Array, "s p"]
    across: Float[Array, "s p"]

    @cached_property
    def norm(self) -> Float[Array, "s p"]:
        return np.hypot(self.along, self.across)

    @cached_property
    def cosine(self) -> Float[Array, "s p"]:
        return self.along / self.norm

    @cached_property
    def one_minus_cos(self) -> Float[Array, "s p"]:
        """2 sin²(θ/2), without cancellation."""
        return 2.0 * np.sin(0.5 * np.arctan2(np.abs(self.across), self.along)) ** 2

    @cached_property
    def rounding(self) -> Float[Array, "s n"]:
        """Relative rounding of 1 - cos θ that each step adds: more of it where a step nearly annihilates the part across v.

        That part is multiplied by s = 1 - η κ(r)/r, in which rounding is relative to 1 - s. Where it has underflown a step
        counts as any other.
        """
        before, after = self.across[:, :-1], self.across[:, 1:]
        seen = np.minimum(np.abs(before), np.abs(after)) > np.finfo(np.float64).tiny
        factor = np.divide(after, before, out=np.ones_like(before), where=seen)
        return STEP_ROUNDING * (1.0 + np.abs(1.0 - factor) / np.abs(factor))

    def final_rounding(self) -> Float[Array, " s"]:
        """Rounding of the last 1 - cos θ of each run, which may have underflown."""
        return np.maximum(self.one_minus_cos[:, -1] * self.rounding.sum(axis=1), np.finfo(np.float64).tiny)

    def least_progress(self) -> tuple[Float[Array, " s"], Float[Array, " s"]]:
        """Smallest increase of v·w in a step of each run, per unit of step size, and its rounding.

        The increase is c0/π - κ(r) cos θ. Rounding is that of v·w over the step size, and that of the place where the gradient is
        taken: no eigenvalue of the Hessian exceeds κ(r)/r, so a relative rounding of w moves the gradient by at most κ(r) < c0/π
        times as much.
        """
        increase = np.diff(self.along, axis=1) / self.step_sizes
        step, run = increase.argmin(axis=1), np.arange(len(increase))
        rounding = (step + 1) * self.law.c0 / math.pi + self.norm[run, step + 1] / self.step_sizes[run, step]
        return increase[run, step], STEP_ROUNDING * rounding


def population_descent(
    law: SphericalLaw,
    norm0: Float[Array, " s"],
    angle0: Float[Array, " s"],
    step_sizes: Float[Array, "s n"],
    progress: Wrap = iter,
) -> PopulationPath:
    """Exact gradient descent on L from (norm0, angle0) with the given step sizes, all runs in one batch.

    Raises ValueError if a step size is not positive.
    """
    if np.any(step_sizes <= 0):
        raise ValueError("step sizes must be positive")
    along = np.empty((len(norm0), step_sizes.shape[1] + 1))
    across = np.empty_like(along)
    along[:, 0], across[:, 0] = norm0 * np.cos(angle0), norm0 * np.sin(angle0)
    pull, at_zero = step_sizes * law.c0 / math.pi, 0.25 * law.coordinate_second_moment  # κ(r)/r at r = 0
    for n in progress(range(step_sizes.shape[1])):
        x, y = along[:, n], across[:, n]
        r = np.hypot(x, y)
        shrink = 1.0 - step_sizes[:, n] * np.divide(law.kappa(r), r, out=np.full(len(r), at_zero), where=r > 0)
        along[:, n + 1], across[:, n + 1] = shrink * x + pull[:, n], shrink * y
    return PopulationPath(law, step_sizes, along, across)
