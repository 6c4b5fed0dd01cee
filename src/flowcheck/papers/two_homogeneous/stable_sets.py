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

from flowcheck.correlation.ncf import Correlation
from flowcheck.flows import flow
from flowcheck.geometry import unit

RELAXATION = 20.0
"""Length of a flow over the smallest curvature: e^-20, or e^-10 after leaving a saddle that it passed at a distance of e^-10."""


RTOL = 1e-7
"""Tolerance of flows to their limits."""
ARRIVED = 1e-5
"""KKT residual, a sine, at which a direction has arrived: a hundred tolerances of the flow."""


@dataclass(frozen=True)
class CriticalPoints:
    """Isolated KKT points of an NCF on the sphere, highest value first.

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

    @property
    def location_error(self) -> float:
        r"""How far a point may lie from the KKT point that it stands for, of the worst: twice the Newton step from it.

        The tangential gradient over the smallest curvature; the gradient has length $2|\mathcal N|$ as the degree is two.
        """
        return 2.0 * float((2.0 * self.residual * self.value.abs() / self.curvature.abs().amin(dim=1)).max())

    @property
    def relaxation(self) -> float:
        """Length of arc after which flows have left saddles and arrived, unless they cross a plateau."""
        return RELAXATION / float(self.curvature.abs().min())

    def of_index(self, index: int) -> Float[Tensor, "q k"]:
        """The points with this many directions of ascent."""
        return self.points[self.index == index]


def hessians(correlation: Correlation, u: Float[Tensor, "s k"]) -> Float[Tensor, "s k k"]:
    r"""The Hessian on the sphere, 0 along u: $P(\nabla^2\mathcal N-\lambda I)P$ with $\lambda=u^\top\nabla\mathcal N$."""
    with torch.enable_grad():
        leaf = u.detach().requires_grad_(True)
        total = (correlation.network.forward(leaf, correlation.x) @ correlation.z).sum()
        (gradient,) = torch.autograd.grad(total, leaf, create_graph=True)
        plain = torch.stack([torch.autograd.grad(column.sum(), leaf, retain_graph=True)[0] for column in gradient.T], dim=1)
    projection = torch.eye(u.shape[1]).to(u) - u[:, :, None] * u[:, None, :]
    multiplier = (gradient.detach() * u).sum(dim=1)[:, None, None]
    return projection @ plain @ projection - multiplier * projection


def critical_points(
    correlation: Correlation, starts: Float[Tensor, "s k"], *, tolerance: float = 1e-11, iterations: int = 40
) -> CriticalPoints:
    """All KKT points that Newton's method on the sphere reaches from the starts, of every index; steps are at most 0.3.

    Two points closer than 1e-5 count as one. Raises ValueError if none is found.
    """
    u, running = unit(starts), torch.arange(len(starts), device=starts.device)
    for _ in range(iterations):
        v = u[running]
        system = hessians(correlation, v) + v[:, :, None] * v[:, None, :]
        step = -torch.linalg.lstsq(system, correlation.tangential(v)[..., None]).solution[..., 0]
        step = step - (step * v).sum(dim=1, keepdim=True) * v
        u[running] = unit(v + step * (0.3 / step.norm(dim=1, keepdim=True).clamp_min(1e-300)).clamp_max(1.0))
        running = running[correlation.kkt_residual(u[running]) > 0.1 * tolerance]
        if not len(running):
            break
    residual = correlation.kkt_residual(u)
    kept: list[int] = []
    for row in torch.argsort(correlation.value(u), descending=True).tolist():
        distinct = all(float((u[row] - u[other]).norm()) > 1e-5 for other in kept)
        if float(residual[row]) <= tolerance and distinct:
            kept.append(row)
    if not kept:
        raise ValueError("Newton's method reached no KKT point from these starts")
    points = u[kept]
    curvature = torch.linalg.eigvalsh(_without_radial(correlation, points))[:, 1:]
    return CriticalPoints(points, correlation.value(points), (curvature > 0).sum(dim=1), curvature, residual[kept])


def limits(
    correlation: Correlation, starts: Float[Tensor, "s k"], length: float, *, rtol: float = RTOL, rounds: int = 50
) -> Float[Tensor, "s k"]:
    """Where directions end: after an arc of `length`, see `CriticalPoints.relaxation`, and as many more as a slow plateau takes.

    Rows whose KKT residual is above `ARRIVED` go on for up to `rounds` lengths. No event ends a flow: each costs a search, and an
    explicit integrator hovers around an attracting point.
    """
    u, running = unit(starts), torch.arange(len(starts), device=starts.device)
    for _ in range(rounds):
        path = flow.gradient_flow(correlation, u[running], length=length, rtol=rtol)
        u[running] = path.direction
        running = running[correlation.kkt_residual(path.direction) > ARRIVED]
        if not len(running):
            break
    return u


def nearest(points: Float[Tensor, "s k"], targets: Float[Tensor, "p k"]) -> tuple[Int[Tensor, " s"], Float[Tensor, " s"]]:
    """The number of the nearest target of each point, and its distance."""
    distance = (points[:, None] - targets).norm(dim=-1)
    return distance.argmin(dim=1), distance.amin(dim=1)


def stable_curves(
    correlation: Correlation, saddles: Float[Tensor, "p k"], length: float, *, rtol: float = 1e-9, offset: float = 1e-4
) -> list[Float[Tensor, "n k"]]:
    """Both halves of the one-dimensional stable set of each saddle, from the saddle down to where N has its minima.

    The flow of -N runs that of N backwards. It starts `offset` away to either side, along the eigenvector of the only negative
    tangential curvature, so the curves err by the square of the offset. Raises ValueError unless exactly one is negative.
    """
    values, vectors = torch.linalg.eigh(_without_radial(correlation, saddles))
    if bool(((values[:, 1:] < 0).sum(dim=1) != 1).any()):
        raise ValueError(f"the stable set of a point with curvatures {values[:, 1:].tolist()} is no curve")
    starts = unit(torch.cat([saddles + side * offset * vectors[:, :, 1] for side in (1.0, -1.0)]))
    backwards = flow.gradient_flow(
        Correlation(correlation.network, correlation.x, -correlation.z),
        starts,
        length=length,
        rtol=rtol,
        save=flow.Save(steps=True),
    )
    assert backwards.every_step is not None
    ends = zip(torch.cat([saddles, saddles]), backwards.every_step.direction, strict=True)
    return [torch.cat([saddle[None], steps[~steps.isnan().any(dim=1)]]) for saddle, steps in ends]


def distance_to_curve(points: Float[Tensor, "s k"], curve: Float[Tensor, "n k"]) -> Float[Tensor, " s"]:
    """Distance of unit vectors to the arcs of great circles through the rows of `curve`, also unit vectors.

    A point is laid along its ray into the plane that touches the middle of an arc, where the arc is the chord: its foot there.
    """
    start, along = curve[:-1], curve[1:] - curve[:-1]
    middle = unit(curve[1:] + curve[:-1])
    height, over = (start * middle).sum(dim=1), (points @ middle.T).clamp_min(1e-3)  # below it a point is at 90 degrees or more
    laid = points[:, None] * (height / over)[..., None]
    squared = (along**2).sum(dim=1).clamp_min(1e-300)
    fraction = (((laid - start) * along).sum(dim=2) / squared).clamp(0.0, 1.0)
    return (points[:, None] - unit(start + fraction[..., None] * along)).norm(dim=2).amin(dim=1)


def _without_radial(correlation: Correlation, u: Float[Tensor, "s k"]) -> Float[Tensor, "s k k"]:
    """Hessians whose eigenvalue along u, which means nothing, is moved below all others."""
    return hessians(correlation, u) - 1e6 * u[:, :, None] * u[:, None, :]
