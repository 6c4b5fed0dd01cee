r"""KKT points of constrained NCFs, found by ascent and without any flow, for the random problems of a family.

The ascents run on one unit, in few dimensions; its KKT points become KKT points of the whole network by placing the unit in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowcheck.correlation.ascent import ascend
from flowcheck.correlation.clarke import neuron_kkt_points
from flowcheck.correlation.ncf import Correlation
from flowcheck.data.synthetic import unit_vectors
from flowcheck.geometry import unit
from flowcheck.papers.homogeneous.exact_trajectories import unit_of
from flowcheck.papers.homogeneous.families import Family

TOLERANCE = 1e-8
"""KKT residual at which an ascent ends; one that does not reach ten times this does not count."""
SMALL = 1e-3
"""Share of a unit in the norm of a direction below which it is on its way to 0."""
POSITIVE = 1e-6
"""N(u) over its bound from which a KKT point is a limit of growing flows."""
LISTED = 3
"""Dimension of the inputs in which all KKT points of a two-layer unit can be listed."""


@dataclass(frozen=True)
class FoundPoints:
    r"""Where the ascents of each row ended, as unit weights of the family's network.

    Attributes:
        weights, outputs: u and $\mathcal H(X;u)$ on the row's inputs.
        value: N(u) over the bound of the row.
        defect: $\|\nabla\mathcal N(u)-L\mathcal N(u)u\|$ over the bound.
        usable: whether the ascent converged, to N(u) > 0.
    """

    family: Family
    weights: Float[Tensor, "s p k"]
    outputs: Float[Tensor, "s p n"]
    value: Float[Tensor, "s p"]
    defect: Float[Tensor, "s p"]
    usable: Bool[Tensor, "s p"]

    def nearest(self, directions: Float[Tensor, "s k"]) -> tuple[Float[np.ndarray, " s"], ...]:
        r"""$\|\mathcal H(X;\theta)-\mathcal H(X;u)\|/\|\mathcal H(X;u)\|$, value and defect at the usable u nearest to each θ.

        Measured on the outputs because networks have symmetries, which leave the outputs alone. inf where no point is usable.
        """
        outputs = self.family.network.forward(directions, self.family.x)
        distance = (self.outputs - outputs[:, None]).norm(dim=-1) / self.outputs.norm(dim=-1).clamp_min(1e-300)
        at = torch.where(self.usable, distance, torch.inf).argmin(dim=1, keepdim=True)
        some = self.usable.any(dim=1)
        return tuple(
            torch.where(some, values.gather(1, at)[:, 0], torch.inf).cpu().numpy()
            for values in (distance, self.value, self.defect)
        )

    def as_starts(self) -> Family:
        """The family with each row started at its KKT point of largest value; rows where none was found are left out."""
        best = torch.where(self.usable, self.value, -torch.inf).argmax(dim=1)
        rows = torch.nonzero(self.usable.any(dim=1))[:, 0]
        return replace(self.family, x=self.family.x[rows], z=self.family.z[rows], starts=self.weights[rows, best[rows]])


def search(family: Family, rng: np.random.Generator, starts: int) -> FoundPoints:
    """Ascend from `starts` random vectors per row."""
    x, z = (data.repeat_interleave(starts, dim=0) for data in (family.x, family.z))
    system, network = family.system, family.network
    one, whole = Correlation(system.unit(network), x, z), Correlation(network, x, z)
    points = ascend(one, unit_vectors(rng, len(z), one.network.size).to(z), tolerance=TOLERANCE, iterations=3000)
    weights, shape = system.lift(network, points.points), (len(family.starts), starts)
    value = whole.value(weights).view(shape) / family.bound[:, None]
    return FoundPoints(
        family,
        weights.view(*shape, -1),
        family.network.forward(weights, x).view(*shape, -1),
        value,
        whole.tangential(weights).norm(dim=-1).view(shape) / family.bound[:, None],
        points.converged.view(shape) & (value > POSITIVE),
    )


@dataclass(frozen=True)
class ListedPoints:
    """All KKT points of one unit of a two-layer net in three dimensions, kinks included, for each row [P, 3]."""

    points: Sequence[Float[np.ndarray, "_ 3"]]

    @classmethod
    def of(cls, family: Family) -> ListedPoints:
        """Raises ValueError for another network, and for another dimension."""
        slope, _ = unit_of(family.network)
        if family.network.inputs != LISTED:
            raise ValueError(f"{family.name}: KKT points are listed in {LISTED} dimensions, not {family.network.inputs}")
        return cls([neuron_kkt_points(*data, slope) for data in zip(family.x.numpy(), family.z.numpy(), strict=True)])

    def distance(self, directions: Float[np.ndarray, "s k"]) -> Float[np.ndarray, " s"]:
        r"""Of the units' $u/\|u\|$, to the nearest: largest over the units that are not small; inf where there is no point."""
        distances = []
        for points, direction in zip(self.points, directions, strict=True):
            units = direction.reshape(-1, LISTED + 1)
            u = unit(torch.from_numpy(units[np.linalg.norm(units, axis=1) > SMALL, :-1])).numpy()
            apart = np.linalg.norm(u[:, None] - points, axis=2) if len(points) else np.full((len(u), 1), np.inf)
            distances.append(apart.min(axis=1).max())
        return np.array(distances)
