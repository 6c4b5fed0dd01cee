r"""Early alignment: the flow from $w(0)=\delta w_0$ against the NCF flow u from w_0 (Theorem 5.1 of both papers).

`reference` follows u to the KKT point that it ends at and says when it is within $1-\epsilon$ of it; `shadow` integrates
$s(\hat t)=w(\hat t/\delta^{L-2})/\delta$ and u side by side; `escape` follows w until the loss has fallen by a hundredth.

`shadow` takes the same steps for s and u, so that truncation errors cancel in s - u. It integrates the gradient flow of the loss
as it stands (Eq. (3) of two_homogeneous, Eq. (7) of deep_homogeneous) in the units of s and does not use homogeneity, so networks
that lack it, and wrong exponents of the time scale, can be run as controls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from flowcheck.geometry import misalignment
from flowcheck.integration.adaptive import integrate
from flowcheck.losses import Loss
from flowcheck.networks.network import Network


@dataclass(frozen=True)
class Cases:
    """What flows start from, one row each; deltas are added by `with_deltas`.

    Attributes:
        y: labels [S, n].
        z: the vector that drives u [S, n].
        starts: w_0 [S, k], unit vectors.
        loss: which of the losses drives w [S].
    """

    y: Float[Tensor, "s o"]
    z: Float[Tensor, "s o"]
    starts: Float[Tensor, "s k"]
    loss: Int[Tensor, " s"]

    @classmethod
    def of(cls, losses: Sequence[Loss], y: Float[Tensor, "l s o"], starts: Float[Tensor, "s k"]) -> Cases:
        r"""Every loss, with labels of its own, from every start; $z=-\ell'(0,y)$."""
        z = torch.stack([loss.correlation_vector(labels) for loss, labels in zip(losses, y, strict=True)])
        which = torch.arange(len(losses), device=y.device).repeat_interleave(len(starts))
        return cls(y.flatten(0, 1), z.flatten(0, 1), starts.repeat(len(losses), 1), which)

    def take(self, rows: Int[Tensor, " r"]) -> Cases:
        return Cases(self.y[rows], self.z[rows], self.starts[rows], self.loss[rows])

    def on(self, device: torch.device) -> Cases:
        """The same cases on another device."""
        return Cases(self.y.to(device), self.z.to(device), self.starts.to(device), self.loss.to(device))

    def permuted(self, order: Int[np.ndarray, " o"]) -> Cases:
        """A control: the vector that drives u belongs to other samples, and labels and starts stay."""
        return replace(self, z=self.z[:, torch.from_numpy(order).to(self.z.device)])

    def driven_by_another(self, other: Cases) -> Bool[np.ndarray, " s"]:
        """Which of the cases have another z in `other`: a permutation may leave signs as they are."""
        return (self.z != other.z).any(dim=-1).cpu().numpy()


@dataclass(frozen=True)
class Shadow:
    r"""$s(\hat t)=w(\hat t/\delta^{L-2})/\delta$ and u at the same points of u's arc, for every case and delta.

    Attributes:
        s, u: [S, D, P, k].
        time: $\hat t$ [S, D, P].
        change: $\|\ell'(\mathcal H(X;w),y)-\ell'(0,y)\|$ [S, D, P]: what Theorem 5.1 of both papers calls $\xi$.
    """

    s: Float[Tensor, "s d p k"]
    u: Float[Tensor, "s d p k"]
    time: Float[Tensor, "s d p"]
    change: Float[Tensor, "s d p"]

    def deviation(self) -> Float[Tensor, "s d p"]:
        r"""$\sup\|s-u\|$ up to each point."""
        return (self.s - self.u).norm(dim=-1).cummax(dim=-1).values

    def excess(self) -> Float[Tensor, "s d p"]:
        r"""The largest $\|s\|$ up to each point less the largest $\|u\|$; both start from 1."""
        s, u = (part.norm(dim=-1).clamp_min(1.0).cummax(dim=-1).values for part in (self.s, self.u))
        return s - u

    def misalignment(self, limit: Float[Tensor, "s k"]) -> Float[Tensor, "s d p"]:
        r"""$1-\cos(s,u_*)$."""
        return misalignment(self.s, limit[:, None, None])


def shadow(
    network: Network,
    x: Float[Tensor, "n d"],
    losses: Sequence[Loss],
    cases: Cases,
    deltas: Float[Tensor, "s deltas"],
    arcs: Float[Tensor, "s p"],
    *,
    rtol: float,
    degree: float | None = None,
    coarser: float = 10.0,
) -> tuple[Shadow, Shadow]:
    r"""Side by side: s and u with the same steps, recorded at increasing `arcs` of u; at `rtol`, and at `coarser` times that.

    With $c=\|u\|^{-(L-2)}$ the derivatives with respect to the arc are $c\,\mathcal J(X;u)^\top z$ for u and
    $-c\,\delta^{-(L-1)}\mathcal J(X;\delta s)^\top\ell'(\mathcal H(X;\delta s),y)$ for s; L is `degree`, by default the
    network's. The error of a step is measured block by block of a separable network, relative to the block, so that blocks
    which stay small are as accurate as the others.
    """
    exponent = (network.degree if degree is None else degree) - 2
    size, blocks, rows = network.size, len(network.blocks), deltas.numel()
    case = torch.arange(len(deltas), device=deltas.device).repeat_interleave(deltas.shape[1]).repeat(2)
    runs, scales, grid = cases.take(case), deltas.flatten().repeat(2), arcs[case]
    tolerance = torch.cat([torch.full_like(scales[:rows], rtol), torch.full_like(scales[:rows], coarser * rtol)])

    def rates(state: Tensor, index: Tensor) -> Tensor:
        u, delta = state[:, size : 2 * size], scales[index].unsqueeze(-1)

        def response(outputs: Tensor) -> Tensor:
            of_w = of_own_loss(losses, runs.loss[index], outputs[: len(index)], runs.y[index], Loss.residual)
            return torch.cat([of_w, runs.z[index]])

        pulls = network.forward_and_pull(torch.cat([delta * state[:, :size], u]), x, response)[1]  # one pass for w and u
        clock = u.norm(dim=-1, keepdim=True) ** -exponent
        pull_s = delta ** -(exponent + 1) * pulls[: len(index)]
        return clock * torch.cat([pull_s, pulls[len(index) :], torch.ones_like(clock)], dim=-1)

    def error_norm(error: Tensor, state: Tensor, index: Tensor) -> Tensor:
        parts = (len(index), 2 * blocks, -1)
        each = error[:, :-1].reshape(parts).norm(dim=-1) / state[:, :-1].reshape(parts).norm(dim=-1).clamp_min(1e-300)
        return torch.maximum(each.amax(dim=-1), error[:, -1].abs() / state[:, -1].clamp_min(1e-3)) / tolerance[index]

    start = torch.cat([runs.starts, runs.starts, torch.zeros_like(scales).unsqueeze(-1)], dim=-1)
    run = integrate(rates, start, grid[:, -1], error_norm=error_norm, order=5, record_at=grid)
    assert run.recorded is not None
    s, u, time = run.recorded[..., :size], run.recorded[..., size:-1], run.recorded[..., -1]
    flat = scales[:, None, None] * s
    outputs = network.forward(flat.reshape(-1, size), x).view(*s.shape[:2], -1)
    change = of_own_loss(losses, runs.loss[:, None], outputs, runs.y.unsqueeze(1), Loss.derivative_change)
    shape = (*deltas.shape, arcs.shape[1])

    def part(of: slice) -> Shadow:
        return Shadow(s[of].view(*shape, -1), u[of].view(*shape, -1), time[of].view(shape), change[of].norm(dim=-1).view(shape))

    return part(slice(0, rows)), part(slice(rows, None))


def of_own_loss(
    losses: Sequence[Loss], which: Tensor, outputs: Tensor, y: Tensor, part: Callable[[Loss, Tensor, Tensor], Tensor]
) -> Tensor:
    """`part` of the loss that each row has."""
    chosen = part(losses[0], outputs, y)
    for position, loss in enumerate(losses[1:], 1):
        chosen = torch.where((which == position).unsqueeze(-1), part(loss, outputs, y), chosen)
    return chosen
