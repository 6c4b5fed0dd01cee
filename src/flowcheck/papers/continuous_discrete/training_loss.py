r"""The training loss of Eq. (9): the mean over samples of a convex loss of the outputs, and its second derivatives by formula.

Lemmas 5, 9 and 21 are one formula: with the slopes $D'_{i,j}$ of the activation in a region, Eq. (30), which is Eq. (16) where no
weights are tied and Eq. (12) where the activation is linear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.losses import Loss
from flowcheck.networks.tied import TiedNetwork

Pattern = list[Float[Tensor, "_ n"]]
"""Slopes of the activation at each unit of each layer but the last, for each sample."""


@dataclass(frozen=True)
class TrainingLoss:
    """The mean loss of a network on n samples.

    Attributes:
        x: inputs, [n, d].
        y: labels, flat [n c].
        loss: of the outputs of one sample; its normalisation is that of a sum.
    """

    network: TiedNetwork
    x: Float[Tensor, "n d"]
    y: Float[Tensor, " o"]
    loss: Loss

    @property
    def samples(self) -> int:
        """N."""
        return len(self.x)

    @property
    def labels(self) -> Float[Tensor, "n c"]:
        """A row for each sample."""
        return self.y.reshape(self.samples, -1)

    def at(self, w: Float[Tensor, " k"]) -> Tensor:
        """The loss at one point."""
        return self.loss.value(self.network.forward(w[None], self.x), self.y)[0] / self.samples

    def of_one(self, outputs: Float[Tensor, " c"], label: Float[Tensor, " c"]) -> Tensor:
        """The loss of one sample."""
        return self.loss.value(outputs[None], label)[0]

    def slopes(self, outputs: Float[Tensor, "n c"]) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n c c"]]:
        """Gradient and Hessian of the loss of each sample in its outputs."""
        gradient: Callable[..., Tensor] = torch.func.vmap(torch.func.grad(self.of_one))
        hessian: Callable[..., Tensor] = torch.func.vmap(torch.func.hessian(self.of_one))
        return gradient(outputs, self.labels), hessian(outputs, self.labels)

    def outputs(self, w: Float[Tensor, " k"]) -> Float[Tensor, "n c"]:
        """Of each sample."""
        return self.network.forward(w[None], self.x).reshape(self.samples, -1)

    def pattern(self, w: Float[Tensor, " k"]) -> Pattern:
        """The slopes of the activation in the region of a point."""
        return [self.network.slopes(z[0]) for z in self.network.layerwise(w[None], self.x)]

    def linearised(self, w: Float[Tensor, " k"], pattern: Pattern) -> Float[Tensor, "n c"]:
        """The outputs if the slopes are those of another point: Eq. (15) and (29)."""
        *hidden, last = self.network.matrices(w)
        units = self.x.mT
        for matrix, slopes in zip(hidden, pattern, strict=True):
            units = slopes * (matrix @ units)
        return (last @ units).mT

    def second_derivative(
        self, w: Float[Tensor, " k"], along: Float[Tensor, " k"], pattern: Pattern | None = None, pairs: float = 2.0
    ) -> Tensor:
        """The Hessian as a quadratic form, by Eq. (30), layer by layer and pair by pair of layers.

        `pattern` is that of the point by default. `pairs` is the factor before the second sum, 2 in the paper.
        """
        slopes = self.pattern(w) if pattern is None else pattern
        first, second = _two_sums(self.network.matrices(w), self.network.matrices(along), slopes, self.x)
        gradient, hessian = self.slopes(self.linearised(w, slopes))
        curved = torch.einsum("cn,ncd,dn->", first, hessian, first)
        return (curved + pairs * torch.einsum("nc,cn->", gradient, second)) / self.samples


def _two_sums(
    matrices: list[Tensor], changes: list[Tensor], slopes: Pattern, x: Float[Tensor, "n d"]
) -> tuple[Float[Tensor, "c n"], Float[Tensor, "c n"]]:
    """The sums over layers, and over pairs of layers j < j', inside the brackets of Eq. (30), for each sample."""
    depth = len(matrices)
    ones = [*slopes, torch.ones_like(matrices[-1] @ x.new_zeros(matrices[-1].shape[1], len(x)))]

    def through(units: Tensor, begin: int, end: int) -> Tensor:
        """Layers begin to end, each followed by its slopes."""
        for j in range(begin, end + 1):
            units = ones[j] * (matrices[j] @ units)
        return units

    below = [through(x.mT, 0, j - 1) for j in range(depth)]
    changed = [ones[j] * (changes[j] @ below[j]) for j in range(depth)]
    first = torch.stack([through(changed[j], j + 1, depth - 1) for j in range(depth)]).sum(dim=0)
    pairs = [
        through(ones[upper] * (changes[upper] @ through(changed[lower], lower + 1, upper - 1)), upper + 1, depth - 1)
        for lower in range(depth)
        for upper in range(lower + 1, depth)
    ]
    return first, torch.stack(pairs).sum(dim=0) if pairs else torch.zeros_like(first)
