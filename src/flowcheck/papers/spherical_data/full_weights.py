"""The flow of full weight matrices with the gradient of Eq. (2) by direct quadrature, which presupposes none of the identities.

It is held against the exact reduction to two numbers: from a balanced start, w_e solves Eq. (14), and balancedness is conserved.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowcheck.networks import linear
from flowcheck.papers.spherical_data import reduced_flow
from flowcheck.papers.spherical_data.population import Array, SphericalLaw, law_gradient
from flowcheck.papers.spherical_data.reduced_flow import ReducedPath, Transition

Gradient = Callable[[Array], Array]
PANELS = 7
"""The integrand bends on the scale 1/‖w‖, 1/20 at least where this is used; panels down to 2^-7 leave an error of 1e-13."""
SATURATED = 1e-15
"""A cosine nearer to one than this is rounded to it."""
LAST_CLOCK = 6.0
"""Beyond, the arctanh of a rounded cosine is what limits a comparison: e^{2q} amplifies its rounding."""


class Accuracy(NamedTuple):
    """How exactly weights are followed: tolerances of both integrators, panels of the quadrature."""

    rtol: float
    panels: int = PANELS
    reduced_rtol: float = reduced_flow.RTOL

    @property
    def coarser(self) -> Accuracy:
        """Tolerances ten times and a hundred times as large, a panel less: the error of a number is its change from there."""
        return Accuracy(10 * self.rtol, self.panels - 1, reduced_flow.COARSE_RTOL)


@dataclass(frozen=True)
class FullFlow:
    """The weights of one network at P times.

    Attributes:
        law: the law of the points, before anything that breaks its symmetry.
        v: the direction that gives the labels.
        times: the first one is 0.
        states: the layers at each time.
        accuracy: how the weights were followed, and are compared.
    """

    law: SphericalLaw
    v: Float[Array, " d"]
    times: Float[Array, " p"]
    states: list[linear.Weights]
    accuracy: Accuracy

    @property
    def depth(self) -> int:
        return len(self.states[0])

    @functools.cached_property
    def w_e(self) -> Float[Array, "p d"]:
        return np.array([linear.end_to_end(state) for state in self.states])

    @functools.cached_property
    def norm(self) -> Float[Array, " p"]:
        return np.linalg.norm(self.w_e, axis=1)

    @functools.cached_property
    def cosine(self) -> Float[Array, " p"]:
        return self.w_e @ self.v / self.norm

    @functools.cached_property
    def q(self) -> Float[Array, " p"]:
        """artanh(cos θ), which cannot exceed 18: there the cosine is one to its last digit."""
        return np.arctanh(np.clip(self.cosine, -1 + SATURATED, 1 - SATURATED))


def follow(
    law: SphericalLaw,
    v: Float[Array, " d"],
    weights: linear.Weights,
    times: Float[Array, " p"],
    accuracy: Accuracy,
    gradient: Gradient | None = None,
) -> FullFlow:
    """Gradient flow of the layers; `gradient` maps w_e to ∇L(w_e), by default that of the law. RuntimeError if it fails."""

    def of_law(w: Array) -> Array:
        return law_gradient(law, w, v, panels=accuracy.panels)

    states = linear.layer_flow(weights, gradient or of_law, times, rtol=accuracy.rtol)
    return FullFlow(law, v, times, states, accuracy)


def reduction(flow: FullFlow, q0: float) -> tuple[Float[Array, " p"], Float[Array, " p"]]:
    """Clock q and log norm of the reduced flow at the same times, from the clock `q0` and norm one."""
    start = np.array([q0]), np.zeros(1)
    q, s = reduced_flow.in_time(flow.law, flow.depth, *start, flow.times, rtol=flow.accuracy.reduced_rtol)
    return q[0], s[0]


def as_reduced(flow: FullFlow) -> ReducedPath:
    """The flow as a batch of one in the two numbers of the reduction, whether it obeys that or not, up to `LAST_CLOCK`.

    Its turn T is the first recorded time from which the norm grows, or the last time if it never does.
    """
    resolved = np.abs(flow.q) < LAST_CLOCK
    kept = slice(None if resolved.all() else int(np.argmin(resolved)))
    q, s, t = (part[None, kept] for part in (flow.q, np.log(flow.norm), flow.times))
    grows = np.append(np.diff(s[0]) >= 0, True)
    turn = int(np.argmax(grows))
    return ReducedPath(flow.law, flow.depth, q, s, t, Transition(t[:, turn], q[:, turn], s[:, turn]))


def gap(flow: FullFlow, q0: float) -> float:
    """Largest distance to the reduction, in cosine or in log norm."""
    q, s = reduction(flow, q0)
    return max(float(np.abs(np.tanh(q) - flow.cosine).max()), float(np.abs(np.log(flow.norm) - s).max()))


def angle_gap(flow: FullFlow, q0: float) -> float:
    """Largest distance in cosine alone, which is what tells where the norm is another one."""
    return float(np.abs(np.tanh(reduction(flow, q0)[0]) - np.tanh(flow.q)).max())


def balancedness(flow: FullFlow) -> float:
    """Largest defect of Eq. (13) along the flow."""
    return max(float(linear.balancedness_defect(state)) for state in flow.states)
