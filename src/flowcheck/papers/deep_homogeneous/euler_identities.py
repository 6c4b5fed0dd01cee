r"""Euler's identities of homogeneous networks and the gradient of the normalised NCF, measured at random weights.

deep_homogeneous, Lemmas A.2, B.1 and B.2. Gradients here are those of autograd through the forward, so that a closed form of the
network's pull is tested with them. All defects are relative to the size of what is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.data.synthetic import gaussian
from flowcheck.networks.network import Network
from flowcheck.networks.sums import Mixture
from flowcheck.networks.zoo import power_net
from flowcheck.papers.homogeneous.families import Family
from flowcheck.papers.homogeneous.hypotheses import ROUNDING
from flowcheck.pipeline.evidence import Found, Measurement


@dataclass(frozen=True)
class Defects:
    r"""Largest relative defects over the sample; L is the declared degree unless `degree` says otherwise.

    Attributes:
        gradient_scaling: $\nabla\mathcal N(cw)=c^{L-1}\nabla\mathcal N(w)$.
        gradient_euler: $w^\top\nabla\mathcal N(w)=L\mathcal N(w)$, over $\|w\|\|\nabla\mathcal N\|$.
        jacobian_scaling, jacobian_euler: $\mathcal J(X;cw)=c^{L-1}\mathcal J(X;w)$, $\mathcal J(X;w)w=L\mathcal H(X;w)$.
        normalised_difference: $\nabla(\mathcal N/\|u\|^L)$ against $\nabla\mathcal N/\|u\|^L-L\mathcal Nu/\|u\|^{L+2}$.
        normalised_projection: against $(I-\hat u\hat u^\top)\nabla\mathcal N/\|u\|^L$.
    """

    gradient_scaling: float
    gradient_euler: float
    jacobian_scaling: float
    jacobian_euler: float
    normalised_difference: float
    normalised_projection: float


def defects(
    network: Network,
    x: Float[Tensor, "n d"],
    z: Float[Tensor, " n"],
    w: Float[Tensor, "s k"],
    factors: Float[Tensor, " s"],
    degree: float | None = None,
) -> Defects:
    """Measure at the rows of w, scaled by one factor c > 0 each."""
    level = float(network.degree if degree is None else degree)
    c = factors[:, None]
    outputs, jacobian = _jacobian(network, x, w)
    _, scaled = _jacobian(network, x, c * w)
    gradient, scaled_gradient = (torch.einsum("snk,n->sk", j, z) for j in (jacobian, scaled))
    value, norm = (outputs @ z)[:, None], w.norm(dim=1, keepdim=True)
    power = c ** (level - 1)
    normalised = _gradient_of_normalised(network, x, z, w, level)
    size = gradient.norm(dim=1) / norm[:, 0] ** level
    difference = gradient / norm**level - level * value * w / norm ** (level + 2)
    projection = (gradient - (gradient * w).sum(dim=1, keepdim=True) * w / norm**2) / norm**level
    euler = (torch.einsum("snk,sk->sn", jacobian, w) - level * outputs).norm(dim=1)
    return Defects(
        gradient_scaling=_worst((scaled_gradient - power * gradient).norm(dim=1), (power * gradient).norm(dim=1)),
        gradient_euler=_worst(((gradient * w).sum(dim=1) - level * value[:, 0]).abs(), gradient.norm(dim=1) * norm[:, 0]),
        jacobian_scaling=_worst(
            (scaled - power[..., None] * jacobian).norm(dim=(1, 2)), (power[..., None] * jacobian).norm(dim=(1, 2))
        ),
        jacobian_euler=_worst(euler, jacobian.norm(dim=(1, 2)) * norm[:, 0]),
        normalised_difference=_worst((normalised - difference).norm(dim=1), size),
        normalised_projection=_worst((normalised - projection).norm(dim=1), size),
    )


def _jacobian(network: Network, x: Tensor, w: Tensor) -> tuple[Float[Tensor, "s o"], Float[Tensor, "s o k"]]:
    """Outputs and their Jacobian, by autograd."""
    leaf = w.detach().requires_grad_(True)
    outputs = network.forward(leaf, x)
    rows = [torch.autograd.grad(outputs[:, i].sum(), leaf, retain_graph=True)[0] for i in range(outputs.shape[1])]
    return outputs.detach(), torch.stack(rows, dim=1)


def _gradient_of_normalised(network: Network, x: Tensor, z: Tensor, w: Tensor, level: float) -> Float[Tensor, "s k"]:
    leaf = w.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad((network.forward(leaf, x) @ z / leaf.norm(dim=1) ** level).sum(), leaf)
    return gradient


def _worst(defect: Float[Tensor, " s"], size: Float[Tensor, " s"]) -> float:
    return float((defect / size.clamp_min(1e-300)).max())


def largest_defects(families: Sequence[Family], rng: np.random.Generator, samples: int) -> Found:
    """Of all families, at `samples` random weights each. Controls: parts of degree 3 and 4, and degree 4 taken for degree 3."""
    device = families[-1].x.device
    factors = torch.from_numpy(np.geomspace(1e-3, 1e3, samples)).to(device)

    def weights(network: Network) -> Tensor:
        return gaussian(rng, samples, network.size).to(device)

    found = [asdict(defects(f.network, f.x[0], f.z[0], weights(f.network), factors)) for f in families]
    x, z = families[-1].x[0], families[-1].z[0]
    three, four = (power_net(3, x.shape[1], degree) for degree in (3, 4))
    w = weights(three)
    mixed = asdict(defects(Mixture("mixture", ((1.0, three), (0.5, four)), 3), x, z, w, factors))
    less = defects(four, x, z, w, factors, degree=3.0).normalised_projection
    numbers = {f"defect_{name}": max(row[name] for row in found) for name in mixed}
    numbers |= {f"mixture_{name}": mixed[name] for name in mixed if not name.startswith("normalised")}
    numbers["less_normalised_projection"] = less
    return {name: Measurement(value, ROUNDING * (1 + value)) for name, value in numbers.items()}
