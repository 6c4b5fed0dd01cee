r"""Positively homogeneous networks made of layers, as batched forwards over weights [S, k].

A network maps inputs x and weights w [S, k] to outputs $\mathcal H(X;w)$ [S, n c], c for each sample; x is [n, d], or [S, n, d]
where each run has inputs of its own. It satisfies $\mathcal H(x;aw)=a^L\mathcal H(x;w)$ for $a\ge0$. It is written once, as a
forward; the product of its Jacobian with a vector, $\mathcal J(X;w)^\top z$, comes from autograd, or from a closed form where the
structure has one.

Adjacent linear layers are multiplied before they meet the data. The derivative of $\max(x,ax)$ at 0 is $\min(1,a)$: 0 for ReLU.
"""

from __future__ import annotations

import functools
import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.arguments import array, whole
from flowcheck.networks.activation import IDENTITY, Activation
from flowcheck.networks.network import Network, Response

Readout = Literal["sum", "units"]
"""What a network gives for a sample: the sum of the units of its last layer, or each of them."""


@dataclass(frozen=True)
class Layer:
    """`rows` units and their activation. `fixed` holds the matrix [rows, columns] of a layer that is not trained."""

    rows: int
    activation: Activation = IDENTITY
    fixed: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", whole("the units of a layer", self.rows, 1))
        if self.fixed is not None and not all(math.isfinite(entry) for row in self.fixed for entry in row):
            raise ValueError(f"a fixed layer holds numbers that are not finite: {reprlib.repr(self.fixed)}")

    @classmethod
    def constant(cls, matrix: np.ndarray | Sequence[Sequence[float]], activation: Activation = IDENTITY) -> Layer:
        entries = array("a fixed layer", matrix)
        if entries.ndim != 2:
            raise ValueError(f"a fixed layer is a matrix, got shape {tuple(entries.shape)}")
        rows = tuple(tuple(row) for row in entries.tolist())
        return cls(len(rows), activation, rows)


@dataclass(frozen=True)
class FeedForward(Network):
    """Layers applied one after the other. What is read off the last one is the sum of its units, or the units themselves.

    Weights are the trainable layers, first layer first, each [rows, columns] row by row. Separable into its units where it has
    one trainable layer followed by nothing that mixes units non-linearly.
    """

    name: str
    inputs: int
    layers: tuple[Layer, ...]
    readout: Readout = "sum"

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", whole(f"{self.name}: inputs", self.inputs, 1))
        columns = self.inputs
        for position, layer in enumerate(self.layers, 1):
            if layer.fixed is not None and any(len(row) != columns for row in layer.fixed):
                raise ValueError(f"{self.name}: fixed layer {position} needs {columns} columns")
            columns = layer.rows
        if self.degree <= 0:
            raise ValueError(f"{self.name}: no layer is trainable")

    @functools.cached_property
    def outputs_per_sample(self) -> int:  # type: ignore[override]
        """One if the units of the last layer are summed, else their number."""
        return 1 if self.readout == "sum" else self.layers[-1].rows

    def read(self, units: Float[Tensor, "*s h n"]) -> Float[Tensor, "*s o"]:
        """The outputs: what is read off the last layer, sample by sample."""
        return units.sum(dim=-2) if self.readout == "sum" else units.mT.flatten(start_dim=-2)

    def _spread(self, z: Tensor) -> Tensor:
        """The transpose of `read`: z [.., n c] for each unit of the last layer, [.., 1 or h, n]."""
        return z.unsqueeze(-2) if self.readout == "sum" else z.reshape(*z.shape[:-1], -1, self.outputs_per_sample).mT

    @functools.cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Shapes of the trainable layers."""
        columns = [self.inputs, *(layer.rows for layer in self.layers)]
        return tuple((layer.rows, columns[j]) for j, layer in enumerate(self.layers) if layer.fixed is None)

    @functools.cached_property
    def size(self) -> int:  # type: ignore[override]
        return sum(rows * columns for rows, columns in self.shapes)

    @functools.cached_property
    def degree(self) -> float:  # type: ignore[override]
        """Each trainable layer adds one, each activation multiplies by its power."""
        return sum(self.layer_degrees)

    @functools.cached_property
    def _sizes(self) -> list[int]:
        return [rows * columns for rows, columns in self.shapes]

    @functools.cached_property
    def layer_degrees(self) -> tuple[float, ...]:
        """Degree in each trainable layer; they sum to L."""
        degrees: list[float] = []
        for layer in self.layers:
            degrees = [d * layer.activation.power for d in [*degrees, *([1.0] if layer.fixed is None else [])]]
        return tuple(int(d) if d == int(d) else d for d in degrees)

    @functools.cached_property
    def input_degree(self) -> float:
        """Degree in the input x."""
        return math.prod(layer.activation.power for layer in self.layers)

    @functools.cached_property
    def has_lipschitz_gradient(self) -> bool:  # type: ignore[override]
        return all(layer.activation.has_lipschitz_gradient for layer in self.layers)

    @functools.cached_property
    def blocks(self) -> tuple[slice, ...]:  # type: ignore[override]
        trainable = [j for j, layer in enumerate(self.layers) if layer.fixed is None]
        separable = trainable == [0] and all(layer.activation.is_identity for layer in self.layers[1:])
        if not separable:
            return (slice(0, self.size),)
        return tuple(slice(j * self.inputs, (j + 1) * self.inputs) for j in range(self.layers[0].rows))

    def unpack(self, w: Float[Tensor, "s k"]) -> list[Tensor]:
        """The trainable layers, each [S, rows, columns]."""
        parts = (w,) if len(self.shapes) == 1 else torch.split_with_sizes(w, self._sizes, dim=-1)
        return [part.view(*w.shape[:-1], *shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def forward(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s o"]:
        carried = x.mT
        for matrices, activation in self.segments(w):
            carried = activation(_product([matrix for matrix, _ in matrices]) @ carried)
        return self.read(carried)

    def forward_and_pull(
        self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"], response: Response
    ) -> tuple[Float[Tensor, "s o"], Float[Tensor, "s k"]]:
        """Closed form of the base class's autograd: back-propagation, segment by segment."""
        carried, tape = x.mT, []
        for matrices, activation in self.segments(w):
            product = _product([matrix for matrix, _ in matrices])
            z = product @ carried
            tape.append((matrices, activation, product, carried, z))
            carried = activation(z)
        outputs = self.read(carried)
        upstream = self._spread(response(outputs))
        gradients: list[Tensor] = []
        for matrices, activation, product, below, z in reversed(tape):
            delta = activation.pull(z, upstream)
            if below is not tape[0][3]:
                upstream = product.mT @ delta
            through = delta @ below.mT
            for j in range(len(matrices) - 1, -1, -1):
                matrix, trainable = matrices[j]
                if trainable:
                    gradients.append(through if j == 0 else through @ _product([m for m, _ in matrices[:j]]).mT)
                if j > 0:
                    through = matrix.mT @ through
        return outputs, torch.cat([g.flatten(start_dim=-2) for g in reversed(gradients)], dim=-1)

    def preactivations(self, w: Float[Tensor, "s k"], x: Float[Tensor, "*b n d"]) -> Float[Tensor, "s m"]:
        carried, kinked = x.mT, [w.new_zeros((w.shape[0], 0))]
        for matrices, activation in self.segments(w):
            z = _product([matrix for matrix, _ in matrices]) @ carried
            if not activation.has_lipschitz_gradient:
                kinked.append(z.expand(w.shape[0], *z.shape[-2:]).flatten(start_dim=-2))
            carried = activation(z)
        return torch.cat(kinked, dim=-1)

    def output_bound(self, x: Float[Tensor, "n d"]) -> float:
        r"""$\beta\le C\,\prod_l(m_l/L)^{m_l/2}\,(\sum_i\|x_i\|^{2M})^{1/2}$ ; m_l and M: degrees in layer l and in the input.

        $|\mathcal H(x;w)|\le C\|x\|^M\prod_l\|W_l\|^{m_l}$, maximised over the sphere; C collects spectral norms of fixed layers,
        slopes, and $\sqrt{h}$ for a last sum of h units of power one. Of several outputs it is the norm of all.
        """
        peak = math.prod((m / self.degree) ** (0.5 * m) for m in self.layer_degrees)
        return self._constant * peak * self._input_norm(x)

    def jacobian_bound(self, x: Float[Tensor, "n d"]) -> float:
        r"""Upper bound of alpha, with C, m_l and M of `output_bound`:

        $\alpha\le C\bigl(\sum_l m_l^2\prod_j(\tfrac{m_j-\delta_{jl}}{L-1})^{m_j-\delta_{jl}}\sum_i\|x_i\|^{2M}\bigr)^{1/2}$.

        $\|\partial\mathcal H/\partial W_l\|\le m_l\,C\|x\|^M\prod_j\|W_j\|^{m_j-\delta_{jl}}$, each term maximised on its own.
        """
        total = 0.0
        for position, m in enumerate(self.layer_degrees):
            rest = [d - (j == position) for j, d in enumerate(self.layer_degrees)]
            total += m**2 * math.prod((r / (self.degree - 1)) ** r for r in rest if r > 0)
        return self._constant * math.sqrt(total) * self._input_norm(x)

    def jacobian_lipschitz_bound(self, x: Float[Tensor, "n d"], radius: float) -> float | None:
        r"""$L(L-1)\,\text{radius}^{L-2}\,C\,(\sum_i\|x_i\|^{2L})^{1/2}$ for one trainable layer, of power L >= 2; else None."""
        if len(self.shapes) > 1 or self.layer_degrees[0] != self.layers[0].activation.power or not self.has_lipschitz_gradient:
            return None
        degree = self.degree
        return degree * (degree - 1) * radius ** (degree - 2) * self._constant * self._input_norm(x)

    @functools.cached_property
    def _constant(self) -> float:
        """C of `output_bound`. Summing h units costs nothing for a power p >= 2, as ‖z‖_p <= ‖z‖_2, and a root of h below."""
        layers, readout, last = list(self.layers), 1.0, self.layers[-1]
        if len(layers) > 1 and last.fixed is not None and last.rows == 1 and last.activation.is_identity:
            layers.pop()
            row = torch.tensor(last.fixed[0], dtype=torch.float64, device="cpu")
            readout = float(row.abs().max() if layers[-1].activation.power >= 2 else row.norm())
        elif self.readout == "sum" and layers[-1].activation.power < 2:
            readout = math.sqrt(layers[-1].rows)
        constant = 1.0
        for layer in layers:
            if layer.fixed is not None:
                constant *= float(torch.linalg.matrix_norm(torch.tensor(layer.fixed, dtype=torch.float64, device="cpu"), ord=2))
            constant = (constant * max(1.0, abs(layer.activation.slope))) ** layer.activation.power
        return constant * readout

    def _input_norm(self, x: Float[Tensor, "n d"]) -> float:
        return float((x.norm(dim=-1) ** (2 * self.input_degree)).sum().sqrt())

    def segments(self, w: Tensor) -> list[tuple[list[tuple[Tensor, bool]], Activation]]:
        """Runs of layers that end with a non-linear activation: matrices with their being trainable, and the activation."""
        trained = iter(self.unpack(w))
        found, matrices = [], []
        for layer in self.layers:
            matrix = next(trained) if layer.fixed is None else self._fixed(layer, w)
            matrices.append((matrix, layer.fixed is None))
            if not layer.activation.is_identity:
                found.append((matrices, layer.activation))
                matrices = []
        if matrices:
            found.append((matrices, IDENTITY))
        return found

    def _fixed(self, layer: Layer, w: Tensor) -> Tensor:
        return _constant_tensor(layer.fixed, w.dtype, str(w.device))


@functools.cache
def _constant_tensor(rows: tuple[tuple[float, ...], ...], dtype: torch.dtype, device: str) -> Tensor:
    with torch.inference_mode(False):  # it outlives the flow that asks first
        return torch.tensor(rows, dtype=dtype, device=device)


def _product(matrices: Sequence[Tensor]) -> Tensor:
    """Last @ ... @ first."""
    return functools.reduce(lambda below, matrix: matrix @ below, matrices)
