"""Networks whose layers are matrices with tied entries: fully connected and convolutional ones, without biases.

Every entry of a layer's matrix is zero or one of the layer's weights, and no weight stands twice in a row (continuous_discrete,
Appendix C). A convolution is such a matrix; so is a matrix that is not tied at all. The activation is linear on either side of 0.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.arguments import number, wholes
from flowcheck.errors import ConfigError
from flowcheck.networks.network import Network, Response


@dataclass(frozen=True)
class TiedLayer:
    """One layer: `index` [rows, columns] names the weight at each entry, -1 is a zero.

    Raises ConfigError if a weight stands twice in a row, or a number between the largest and 0 names none.
    """

    index: Int[Tensor, "r c"]

    def __post_init__(self) -> None:
        """The two conditions of Appendix C."""
        for row in self.index:
            named = row[row >= 0]
            if bool((torch.bincount(named) > 1).any()):
                raise ConfigError("a weight stands twice in a row of a tied layer")
        if bool((torch.bincount(self.index[self.index >= 0], minlength=self.size) == 0).any()):
            raise ConfigError("a tied layer names its weights 0, 1, ... without a gap")

    @classmethod
    def dense(cls, rows: int, columns: int) -> TiedLayer:
        """A matrix whose entries are all weights of their own."""
        return cls(torch.arange(rows * columns, device="cpu").reshape(rows, columns))

    @classmethod
    def convolution(cls, channels: tuple[int, int], image: tuple[int, int], kernel: int, stride: int = 1) -> TiedLayer:
        """The matrix of a two-dimensional convolution from channels[0] images of this height and width to channels[1].

        Weights are numbered as `torch.nn.functional.conv2d` has them, flat images channel by channel.

        >>> TiedLayer.convolution((1, 1), (1, 3), 1, 2).index.tolist()
        [[0, -1, -1], [-1, -1, 0]]
        """
        height, width = image
        down, across = (height - kernel) // stride + 1, (width - kernel) // stride + 1
        index = torch.full((channels[1], down, across, channels[0], height, width), -1, device="cpu")
        numbers = torch.arange(kernel**2, device="cpu").reshape(kernel, kernel)
        for into in range(channels[1]):
            for a in range(down):
                for b in range(across):
                    for out in range(channels[0]):
                        window = (into * channels[0] + out) * kernel**2 + numbers
                        rows, columns = slice(a * stride, a * stride + kernel), slice(b * stride, b * stride + kernel)
                        index[into, a, b, out, rows, columns] = window
        return cls(index.reshape(channels[1] * down * across, channels[0] * height * width))

    @functools.cached_property
    def size(self) -> int:
        """How many weights it has."""
        return int(self.index.max()) + 1

    @functools.cached_property
    def operator_norm(self) -> float:
        """The largest Frobenius norm of the matrix of unit weights: the root of how often a weight stands in it (footnote 27)."""
        counts = torch.bincount(self.index[self.index >= 0].flatten(), minlength=self.size)
        return float(counts.max()) ** 0.5

    @functools.cached_property
    def _is_dense(self) -> bool:
        return torch.equal(self.index, torch.arange(self.index.numel(), device=self.index.device).view_as(self.index))

    @functools.cached_property
    def _entries(self) -> Int[Tensor, " e"]:
        """The weight of each entry, row by row; that of a zero is one more than the last."""
        return torch.where(self.index < 0, self.size, self.index).flatten()

    def matrix(self, w: Float[Tensor, "*s k"]) -> Float[Tensor, "*s r c"]:
        """The matrix with these weights."""
        if self._is_dense:
            return w.reshape(*w.shape[:-1], *self.index.shape)
        padded = torch.nn.functional.pad(w, (0, 1))
        return padded[..., self.index]

    def collect(self, entries: Float[Tensor, "s r c"]) -> Float[Tensor, "s k"]:
        """The transpose of `matrix`: for each weight the sum of the entries where it stands.

        >>> TiedLayer(torch.tensor([[0, -1], [-1, 0]])).collect(torch.tensor([[[1.0, 2.0], [4.0, 8.0]]])).tolist()
        [[9.0]]
        """
        flat = entries.flatten(start_dim=-2)
        if self._is_dense:
            return flat
        return flat.new_zeros((len(flat), self.size + 1)).index_add(1, self._entries, flat)[:, :-1]


@dataclass(frozen=True)
class TiedNetwork(Network):
    """Layers with the activation z -> above max(z, 0) - below max(-z, 0) between them, and none after the last.

    Attributes:
        above, below: slopes of the activation on the positive and on the negative side. (1, 1) is a linear network, (1, 0) ReLU.
    """

    name: str
    layers: tuple[TiedLayer, ...]
    above: float = 1.0
    below: float = 0.0

    def __post_init__(self) -> None:
        """Raises ConfigError if two layers do not fit."""
        for lower, upper in zip(self.layers[:-1], self.layers[1:], strict=True):
            if lower.index.shape[0] != upper.index.shape[1]:
                raise ConfigError(
                    f"{self.name}: a layer of {lower.index.shape[0]} rows under one of {upper.index.shape[1]} columns"
                )

    @classmethod
    def fully_connected(cls, widths: Sequence[int], above: float = 1.0, below: float = 0.0) -> TiedNetwork:
        """With these numbers of units: inputs, hidden layers, outputs. Raises ValueError where an argument is none.

        >>> TiedNetwork.fully_connected([3, 2, 1]).size
        8
        """
        units, slopes = wholes("widths", widths, 1), (number("above", above), number("below", below))
        if len(units) < 2:
            raise ValueError(f"widths are those of inputs, hidden layers and outputs, got {units}")
        return cls(
            "fully connected", tuple(TiedLayer.dense(rows, columns) for columns, rows in itertools.pairwise(units)), *slopes
        )

    @functools.cached_property
    def inputs(self) -> int:  # type: ignore[override]
        return int(self.layers[0].index.shape[1])

    @functools.cached_property
    def outputs_per_sample(self) -> int:  # type: ignore[override]
        return int(self.layers[-1].index.shape[0])

    @functools.cached_property
    def size(self) -> int:  # type: ignore[override]
        return sum(layer.size for layer in self.layers)

    @property
    def degree(self) -> float:  # type: ignore[override]
        return len(self.layers)

    @property
    def has_lipschitz_gradient(self) -> bool:  # type: ignore[override]
        return self.above == self.below

    @property
    def blocks(self) -> tuple[slice, ...]:  # type: ignore[override]
        return (slice(0, self.size),)

    @property
    def steepest(self) -> float:
        """The larger of the two slopes, without signs."""
        return max(abs(self.above), abs(self.below))

    def parts(self, w: Float[Tensor, "*s k"]) -> list[Tensor]:
        """The weights of each layer."""
        return list(torch.split(w, [layer.size for layer in self.layers], dim=-1))

    def matrices(self, w: Float[Tensor, "*s k"]) -> list[Tensor]:
        """The matrix of each layer."""
        return [layer.matrix(part) for layer, part in zip(self.layers, self.parts(w), strict=True)]

    def activation(self, z: Tensor) -> Tensor:
        """Its slope at 0 is that of the negative side."""
        return torch.where(z > 0, self.above * z, self.below * z)

    def slopes(self, z: Tensor) -> Tensor:
        """Of the activation at each entry."""
        return torch.where(z > 0, torch.full_like(z, self.above), torch.full_like(z, self.below))

    def forward(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s o"]:
        *hidden, last = self.matrices(w)
        units = x.mT
        for matrix in hidden:
            units = self.activation(matrix @ units)
        return (last @ units).mT.flatten(start_dim=-2)

    def forward_and_pull(
        self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"], response: Response
    ) -> tuple[Float[Tensor, "s o"], Float[Tensor, "s k"]]:
        """Layer by layer: a gather and a scatter for tied weights, which autograd does ten times as slowly."""
        with torch.no_grad():
            matrices, units, slopes = self.matrices(w), [x.mT], []
            for matrix in matrices[:-1]:
                z = matrix @ units[-1]
                slopes.append(self.slopes(z))
                units.append(slopes[-1] * z)
            last = matrices[-1] @ units[-1]
            outputs = last.mT.flatten(start_dim=-2)
            upstream = response(outputs).expand_as(outputs).reshape(last.mT.shape).mT
            pulls = []
            for j in range(len(matrices) - 1, -1, -1):
                pulls.append(self.layers[j].collect(upstream @ units[j].mT))
                if j:
                    upstream = slopes[j - 1] * (matrices[j].mT @ upstream)
            return outputs, torch.cat(pulls[::-1], dim=-1)

    def layerwise(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> list[Tensor]:
        """What enters the activation after each layer but the last, [s, rows, n] each."""
        units, found = x.mT, []
        for matrix in self.matrices(w)[:-1]:
            found.append(matrix @ units)
            units = self.activation(found[-1])
        return found

    def preactivations(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s m"]:
        if self.has_lipschitz_gradient:
            return w.new_zeros((w.shape[0], 0))
        return torch.cat([z.flatten(start_dim=-2) for z in self.layerwise(w, x)], dim=-1)
