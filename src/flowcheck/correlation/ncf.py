r"""The neural correlation function (NCF) $\mathcal N_{z,\mathcal H}(u)=z^\top\mathcal H(X;u)$ and its KKT points on the sphere.

A unit vector u is a KKT point of $\max_{\|u\|=1}\mathcal N(u)$ if $\nabla\mathcal N(u)=\lambda u$; then $\lambda=L\mathcal N(u)$.
It is non-negative if $\mathcal N(u)\ge0$.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowcheck.arguments import instance
from flowcheck.geometry import directed, norm, unit
from flowcheck.networks import hypotheses
from flowcheck.networks.network import Network
from flowcheck.networks.problem import check_data, check_weights
from flowcheck.tensors import Numbers, tensor, tensors

STALLED = 1e-300
"""Gradients below this norm are zero: KKT points with multiplier 0, where no direction of ascent exists."""


@dataclass(frozen=True, init=False)
class Correlation:
    r"""$\mathcal N(u)=z^\top\mathcal H(X;u)$ for fixed z. Functions take batches u [S, k] and return [S] or [S, k].

    x and z are shared by the batch, or x is [S, n, d] and z [S, n]: one data set for each row. They are taken as `Objective`
    takes its data, with the same errors.

    One squared ReLU neuron on the inputs e_1, e_2, so $\mathcal N(u)=\max(u_1,0)^2+2\max(u_2,0)^2$; e_2 is a KKT point:

    >>> from flowcheck.networks.zoo import power_net
    >>> correlation = Correlation(power_net(units=1, inputs=2, power=2), torch.eye(2), torch.tensor([1.0, 2.0]))
    >>> u = torch.tensor([[3.0, 4.0], [0.0, 1.0]], dtype=torch.float64)
    >>> correlation.value(u).tolist()
    [41.0, 2.0]
    >>> (correlation.kkt_residual(u) < 1e-6).tolist()
    [False, True]
    """

    network: Network
    x: Float[Tensor, "*b n d"]
    z: Float[Tensor, "*s o"]

    def __init__(self, network: Network, x: Numbers, z: Numbers) -> None:
        instance("network", network, Network)
        inputs, vector = tensors(x=x, z=z)
        check_data(network, inputs, vector, "z")
        for name, part in {"network": network, "x": inputs, "z": vector}.items():
            object.__setattr__(self, name, part)  # frozen from here on

    def rows(self, chosen: Bool[Tensor, " s"]) -> Correlation:
        """The correlation of the chosen rows of a batch, whose data are those that were checked."""
        x, z = (self.x if self.x.dim() == 2 else self.x[chosen]), (self.z if self.z.dim() == 1 else self.z[chosen])
        some = object.__new__(type(self))
        for field in fields(self):  # and nothing that is cached of the whole batch
            object.__setattr__(some, field.name, {"x": x, "z": z}.get(field.name, getattr(self, field.name)))
        return some

    def value(self, u: Numbers) -> Float[Tensor, " s"]:
        return self._along_z(self.network.forward(check_weights(self.network, u, self.x), self.x))

    def gradient(self, u: Numbers) -> Float[Tensor, "s k"]:
        """One element of the Clarke subdifferential: the gradient wherever there is one."""
        return self.value_and_gradient(u)[1]

    def value_and_gradient(self, u: Numbers) -> tuple[Float[Tensor, " s"], Float[Tensor, "s k"]]:
        """Both in one pass."""
        outputs, gradient = self.network.forward_and_pull(check_weights(self.network, u, self.x), self.x, lambda _: self.z)
        return self._along_z(outputs), gradient

    def _direction(self, u: Numbers) -> Float[Tensor, "s k"]:
        return unit(directed("w", check_weights(self.network, u, self.x)))

    def _along_z(self, outputs: Float[Tensor, "s o"]) -> Float[Tensor, " s"]:
        return outputs @ self.z if self.z.dim() == 1 else (outputs * self.z).sum(dim=-1)

    def normalised(self, u: Numbers) -> Float[Tensor, " s"]:
        r"""$\tilde{\mathcal N}(u)=\mathcal N(u/\|u\|)$. Raises ValueError if a u is zero: it has no direction."""
        return self.value(self._direction(u))

    def tangential(self, u: Numbers) -> Float[Tensor, "s k"]:
        r"""$(I-\hat u\hat u^\top)\nabla\mathcal N(\hat u)$: the velocity of the direction, and zero exactly at KKT points.

        Raises ValueError if a u is zero.
        """
        direction = self._direction(u)
        gradient = self.gradient(direction)
        return gradient - (gradient * direction).sum(dim=-1, keepdim=True) * direction

    def kkt_residual(self, u: Numbers) -> Float[Tensor, " s"]:
        r"""$\|(I-\hat u\hat u^\top)\nabla\mathcal N(\hat u)\|/\|\nabla\mathcal N(\hat u)\|$, the sine of the angle between u
        and the gradient; 0 where the gradient vanishes, and NaN where u is no number. Raises ValueError if a u is zero.
        """
        size = norm(self.gradient(self._direction(u)))
        return torch.where(size <= STALLED, 0.0, norm(self.tangential(u)) / size.clamp_min(STALLED))

    def cosine(self, u: Numbers) -> Float[Tensor, " s"]:
        r"""$\nabla\mathcal N(\hat u)^\top\hat u/\|\nabla\mathcal N(\hat u)\|$, as in the papers' figures.

        NaN where the gradient vanishes, as at units that no input activates: `kkt_residual` is 0 there. Raises ValueError if a u
        is zero.
        """
        direction = self._direction(u)
        gradient = self.gradient(direction)
        return (gradient * direction).sum(dim=-1) / norm(gradient)

    def tangent_curvature(self, u: Numbers) -> Float[Tensor, " m"]:
        r"""The k - 1 eigenvalues, ascending, of $P(\nabla^2\mathcal N-\lambda I)P$ on the tangent space: the second-order test.

        At a KKT point: all negative at a strict local maximum, one positive at a saddle. For networks whose gradient is
        differentiable at u, on one data set. Raises ValueError if u is not one direction.
        """
        vector = tensor("u", u, self.x.device)
        if vector.ndim != 1 or self.x.dim() == 3 or self.z.dim() == 2:
            raise ValueError(f"u is one vector [k] on one data set, got u {tuple(vector.shape)} and x {tuple(self.x.shape)}")
        (direction,) = self._direction(vector[None])

        def value(v: Tensor) -> Tensor:
            return self.network.forward(v[None], self.x)[0] @ self.z

        # not torch.func: it imports the compiler of torch, a second
        hessian = torch.autograd.functional.hessian(value, direction)  # type: ignore[no-untyped-call]
        multiplier = self.gradient(direction[None])[0] @ direction
        basis = torch.linalg.qr(
            torch.cat([direction[:, None], torch.eye(len(vector), dtype=vector.dtype, device=vector.device)], dim=1)
        )[0][:, 1:]
        return torch.linalg.eigvalsh(
            basis.mT @ hessian @ basis - multiplier * torch.eye(len(vector) - 1, dtype=vector.dtype, device=vector.device)
        )

    @functools.cached_property
    def upper_bound(self) -> Float[Tensor, "*s"] | None:
        r"""$\beta\|z\|\ge\max_{\|u\|=1}|\mathcal N(u)|$ from the network's closed bound, of each data set; None without one."""
        betas = [self.network.output_bound(x) for x in self.x.view(-1, *self.x.shape[-2:])]
        if None in betas:
            return None
        size = norm(self.z)
        return size.new_tensor(betas if self.x.dim() == 3 else betas[0]) * size

    @functools.cached_property
    def degree_defect(self) -> float:
        """Of the network on the first of the data sets. Raises HypothesisError if it has not its degree."""
        return hypotheses.require_degree(self.network, self.x if self.x.dim() == 2 else self.x[0])

    @functools.cached_property
    def signal(self) -> float:
        """The smallest of the data sets. Raises HypothesisError if an NCF vanishes identically."""
        sets = max(len(self.x) if self.x.dim() == 3 else 1, len(self.z) if self.z.dim() == 2 else 1)
        x, z = self.x.expand(sets, *self.x.shape[-2:]), self.z.expand(sets, self.z.shape[-1])
        return min(hypotheses.require_signal(self.network, *own) for own in zip(x, z, strict=True))
