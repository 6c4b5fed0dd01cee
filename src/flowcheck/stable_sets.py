r"""Which initial direction ends at which KKT point: stable sets of the flow of the direction on the unit sphere.

For L = 2 the direction of the NCF flow is itself a flow, $\dot\theta=(I-\theta\theta^\top)\nabla\mathcal N(\theta)$, the ascent
of $\mathcal N$ on the sphere; for L > 2 it is one in rescaled time. Almost all directions end at maxima; the boundaries between
their stable sets are the stable sets of saddles. For networks with a single block whose gradient is locally Lipschitz.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck import flow
from flowcheck.correlation import Correlation, unit

ARRIVED = 1e-7
"""Sine between direction and gradient at which a direction has arrived at a KKT point."""


@dataclass(frozen=True)
class CriticalPoints:
    """KKT points of an NCF on the sphere, highest value first.

    Attributes:
        points, value: [P, k] and [P].
        index: number of directions of ascent: 0 at maxima, k - 1 at minima, between them at saddles.
        curvature: eigenvalues of the tangential Hessian, ascending, [P, k-1].
        residual: KKT residual.
    """

    points: Float[Tensor, "p k"]
    value: Float[Tensor, " p"]
    index: Int[Tensor, " p"]
    curvature: Float[Tensor, "p j"]
    residual: Float[Tensor, " p"]

    def of_index(self, index: int) -> Float[Tensor, "q k"]:
        """The points with this many directions of ascent."""
        return self.points[self.index == index]


def hessians(correlation: Correlation, u: Float[Tensor, "s k"]) -> Float[Tensor, "s k k"]:
    r"""$P(\nabla^2\mathcal N-\lambda I)P$ at unit vectors u, $\lambda=u^\top\nabla\mathcal N$: the Hessian on the sphere, 0 along u."""

    def value(v: Tensor) -> Tensor:
        return correlation.network.forward(v[None], correlation.x)[0] @ correlation.z

    projection = torch.eye(u.shape[1]).to(u) - u[:, :, None] * u[:, None, :]
    multiplier = (correlation.gradient(u) * u).sum(dim=1)[:, None, None]
    plain = torch.func.vmap(torch.func.hessian(value))(u)
    return projection @ plain @ projection - multiplier * projection


def critical_points(
    correlation: Correlation, starts: Float[Tensor, "s k"], *, tolerance: float = 1e-11, iterations: int = 40
) -> CriticalPoints:
    """All KKT points that Newton's method on the sphere reaches from the starts, of every index; steps are at most 0.3.

    Two points closer than 1e-5 count as one. Raises ValueError if none is found.
    """
    u = unit(starts)
    for _ in range(iterations):
        system = hessians(correlation, u) + u[:, :, None] * u[:, None, :]
        step = -torch.linalg.lstsq(system, correlation.tangential(u)[..., None]).solution[..., 0]
        step = step - (step * u).sum(dim=1, keepdim=True) * u
        u = unit(u + step * (0.3 / step.norm(dim=1, keepdim=True).clamp_min(1e-300)).clamp_max(1.0))
    residual = correlation.kkt_residual(u)
    kept: list[int] = []
    for row in torch.argsort(correlation.value(u), descending=True).tolist():
        distinct = all(float((u[row] - u[other]).norm()) > 1e-5 for other in kept)
        if float(residual[row]) <= tolerance and distinct:
            kept.append(row)
    if not kept:
        raise ValueError("Newton's method reached no KKT point from these starts")
    points = u[kept]
    # the direction u itself has eigenvalue 0; it is moved below all others and dropped
    shifted = hessians(correlation, points) - 1e6 * points[:, :, None] * points[:, None, :]
    curvature = torch.linalg.eigvalsh(shifted)[:, 1:]
    return CriticalPoints(points, correlation.value(points), (curvature > 0).sum(dim=1), curvature, residual[kept])


def limits(
    correlation: Correlation, starts: Float[Tensor, "s k"], *, rtol: float = 1e-8, max_length: float = torch.inf
) -> flow.FlowPath:
    """The flows of the direction until they arrive at a KKT point (`ended_by` 0), or for `max_length` (-1)."""
    return flow.correlation_flow(
        correlation.network,
        correlation.x,
        correlation.z,
        starts,
        until=[flow.tangential_below(ARRIVED)],
        rtol=rtol,
        length=max_length,
    )


def nearest(points: Float[Tensor, "s k"], targets: Float[Tensor, "p k"]) -> tuple[Int[Tensor, " s"], Float[Tensor, " s"]]:
    """The number of the nearest target of each point, and its distance."""
    distance = (points[:, None] - targets).norm(dim=-1)
    return distance.argmin(dim=1), distance.amin(dim=1)


def stable_curves(correlation: Correlation, saddle: Float[Tensor, " 3"], *, offset: float = 1e-4) -> list[Float[Tensor, "n 3"]]:
    """Both halves of the stable set of a saddle on the sphere in three dimensions, from the saddle to minima.

    The flow of -N, which runs the flow of N backwards, from `offset` to either side along the direction in which N falls least...
    """
    vector = torch.linalg.eigh(hessians(correlation, saddle[None]) - 1e6 * torch.outer(saddle, saddle)).eigenvectors[0, :, 1]
    starts = unit(saddle + offset * torch.stack([vector, -vector]))
    path = flow.correlation_flow(
        correlation.network,
        correlation.x,
        -correlation.z,
        starts,
        until=[flow.tangential_below(ARRIVED)],
        rtol=1e-10,
        keep_steps=True,
    )
    assert path.every_step is not None
    return [torch.cat([saddle[None], steps[~steps.isnan().any(dim=1)]]) for steps in path.every_step.direction]
