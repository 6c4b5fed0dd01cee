r"""NCF flows followed on from their stop, to where nothing of what is read was chosen.

A flow is stopped where its direction has settled: a residual that is read there is at most the tolerance of the stop, whatever
the lemmas say. Convergence is judged here. $\theta=u/\|u\|$ converges if its curve has finite length, and then its length from A
to 2A falls as A grows; a power law of the speed decides at one: from $s^{-p}$ the length from A to 2A is $2^{1-p}$ times that
from A/2 to A. A flow that passes a saddle runs further once, where it leaves it; so one that does is followed on to twice that
arc, and so on. One that still runs further then is open, like those that were given up and not stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from flowcheck.correlation.ncf import Correlation
from flowcheck.flows.flow import Save, gradient_flow
from flowcheck.flows.two_layer_unit import kkt_residual
from flowcheck.networks.sums import Separable
from flowcheck.papers.homogeneous.exact_trajectories import SCALE, states_at, unit_of
from flowcheck.papers.homogeneous.families import Family
from flowcheck.papers.homogeneous.trajectories import LONGEST, Flows, Followed, Samples

STILL = 1e-4
"""Length from A to 2A up to which a curve is at its end. A direction that rests is moved by the noise of the integration, of 1e-7
at most in a unit of arc, and few flows are followed over more than a hundred."""
DOUBLINGS = 3
"""Of the arc at most, of a flow that runs further each time. One that leaves a saddle visibly has left it two doublings later."""
POINTS = 65
"""Of flows in closed form, at which the length of a doubling is measured."""

Numbers = Float[np.ndarray, " s"]


@dataclass(frozen=True)
class Later:
    r"""The flows of a family after the last doubling of the arc A of their stop: one, or more where the curve runs further.

    Those that were not stopped are left where they were given up.

    Attributes:
        flows: up to the stop.
        direction: $\theta$ at the end [S, k].
        rise: of ln|u| since the stop [S].
        length: of the curve $\theta$ since the stop [S].
        length_ratio: length of the last doubling over that of the one before [S]; 0 where the curve is `STILL`, and infinite
            where it leaves a point.
    """

    flows: Followed
    direction: Float[np.ndarray, "s k"]
    rise: Numbers
    length: Numbers
    length_ratio: Numbers

    @property
    def value(self) -> Numbers:
        """N(θ) over its bound."""
        family = self.flows.family
        return family.correlation.value(torch.from_numpy(self.direction).to(family.starts)).cpu().numpy() / self.flows.bound

    @property
    def scaled_value(self) -> Numbers:
        r"""$\mathcal N(u)$ over its bound, of flows that do not grow, which started with |u| = 1."""
        log_norm = self.flows.samples.log_norm[:, -1] + self.rise
        return np.abs(self.value) * np.exp(self.flows.samples.degree * np.minimum(log_norm, 0))

    @property
    def further_rise(self) -> Numbers:
        r"""By how much more ln|u| rises since the stop than before: not negative as $\rho'=L\mathcal N(\theta)$ does not fall."""
        log_norm = self.flows.samples.log_norm
        return self.rise - (log_norm[:, -1] - log_norm[:, 0])

    @property
    def runs_on(self) -> Bool[np.ndarray, " s"]:
        """The last doubling was no shorter than the one before."""
        return self.length_ratio >= 1

    @property
    def kkt_defect(self) -> Numbers:
        """Of the direction."""
        return kkt_defect(self.flows.family, self.direction)


def kkt_defect(family: Family, direction: Float[np.ndarray, "s k"]) -> Numbers:
    r"""$\min_g\|g-L\mathcal N(\theta)\theta\|$ over the subdifferential at each unit vector, over the bound of its row.

    From nothing that a flow has used: the gradient by autograd, and for two-layer nets the distance from Clarke's set.
    """
    bound = family.bound.cpu().numpy()
    if not isinstance(family.network, Separable):
        return _by_autograd(family.correlation, torch.from_numpy(direction).to(family.starts)) / bound
    slope, width = unit_of(family.network)
    value = family.correlation.value(torch.from_numpy(direction)).numpy()
    rows = zip(family.x.numpy(), family.z.numpy(), direction, value, strict=True)
    return np.array([_of_units(x, z, slope, u.reshape(-1, width), 2 * n) for x, z, u, n in rows]) / bound


def on_kinks(family: Family, direction: Float[np.ndarray, "s k"]) -> Float[np.ndarray, "s k"]:
    """Directions of two-layer nets with each unit moved to the kink of the first input; those of other networks as they are."""
    if not isinstance(family.network, Separable):
        return direction
    units = direction.reshape(len(direction), -1, unit_of(family.network)[1]).copy()
    first = family.x[:, 0].numpy()
    first = first / np.linalg.norm(first, axis=1, keepdims=True)
    units[..., :-1] -= np.einsum("shd,sd->sh", units[..., :-1], first)[..., None] * first[:, None]
    return units.reshape(direction.shape) / np.linalg.norm(units, axis=(1, 2))[:, None]


def _by_autograd(correlation: Correlation, u: Float[torch.Tensor, "s k"]) -> Numbers:
    leaf = u.clone().requires_grad_(True)
    value = correlation.value(leaf)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    rest = gradient - correlation.network.degree * value[:, None] * leaf
    return rest.detach().norm(dim=-1).cpu().numpy()


def _of_units(x: np.ndarray, z: np.ndarray, slope: float, units: np.ndarray, multiplier: float) -> float:
    return float(np.linalg.norm([kkt_residual(x, z, slope, unit, multiplier) for unit in units]))


class FollowedOn(NamedTuple):
    """Both readings of the flows of a family."""

    fine: Later
    coarse: Later


Doubling = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Rows [A] of both readings, one after the other, their directions and arcs so far -> after as much arc again: directions, rise
of ln|u|, length of the curve."""


def follow_on(flows: Flows, stopped: Bool[np.ndarray, " s"], *, rtol: float, coarser: float) -> FollowedOn:
    """Both readings, each from where it was stopped; the coarser one with `coarser` times the tolerance.

    Raises RuntimeError as `integrate` does.
    """
    family, readings = flows.fine.family, (flows.fine, flows.coarse)
    if family.system.exact:
        return FollowedOn(*_follow(readings, stopped, _in_closed_form(family, np.array([1.0, SCALE]))))
    return FollowedOn(*_follow(readings, stopped, _integrated(family, np.array([rtol, coarser * rtol]))))


def _follow(readings: Sequence[Followed], stopped: Bool[np.ndarray, " s"], doubling: Doubling) -> list[Later]:
    samples = [each.samples for each in readings]
    arc, direction = (np.concatenate(parts) for parts in zip(*((s.arc[:, -1], s.direction[:, -1]) for s in samples), strict=True))
    quarter, half, end = (np.concatenate([_lengths_at(s, share) for s in samples]) for share in (0.25, 0.5, 1.0))
    bound = np.concatenate([each.bound for each in readings])
    last, total = end - half, np.zeros(len(arc))
    ratio, rise, rows = _ratio(last, half - quarter), np.zeros(len(arc)), np.flatnonzero(np.tile(stopped, len(readings)))
    for _ in range(DOUBLINGS):
        if not len(rows):
            break
        direction[rows], risen, length = doubling(rows, direction[rows], arc[rows])
        arc[rows], rise[rows], total[rows] = 2 * arc[rows], rise[rows] + risen, total[rows] + length
        ratio[rows], last[rows] = _ratio(length, last[rows]), length
        rows = rows[(ratio[rows] >= 1) & (arc[rows] * bound[rows] <= LONGEST)]
    found = zip(*(np.split(part, len(readings)) for part in (direction, rise, total, ratio)), strict=True)
    return [Later(each, *parts) for each, parts in zip(readings, found, strict=True)]


def _lengths_at(s: Samples, share: float) -> Numbers:
    """Of the curves, up to a share of their arc."""
    return np.array([np.interp(share * arc[-1], arc, length) for arc, length in zip(s.arc, s.length, strict=True)])


def _ratio(length: Numbers, before: Numbers) -> Numbers:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(length > STILL, length / before, 0.0)


def _integrated(family: Family, rtol: Float[np.ndarray, " r"]) -> Doubling:
    """Readings with these tolerances, in one batch: the shorter steps of one are most of the time of both."""
    count = len(family.starts)

    def doubling(rows: np.ndarray, direction: np.ndarray, arc: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        own = rows % count
        problem = Correlation(family.network, family.x[own], family.z[own])
        start, length = (torch.from_numpy(part).to(family.starts) for part in (direction, arc))
        path = gradient_flow(problem, start, rtol=torch.from_numpy(rtol[rows // count]), length=length, save=Save(steps=True))
        assert path.every_step is not None
        steps = path.every_step.direction  # one flow after the other: the differences of all at once are as large as these
        moved = torch.stack([flow.diff(dim=0).norm(dim=-1).nan_to_num(0.0).sum() for flow in steps])
        return path.direction.cpu().numpy(), path.log_growth.cpu().numpy(), moved.cpu().numpy()

    return doubling


def _in_closed_form(family: Family, scale: Float[np.ndarray, " r"]) -> Doubling:
    """Readings from starts on these scales."""
    count = len(family.starts)

    def doubling(rows: np.ndarray, _: np.ndarray, arc: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        times = np.linspace(1.0, 2.0, POINTS) * arc[:, None]
        log_norm, direction = states_at(family, rows % count, times, scale[rows // count])
        moved = np.linalg.norm(np.diff(direction, axis=1), axis=-1).sum(axis=1)
        return direction[:, -1], log_norm[:, -1] - log_norm[:, 0], moved

    return doubling
