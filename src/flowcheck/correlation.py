r"""The neural correlation function (NCF) $\mathcal N_{z,\mathcal H}(u)=z^\top\mathcal H(X;u)$, its KKT points on the unit sphere,
and their search by ascent.

A unit vector u is a KKT point of $\max_{\|u\|=1}\mathcal N(u)$ if $\nabla\mathcal N(u)=\lambda u$; then $\lambda=L\mathcal N(u)$.
It is non-negative if $\mathcal N(u)\ge0$. All starts of an ascent are one batch, with the scale-free step $u+g/\|g\|$.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from flowcheck.networks import Network

STALLED = 1e-300
"""Gradients below this norm are zero: KKT points with multiplier 0, where no direction of ascent exists."""


@dataclass(frozen=True)
class Correlation:
    r"""$\mathcal N(u)=z^\top\mathcal H(X;u)$ for fixed z. Functions take batches u [S, k] and return [S] or [S, k].

    x and z are shared by the batch, or x is [S, n, d] and z [S, n]: one data set for each row.
    """

    network: Network
    x: Float[Tensor, "*b n d"]
    z: Float[Tensor, "*s n"]

    def rows(self, chosen: Bool[Tensor, " s"]) -> Correlation:
        """The correlation of the chosen rows of a batch."""
        x, z = (self.x if self.x.dim() == 2 else self.x[chosen]), (self.z if self.z.dim() == 1 else self.z[chosen])
        return Correlation(self.network, x, z)

    def value(self, u: Float[Tensor, "s k"]) -> Float[Tensor, " s"]:
        outputs = self.network.forward(u, self.x)
        return outputs @ self.z if self.z.dim() == 1 else (outputs * self.z).sum(dim=-1)

    def gradient(self, u: Float[Tensor, "s k"]) -> Float[Tensor, "s k"]:
        """One element of the Clarke subdifferential: the gradient wherever there is one."""
        return self.network.pull(u, self.x, self.z)

    def normalised(self, u: Float[Tensor, "s k"]) -> Float[Tensor, " s"]:
        r"""$\tilde{\mathcal N}(u)=\mathcal N(u/\|u\|)$."""
        return self.value(unit(u))

    def tangential(self, u: Float[Tensor, "s k"]) -> Float[Tensor, "s k"]:
        r"""$(I-\hat u\hat u^\top)\nabla\mathcal N(\hat u)$: the velocity of the direction, and zero exactly at KKT points."""
        direction = unit(u)
        gradient = self.gradient(direction)
        return gradient - (gradient * direction).sum(dim=-1, keepdim=True) * direction

    def kkt_residual(self, u: Float[Tensor, "s k"]) -> Float[Tensor, " s"]:
        r"""$\|(I-\hat u\hat u^\top)\nabla\mathcal N(\hat u)\|/\|\nabla\mathcal N(\hat u)\|$, the sine of the angle between u
        and the gradient; 0 where the gradient vanishes.
        """
        size = self.gradient(unit(u)).norm(dim=-1)
        return torch.where(size > STALLED, self.tangential(u).norm(dim=-1) / size.clamp_min(STALLED), 0.0)

    def cosine(self, u: Float[Tensor, "s k"]) -> Float[Tensor, " s"]:
        r"""$\nabla\mathcal N(\hat u)^\top\hat u/\|\nabla\mathcal N(\hat u)\|$, as in the papers' figures; NaN where it is 0/0."""
        direction = unit(u)
        gradient = self.gradient(direction)
        return (gradient * direction).sum(dim=-1) / gradient.norm(dim=-1)

    def tangent_curvature(self, u: Float[Tensor, " k"]) -> Float[Tensor, " k-1"]:
        r"""Eigenvalues, ascending, of $P(\nabla^2\mathcal N-\lambda I)P$ on the tangent space: the second-order test.

        At a KKT point: all negative at a strict local maximum, one positive at a saddle. For networks whose gradient is
        differentiable at u.
        """
        direction = unit(u[None])[0]

        def value(v: Tensor) -> Tensor:
            return self.network.forward(v[None], self.x)[0] @ self.z

        # not torch.func: it imports the compiler of torch, a second
        hessian = torch.autograd.functional.hessian(value, direction)  # type: ignore[no-untyped-call]
        multiplier = self.gradient(direction[None])[0] @ direction
        basis = torch.linalg.qr(torch.cat([direction[:, None], torch.eye(len(u)).to(u)], dim=1))[0][:, 1 : len(u)]
        return torch.linalg.eigvalsh(basis.mT @ hessian @ basis - multiplier * torch.eye(len(u) - 1).to(u))

    @functools.cached_property
    def upper_bound(self) -> float:
        r"""$\beta\|z\|\ge\max_{\|u\|=1}|\mathcal N(u)|$ from the network's closed bound; ValueError where there is none."""
        return self.network.output_bound(self.x) * float(self.z.norm())


@dataclass(frozen=True)
class KktPoints:
    """Where an ascent ended: one row per start. `residual` certifies; `converged` says which rows reached the tolerance."""

    points: Float[Tensor, "s k"]
    value: Float[Tensor, " s"]
    residual: Float[Tensor, " s"]
    converged: Bool[Tensor, " s"]
    iterations: int

    def distinct(self, tolerance: float = 1e-4) -> Int[Tensor, " p"]:
        """Rows of the converged points, one of each set that lies within `tolerance`, highest value first."""
        kept: list[int] = []
        for row in torch.argsort(self.value, descending=True).tolist():
            if self.converged[row] and all(float((self.points[row] - self.points[k]).norm()) > tolerance for k in kept):
                kept.append(row)
        return torch.tensor(kept, dtype=torch.int64)


def unit(u: Float[Tensor, "*s k"]) -> Float[Tensor, "*s k"]:
    """Rows divided by their norms."""
    return u / u.norm(dim=-1, keepdim=True)


def angle(u: Float[Tensor, "*s k"], v: Float[Tensor, "*#s k"]) -> Float[Tensor, "*s"]:
    """Angle between rows, in [0, π]; accurate near 0 and π, where the arccosine of a product is not."""
    a, b = unit(u), unit(v)
    return 2.0 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1))


def ascend(
    correlation: Correlation,
    starts: Float[Tensor, "s k"],
    *,
    tolerance: float = 1e-10,
    iterations: int = 5000,
) -> KktPoints:
    r"""Maximise N on the unit sphere from all starts at once: $u\leftarrow(u+\eta\,g/\|g\|)/\|\cdot\|$.

    $\eta$ is 1 and is halved, for one start, where a step does not increase N: with z of both signs the full step can cycle.
    Where N changes by no more than rounding, a step must lower the KKT residual instead. A row is done when this residual is
    below `tolerance`, or where the gradient vanishes.
    """
    ends, rows, running, count = unit(starts), torch.arange(len(starts), device=starts.device), correlation, 0
    u, eta = ends, torch.ones_like(starts[:, :1])
    value, gradient = running.value(u), running.gradient(u)
    sine, size = _sine(gradient, u)
    while count < iterations:
        going = (sine > tolerance) & (size > STALLED)
        if not bool(going.all()):  # rows that are done leave the batch
            ends[rows[~going]] = u[~going]
            rows, running = rows[going], running.rows(going)
            u, eta, value, gradient, sine, size = (part[going] for part in (u, eta, value, gradient, sine, size))
        if not len(rows):
            break
        trial = unit(u + eta * gradient / size[:, None])
        trial_value, trial_gradient = running.value(trial), running.gradient(trial)
        trial_sine, trial_size = _sine(trial_gradient, trial)
        rounding = 1e-14 * value.abs()  # of a sum of n terms
        better = (trial_value > value + rounding) | ((trial_value >= value - rounding) & (trial_sine < sine))
        u, gradient = torch.where(better[:, None], trial, u), torch.where(better[:, None], trial_gradient, gradient)
        value, sine = torch.where(better, trial_value, value), torch.where(better, trial_sine, sine)
        size = torch.where(better, trial_size, size)
        eta = torch.where(better[:, None], (1.5 * eta).clamp_max(1.0), 0.5 * eta)
        count += 1
    ends[rows] = u
    residual = correlation.kkt_residual(ends)
    return KktPoints(ends, correlation.value(ends), residual, residual <= 10.0 * tolerance, count)


def _sine(gradient: Float[Tensor, "s k"], u: Float[Tensor, "s k"]) -> tuple[Float[Tensor, " s"], Float[Tensor, " s"]]:
    """Sine of the angle between gradients and unit vectors, and the gradients' norms."""
    size = gradient.norm(dim=-1)
    across = gradient - (gradient * u).sum(dim=-1, keepdim=True) * u
    return across.norm(dim=-1) / size.clamp_min(STALLED), size


def largest_output(network: Network, x: Float[Tensor, "n d"], starts: Float[Tensor, "s k"], iterations: int = 300) -> float:
    r"""Lower bound of $\beta=\sup_{\|w\|=1}\|\mathcal H(X;w)\|$: the best of several ascents of $\tfrac12\|\mathcal H\|^2$."""
    u, best = unit(starts), 0.0
    for _ in range(iterations):
        outputs, gradient = network.forward_and_pull(u, x, lambda h: h)
        best = max(best, float(outputs.norm(dim=-1).max()))
        u = unit(u + gradient / gradient.norm(dim=-1, keepdim=True).clamp_min(STALLED))
    return max(best, float(network.forward(u, x).norm(dim=-1).max()))


def largest_jacobian(network: Network, x: Float[Tensor, "n d"], starts: Float[Tensor, "s k"]) -> float:
    r"""Lower bound of $\alpha=\sup_{\|w\|=1}\|\mathcal J(X;w)\|_2$: the best spectral norm along ascents of $\|\mathcal H\|$.

    Where outputs are large, so is the Jacobian: $L\|\mathcal H\|\le\|\mathcal J\|_2$ on the sphere.
    """
    u, best = unit(starts), 0.0
    for _ in range(30):
        rows = torch.stack([network.pull(u, x, row) for row in torch.eye(len(x)).to(x)], dim=1)
        best = max(best, float(torch.linalg.matrix_norm(rows, ord=2).max()))
        _, gradient = network.forward_and_pull(u, x, lambda h: h)
        u = unit(u + gradient / gradient.norm(dim=-1, keepdim=True).clamp_min(STALLED))
    return best
