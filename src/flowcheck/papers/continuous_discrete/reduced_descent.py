"""Gradient descent of a deep linear network from a balanced start, in three numbers.

From layers of rank one that pass a vector on, W_1 = q_1 v^T, W_j = s q_j q_{j-1}^T, descent keeps this form with the same
q_j: the layers above the first share one scale s, and v stays in the plane of its start and the target. So (s, v) is the whole
state, and nothing is approximated. Distances in weight space are distances of (sqrt(n - 1) s, v).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from flowcheck.papers.continuous_discrete.reparameterised_flow import ReparameterisedFlow

LARGEST = 1e6
"""Of a loss: beyond it descent has diverged."""


@dataclass
class ReducedDescent:
    """Many descents at once, one step after the other.

    Attributes:
        depth: n of each, shape [r].
        scale: s, shape [r].
        along, across: the components of v along the target and across it, shape [r].
        step_size: shape [r].
    """

    depth: Float[np.ndarray, " r"]
    scale: Float[np.ndarray, " r"]
    along: Float[np.ndarray, " r"]
    across: Float[np.ndarray, " r"]
    step_size: Float[np.ndarray, " r"]

    @classmethod
    def of(
        cls,
        depth: Float[np.ndarray, " r"],
        nu: Float[np.ndarray, " r"],
        norm: Float[np.ndarray, " r"],
        step_size: Float[np.ndarray, " r"],
    ) -> ReducedDescent:
        """From balanced starts whose end-to-end vectors have these cosines and lengths."""
        root = norm ** (1 / depth)
        return cls(depth.copy(), root.copy(), root * nu, root * np.sqrt((1 - nu) * (1 + nu)), step_size.copy())

    def step(self) -> None:
        """One step of each."""
        power = self.scale ** (self.depth - 2)
        product = power * self.scale
        away, across = product * self.along - 1.0, product * self.across
        pulled = power * (self.along * away + self.across * across)
        self.scale, self.along, self.across = (
            self.scale - self.step_size * pulled,
            self.along - self.step_size * product * away,
            self.across - self.step_size * product * across,
        )

    @property
    def loss(self) -> Float[np.ndarray, " r"]:
        """Above its minimum."""
        product = self.scale ** (self.depth - 1)
        return ((product * self.along - 1) ** 2 + (product * self.across) ** 2) / 2

    def keep(self, which: Bool[np.ndarray, " r"]) -> None:
        """Goes on with some of them only."""
        for name in ("depth", "scale", "along", "across", "step_size"):
            setattr(self, name, getattr(self, name)[which])


def first_within(descent: ReducedDescent, accuracy: float, most: int) -> tuple[Int[np.ndarray, " r"], Float[np.ndarray, " r"]]:
    """The first iterate whose loss is at most `accuracy`, and the loss there; -1 where `most` have passed.

    Raises ValueError if a descent diverges.
    """
    total = len(descent.depth)
    found, losses = np.full(total, -1), descent.loss
    waiting = np.arange(total)
    for k in range(most + 1):
        loss = descent.loss
        if not (loss < LARGEST).all():
            raise ValueError(f"gradient descent diverges with a step size of {descent.step_size.max():g}: loss {loss.max():g}")
        losses[waiting], done = loss, loss <= accuracy
        if done.any():
            found[waiting[done]], waiting = k, waiting[~done]
            descent.keep(~done)
        if not len(waiting):
            break
        descent.step()
    return found, losses


def deviation(flow: ReparameterisedFlow, row: int, step_size: float, until: float, samples: int) -> Float[np.ndarray, " p"]:
    """The distance in weight space of descent from the exact flow at evenly spread iterates up to a time of the flow."""
    depth, nu, norm = (np.array([float(values[row])]) for values in (flow.depth, flow.nu0, flow.norm0))
    steps = int(until / step_size)
    marks = set(np.unique(np.linspace(1, steps, samples).astype(int)).tolist())
    descent = ReducedDescent.of(depth, nu, norm, np.array([step_size]))
    return np.array([_distance(descent, k, flow, row) for k in _iterates(descent, steps) if k in marks])


def _iterates(descent: ReducedDescent, steps: int) -> Iterator[int]:
    for k in range(1, steps + 1):
        descent.step()
        yield k


def _distance(descent: ReducedDescent, k: int, flow: ReparameterisedFlow, row: int) -> float:
    """Of the iterate k from the flow at its time, whose clock is found by interpolation and one correction."""
    time = k * float(descent.step_size[0])
    n = float(flow.depth[row])
    clock = np.interp(time, flow.clock[row], flow.times)
    for _ in range(3):
        away, s = flow.at(np.full(len(flow.depth), clock))
        here = _clock_at(flow, row, clock)
        clock -= (here - time) * (1 / (1 + s[row])) ** (1 - 2 / n)
    away, s = flow.at(np.full(len(flow.depth), clock))
    u, cosine = 1 / (1 + s[row]), 1 - away[row]
    root = u ** (1 / n)
    scale, along = descent.scale[0] - root, descent.along[0] - root * cosine
    across = descent.across[0] - root * np.sqrt(away[row] * (1 + cosine))
    return float(np.sqrt((n - 1) * scale**2 + along**2 + across**2))


def _clock_at(flow: ReparameterisedFlow, row: int, clock: float) -> float:
    """The time of the flow at a time of its clock, by quadrature from the nearest end of a panel."""
    k = min(int(np.searchsorted(flow.times, clock, side="right")) - 1, len(flow.times) - 2)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    h = clock - flow.times[k]
    total = 0.0
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        _, s = flow.at(np.full(len(flow.depth), flow.times[k] + h * node))
        total += weight * (1 + s[row]) ** (1 - 2 / float(flow.depth[row]))
    return float(flow.clock[row, k] + h * total)
