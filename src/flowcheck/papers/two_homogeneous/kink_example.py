r"""The kinked example $f(u)=u_1|u_2|$ of two_homogeneous (Section 5.1.1, Appendices E and I) and functions of it.

f is two-homogeneous, and its gradient $(|u_2|,\ u_1\,\mathrm{sign}\,u_2)$ jumps across $u_2=0$. There the Clarke
subdifferential is the segment $\{0\}\times[-|u_1|,|u_1|]$, so every point of the kink is critical: for $u_1<0$ flows of
$\dot u\in\partial f(u)$ end there, for $u_1>0$ they may leave at any time, to either side. Off the kink
$(u_1+|u_2|)'=u_1+|u_2|$ and $(u_1-|u_2|)'=-(u_1-|u_2|)$, which gives all solutions in closed form (Lemmas E.1 and E.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.integration.adaptive import integrate

Points = Float[np.ndarray, "*b 2"]
BRANCHING, CORNER = np.array([1.0, 0.0]), np.array([1.0, 1.0])
"""Critical points of (f - 1)^2: on the kink, where solutions branch, and where it is smooth."""
RTOL, COARSE_RTOL = 1e-12, 1e-10
"""Tolerances of solutions, and of the runs that tell their errors."""


def value(u: Points) -> Float[np.ndarray, "*b"]:
    """f(u) = u_1 |u_2|."""
    return u[..., 0] * np.abs(u[..., 1])


def subdifferential(u: Points) -> Float[np.ndarray, "*b 2 2"]:
    """The two ends of the segment ∂f(u); they coincide off the kink u_2 = 0, where ∂f(u) is the gradient."""
    side, ends = np.sign(u[..., 1]), np.empty((*u.shape, 2))
    ends[..., 0] = np.abs(u[..., 1, None])
    ends[..., 0, 1] = u[..., 0] * np.where(side == 0, -1.0, side)
    ends[..., 1, 1] = u[..., 0] * np.where(side == 0, 1.0, side)
    return ends


def loss_subdifferential(u: Points, target: float) -> Float[np.ndarray, "*b 2 2"]:
    r"""The two ends of the segment $\partial(f-\text{target})^2=2(f-\text{target})\partial f$."""
    return 2 * (value(u) - target)[..., None, None] * subdifferential(u)


def distance_to_segment(point: Points, ends: Float[np.ndarray, "*b 2 2"]) -> Float[np.ndarray, "*b"]:
    """Distance of `point` from the segment between two ends; from one point where the ends coincide."""
    start, along = ends[..., 0, :], ends[..., 1, :] - ends[..., 0, :]
    squared = (along**2).sum(axis=-1)
    fraction = ((point - start) * along).sum(axis=-1) / np.where(squared > 0, squared, 1.0)
    nearest = start + np.clip(fraction, 0.0, 1.0)[..., None] * along
    return np.linalg.norm(point - nearest, axis=-1)


def hit_time(z: Float[np.ndarray, "s 2"]) -> Float[np.ndarray, " s"]:
    """When the flow from z reaches the kink: artanh(|z_2| / |z_1|) if z_1 < 0 and |z_2| < |z_1|, else inf (Lemma E.2).

    0 on the absorbing half-line u_2 = 0, u_1 <= 0. Raises ValueError on u_2 = 0, u_1 > 0: solutions branch there.
    """
    if bool(((z[:, 1] == 0) & (z[:, 0] > 0)).any()):
        raise ValueError("a point with u_2 = 0 and u_1 > 0 is a branching initialisation: it has many solutions")
    first, second = np.abs(z[:, 0]), np.abs(z[:, 1])
    reaches = (z[:, 0] < 0) & (second < first)
    times = np.arctanh(np.where(reaches, second / np.where(reaches, first, 1.0), 0.0))
    return np.where(reaches | (second + first == 0), times, np.inf)


def solution(z: Float[np.ndarray, "s 2"], times: Float[np.ndarray, " p"]) -> Float[np.ndarray, "s p 2"]:
    r"""The unique solution of $\dot u\in\partial f(u)$, u(0) = z (Lemma E.2, all cases). Raises ValueError as `hit_time`.

    $u_1=z_1\cosh t+|z_2|\sinh t$, $|u_2|=z_1\sinh t+|z_2|\cosh t$ until the kink is hit, constant afterwards.
    """
    t = np.minimum(times[None, :], hit_time(z)[:, None])
    growing, falling = z[:, :1] + np.abs(z[:, 1:]), z[:, :1] - np.abs(z[:, 1:])
    first = 0.5 * (growing * np.exp(t) + falling * np.exp(-t))
    second = 0.5 * (growing * np.exp(t) - falling * np.exp(-t))
    arrived = times[None, :] >= hit_time(z)[:, None]
    return np.stack([first, np.sign(z[:, 1:]) * np.where(arrived, 0.0, second)], axis=-1)


def branch(departure: float, times: Float[np.ndarray, " p"], side: float = 1.0) -> Float[np.ndarray, "p 2"]:
    """The solution u_T of Eq. (79) from the branching point [1, 0]: it waits until `departure`, then leaves to `side`."""
    since = np.maximum(times - departure, 0.0)
    return np.stack([np.cosh(since), side * np.sinh(since)], axis=-1)


Factor = Callable[[Tensor], Tensor]
"""State [A, 2] -> [A]: the derivative of the outer function, as a function of the state."""


def ascent(state: Tensor) -> Tensor:
    r"""1: the flow $\dot u\in\partial f(u)$."""
    return torch.ones_like(state[:, 0])


def descent_to(target: float) -> Factor:
    r"""$-2(f(u)-\text{target})$: the flow $\dot u\in-\partial(f-\text{target})^2$; Eq. (92) for target 1."""
    return lambda state: -2.0 * (state[:, 0] * state[:, 1].abs() - target)


class Solutions(NamedTuple):
    """States at the times asked for, and when each solution reaches the kink (else inf)."""

    states: Float[np.ndarray, "s p 2"]
    hits: Float[np.ndarray, " s"]


def event_driven(
    start: Float[np.ndarray, "s 2"], times: Float[np.ndarray, " p"], factor: Factor = ascent, rtol: float = RTOL
) -> Solutions:
    r"""Solutions of $\dot u\in\text{factor}(u)\,\partial f(u)$ at increasing `times`.

    Integrated on the side of the start, to the event u_2 = 0. There both sides push onto the kink if factor * u_1 < 0, and the
    only convex combination of the two fields along the kink is 0 (Filippov): the solution rests.

    Raises ValueError for a start on the kink from which solutions leave, or that is reached where they do.
    """
    side = torch.from_numpy(np.sign(start[:, 1]))

    def rhs(state: Tensor, index: Tensor) -> Tensor:
        s = side[index]
        return factor(state)[:, None] * torch.stack([s * state[:, 1], s * state[:, 0]], dim=-1)

    def reached(state: Tensor, index: Tensor) -> Tensor:
        return -side[index] * state[:, 1]

    begin, points = torch.from_numpy(start), torch.from_numpy(times)
    run = integrate(rhs, begin, float(times[-1]), rtol=rtol, atol=1e-3 * rtol, order=8, events=[reached], record_at=points)
    hit = run.ended_by.numpy() >= 0
    pushed = (factor(run.state) * run.state[:, 0]).numpy()
    if bool((pushed[hit] > 0).any()):
        raise ValueError("solutions leave the kink here: this is a branching point")
    recorded, rest = run.recorded, run.state * torch.tensor([1.0, 0.0])
    assert recorded is not None
    recorded = torch.where(recorded.isnan(), rest[:, None, :], recorded)
    return Solutions(recorded.numpy(), np.where(hit, run.s.numpy(), np.inf))


def at_two_tolerances(
    starts: Sequence[Float[np.ndarray, "_ 2"]], times: Float[np.ndarray, " p"], factor: Factor = ascent
) -> list[tuple[Solutions, Solutions]]:
    """From each set of starts at `RTOL`, and from all sets in one batch at `COARSE_RTOL`. Raises ValueError as `event_driven`."""
    coarse = event_driven(np.concatenate(starts), times, factor, COARSE_RTOL)
    cuts = np.cumsum([len(own) for own in starts])[:-1]
    parts = zip(starts, np.split(coarse.states, cuts), np.split(coarse.hits, cuts), strict=True)
    return [(event_driven(own, times, factor), Solutions(states, hits)) for own, states, hits in parts]
