r"""What neurons with small weights add to a network, to leading order: Eq. (21) of neuron_pursuit.

A feed-forward network $W_L\sigma(W_{L-1}\cdots\sigma(W_1x))$ with $\sigma(t)=\max(t,at)^p$ keeps the first p_l neurons of each
hidden layer. The weights between them are w_n, with matrices N_l; all others, into and out of the added neurons, are w_z:
$$W_l=\begin{pmatrix}N_l&B_l\\A_l&C_l\end{pmatrix},\qquad
\mathcal H_1(x;w_n,w_z)=\sum_{l=1}^{L-1}D_{l+1}(x)\,B_{l+1}\sigma(A_lg_{l-1}(x)),$$
g_l(x) the kept neurons of layer l, and $D_{l+1}=\nabla_sf_{L,l+2}^\top(N_{l+1}g_l)$ the derivative of the outputs by the
inputs of layer l + 1, both where w_z = 0; D_L is the identity. It is (p + 1)-homogeneous in w_z, and C does not appear in it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowcheck.arguments import wholes
from flowcheck.networks.activation import Activation
from flowcheck.networks.feed_forward import FeedForward
from flowcheck.networks.network import Network, Response
from flowcheck.tensors import finite


class Blocks(NamedTuple):
    """Matrices of one kind of weights, layer by layer: A of layers 1 to L - 1, B of 2 to L, C of 2 to L - 1."""

    a: list[Tensor]
    b: list[Tensor]
    c: list[Tensor]


@dataclass(frozen=True)
class Partition:
    """A network in which the first `kept` neurons of each hidden layer are kept, and the others are added.

    Raises ValueError if the network is not what the module speaks of, or if a layer has fewer neurons than are kept.
    """

    network: FeedForward
    kept: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "kept", tuple(wholes("kept", self.kept, 1)))
        layers = self.network.layers
        if not layers[-1].activation.is_identity or any(layer.fixed is not None for layer in layers):
            raise ValueError(f"{self.network.name}: all layers are trained, and the last one is linear")
        if layers[-1].rows > 1 and self.network.readout == "sum":
            raise ValueError(f"{self.network.name}: the units of the last layer are outputs, not summed")
        if len({layer.activation for layer in layers[:-1]}) != 1:
            raise ValueError(f"{self.network.name}: hidden layers have one activation, and there is at least one")
        if len(self.kept) != len(layers) - 1 or any(k > layer.rows for k, layer in zip(self.kept, layers, strict=False)):
            raise ValueError(f"{self.network.name}: no {self.kept} neurons can be kept in its hidden layers")

    @property
    def activation(self) -> Activation:
        """That of all hidden neurons."""
        return self.network.layers[0].activation

    @functools.cached_property
    def rows(self) -> tuple[int, ...]:
        """Rows of N_1 to N_L."""
        return (*self.kept, self.network.layers[-1].rows)

    @functools.cached_property
    def columns(self) -> tuple[int, ...]:
        """Columns of N_1 to N_L."""
        return (self.network.inputs, *self.kept)

    @functools.cached_property
    def is_kept(self) -> Bool[Tensor, " k"]:
        """Which weights of the network are w_n."""
        with torch.inference_mode(False):  # autograd keeps it
            whole = torch.zeros(1, self.network.size, dtype=torch.float64, device="cpu")
            for matrix, rows, columns in zip(self.network.unpack(whole), self.rows, self.columns, strict=True):
                matrix[:, :rows, :columns] = 1.0
            return whole[0] > 0

    @property
    def sizes(self) -> tuple[int, int]:
        """How many weights w_n and w_z have."""
        kept = int(self.is_kept.sum())
        return kept, self.network.size - kept

    def join(self, w_n: Float[Tensor, "*b n"], w_z: Float[Tensor, "*s z"]) -> Float[Tensor, "*s k"]:
        """All weights, as the network has them; w_n may be one row for all w_z."""
        kept = self.is_kept.to(w_z.device)
        whole = w_z.new_zeros((*w_z.shape[:-1], len(kept)))
        whole[..., kept] = w_n.expand(*w_z.shape[:-1], -1)
        whole[..., ~kept] = w_z
        return whole

    def split(self, w: Float[Tensor, "*s k"]) -> tuple[Float[Tensor, "*s n"], Float[Tensor, "*s z"]]:
        """w_n and w_z, the inverse of `join`."""
        kept = self.is_kept.to(w.device)
        return w[..., kept], w[..., ~kept]

    def fitted(self, w_n: Float[Tensor, " n"]) -> list[Tensor]:
        """N_1 to N_L."""
        sizes = [rows * columns for rows, columns in zip(self.rows, self.columns, strict=True)]
        parts = torch.split_with_sizes(w_n, sizes)
        return [part.view(rows, columns) for part, rows, columns in zip(parts, self.rows, self.columns, strict=True)]

    def blocks(self, whole: Float[Tensor, "s k"]) -> Blocks:
        """A, B and C of all weights, as views of them."""
        cut = list(zip(self.network.unpack(whole), self.rows, self.columns, strict=True))
        return Blocks(
            [matrix[:, rows:, :columns] for matrix, rows, columns in cut[:-1]],
            [matrix[:, :rows, columns:] for matrix, rows, columns in cut[1:]],
            [matrix[:, rows:, columns:] for matrix, rows, columns in cut[1:-1]],
        )

    def added(self, w_z: Float[Tensor, "s z"]) -> Blocks:
        """A, B and C of each row of w_z, as views of a copy."""
        return self.blocks(self.join(w_z.new_zeros(self.sizes[0]), w_z))


@dataclass(frozen=True)
class LeadingTerm(Network):
    r"""$\mathcal H_1(x;w_n,\cdot)$ of Eq. (21): a network in w_z, of degree p + 1. `w_n` [n] is not copied.

    At kinks of the kept neurons their derivative is one element of the subdifferential.

    One neuron bσ(ax) is added to one that computes x, with σ(t) = t²:

    >>> from flowcheck.networks.zoo import deep_power
    >>> two = Partition(deep_power((2,), inputs=1, power=2, slope=1.0), (1,))
    >>> term = LeadingTerm(two, torch.ones(2, dtype=torch.float64))
    >>> term.degree, term.forward(torch.tensor([[2.0, 3.0]], dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)).tolist()
    (3.0, [[12.0]])
    """

    partition: Partition
    w_n: Float[Tensor, " n"]

    def __post_init__(self) -> None:
        if self.w_n.shape != (self.partition.sizes[0],):
            raise ValueError(f"{self.name}: w_n has {self.partition.sizes[0]} entries, got shape {tuple(self.w_n.shape)}")
        finite("w_n", self.w_n)

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.partition.network.name}, leading term"

    @property
    def inputs(self) -> int:  # type: ignore[override]
        return self.partition.network.inputs

    @property
    def outputs_per_sample(self) -> int:  # type: ignore[override]
        return self.partition.network.outputs_per_sample

    @functools.cached_property
    def size(self) -> int:  # type: ignore[override]
        return self.partition.sizes[1]

    @property
    def degree(self) -> float:  # type: ignore[override]
        return self.partition.activation.power + 1

    @property
    def has_lipschitz_gradient(self) -> bool:  # type: ignore[override]
        return self.partition.activation.has_lipschitz_gradient

    @functools.cached_property
    def blocks(self) -> tuple[slice, ...]:  # type: ignore[override]
        return (slice(0, self.size),)

    def around(self, x: Float[Tensor, "*b n d"]) -> tuple[list[Tensor], list[Tensor]]:
        """What the kept neurons say of each sample: g_0 to g_{L-2} [.., p_l, n], and D_2 to D_L [.., n, c, p_l]."""
        fitted, activation = self.partition.fitted(self.w_n), self.partition.activation
        outputs, inner = [x.mT], []
        for matrix in fitted[:-1]:
            inner.append(matrix @ outputs[-1])
            outputs.append(activation(inner[-1]))
        derivative = torch.eye(len(fitted[-1]), dtype=x.dtype, device=x.device).expand(*x.shape[:-1], -1, -1)
        derivatives = [derivative]
        for matrix, below in zip(fitted[:1:-1], inner[:0:-1], strict=True):
            derivative = (derivative @ matrix) * activation.derivative(below).mT.unsqueeze(-2)
            derivatives.append(derivative)
        return outputs[: len(derivatives)], derivatives[::-1]

    def forward(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s o"]:
        a, b, _ = self.partition.added(w)
        around = zip(*self.around(x), a, b, strict=True)
        parts = [_outputs(d, out @ self.partition.activation(into @ g)) for g, d, into, out in around]
        return torch.stack(parts).sum(dim=0).flatten(start_dim=1)

    def preactivations(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s m"]:
        if self.has_lipschitz_gradient:
            return w.new_zeros((w.shape[0], 0))
        inputs = [into @ below for into, below in zip(self.partition.added(w).a, self.around(x)[0], strict=True)]
        return torch.cat([part.flatten(start_dim=1) for part in inputs], dim=1)

    def forward_and_pull(
        self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"], response: Response
    ) -> tuple[Float[Tensor, "s o"], Float[Tensor, "s k"]]:
        """Closed form: $M=D_{l+1}^\top z$ is z pulled back to the inputs of layer l + 1, the residual that a new neuron sees."""
        activation, (below, derivatives), (a, b, _) = self.partition.activation, self.around(x), self.partition.added(w)
        inner = [into @ g for into, g in zip(a, below, strict=True)]
        values = [activation(z) for z in inner]
        parts = [_outputs(d, out @ v) for d, out, v in zip(derivatives, b, values, strict=True)]
        outputs = torch.stack(parts).sum(dim=0).flatten(start_dim=1)
        z = response(outputs).expand_as(outputs).reshape(len(w), x.shape[-2], -1, 1)
        whole = w.new_zeros(len(w), self.partition.network.size)
        into_pull, out_pull, _ = self.partition.blocks(whole)
        for layer, (g, d) in enumerate(zip(below, derivatives, strict=True)):
            multiplier = (d.mT @ z).squeeze(-1).mT
            out_pull[layer][:] = multiplier @ values[layer].mT
            into_pull[layer][:] = activation.pull(inner[layer], b[layer].mT @ multiplier) @ g.mT
        return outputs, self.partition.split(whole)[1]


def _outputs(derivative: Float[Tensor, "*b n c p"], change: Float[Tensor, "s p n"]) -> Float[Tensor, "s n c"]:
    """What changes of the inputs of a layer make of the outputs, sample by sample."""
    return (derivative @ change.mT.unsqueeze(-1)).squeeze(-1)
