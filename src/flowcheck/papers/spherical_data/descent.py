r"""Gradient descent on the population loss of spherical data, and stochastic gradient descent on fresh samples.

The population step stays in the plane of w and v. With $\mathbf w=w_\parallel\mathbf v+w_\perp\mathbf z$,

$$w_\parallel^+=\Bigl(1-\eta\frac{\kappa(r)}r\Bigr)w_\parallel+\frac{\eta c_0}{\pi},\qquad
w_\perp^+=\Bigl(1-\eta\frac{\kappa(r)}r\Bigr)w_\perp ,$$

so the angle to v keeps its relative precision however small it gets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from flowcheck.networks.linear import end_to_end, layer_gradients
from flowcheck.papers.spherical_data.population import Array, SphericalLaw

if TYPE_CHECKING:
    import torch

Wrap = Callable[[Any], Iterator[Any]]

STEP_ROUNDING = 8.0 * float(np.finfo(np.float64).eps)
"""Relative rounding of 1 - cos θ in one step: the norm, the quotient of κ and it, and the factor of the step are known to two
units in the last place each, 1 - cos θ goes with the square of that factor, and what earlier steps left in the norm doubles it.
Runs in extended precision stay below (tests)."""


@dataclass(frozen=True)
class DescentPath:
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
) -> DescentPath:
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
    return DescentPath(law, step_sizes, along, across)


BLOCK = 8
"""Steps whose points are drawn at once: with 24 runs and batches of a thousand they stay in the cache."""


@dataclass(frozen=True)
class SgdPath:
    """S stochastic runs recorded every `every` steps: arrays [S, P] and [S, P, 2]; the last weights of each layer."""

    steps: Float[Array, " p"]
    w_e: Float[Array, "s p 2"]
    batch_loss: Float[Array, "s p"]
    final_weights: list[Array]


def circle_sgd(
    weights: Sequence[Array],
    streams: Sequence[np.random.Generator],
    *,
    step_size: float,
    batch_size: int,
    steps: int,
    every: int,
    device: torch.device,
    progress: Wrap = iter,
) -> SgdPath:
    """SGD of a (deep) linear network on fresh points of the circle with labels sgn(x_2), float64 (Section 5, Figure 1).

    `weights` are shared starts without the batch dimension; each run has a stream of its own, so runs do not depend on how they
    are batched, nor on the device. The batch loss is recorded before the step. Raises ValueError if a size is not positive.
    """
    if step_size <= 0 or batch_size <= 0 or steps <= 0 or every <= 0:
        raise ValueError("step size, batch size, number of steps and recording interval must be positive")
    import torch  # the rest of the module serves experiments that need no tensors

    runs = len(streams)
    layers = [torch.tensor(w, dtype=torch.float64, device=device).expand(runs, *w.shape).clone() for w in weights]
    # made at once: small arrays that are kept between large ones that are not would leave the memory in pieces
    recorded, losses = np.empty((runs, steps // every + 1, 2)), np.empty((runs, steps // every + 1))
    draws = np.empty((BLOCK, runs, batch_size))
    for first in progress(range(0, steps + 1, BLOCK)):
        count = min(BLOCK, steps + 1 - first)
        for run, stream in enumerate(streams):
            draws[:count, run] = stream.random((count, batch_size))
        angle = torch.from_numpy(draws[:count]).to(device).mul(2.0 * math.pi)
        # y x, all that the loss sees of a labelled point; each component [count, S, B]
        along = torch.sin(angle)
        across = angle.cos_().mul_(torch.where(along >= 0, 1.0, -1.0))
        along.abs_()
        for offset in range(count):
            n = first + offset
            w_e = end_to_end(layers)
            margin = torch.addcmul(across[offset] * w_e[:, :1], along[offset], w_e[:, 1:])
            if n % every == 0:
                recorded[:, n // every] = w_e.cpu().numpy()
                losses[:, n // every] = torch.nn.functional.softplus(-margin).mean(dim=-1).cpu().numpy()
            if n == steps:
                break
            pull = torch.sigmoid(margin.neg_())
            gradient = torch.stack([(pull * across[offset]).sum(-1), (pull * along[offset]).sum(-1)], dim=-1) / -batch_size
            for layer, change in zip(layers, layer_gradients(layers, gradient), strict=True):
                layer.sub_(change, alpha=step_size)
    return SgdPath(
        steps=np.arange(0, steps + 1, every, dtype=float),
        w_e=recorded,
        batch_loss=losses,
        final_weights=[layer.cpu().numpy() for layer in layers],
    )
