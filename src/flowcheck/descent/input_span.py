"""Inputs in an orthonormal basis of their span.

Gradients of the first layer of a network are sums of outer products with inputs, so that descent moves that layer within the span
of the inputs only: in coordinates of the span it is a smaller matrix, and what lies across the span stays as it was at the start.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.tensors import Numbers, tensors

CUT = 1e-12
"""Singular values below this share of the largest are rounding of what is zero."""


@dataclass(frozen=True)
class InputSpan:
    """An orthonormal basis of the span, in its columns, and the inputs in its coordinates.

    >>> span = InputSpan.of([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0]])
    >>> span.rank
    1
    >>> span.within(torch.tensor([[1.0, 3.0, 5.0]], dtype=torch.float64)).abs().round(decimals=6).tolist()
    [[2.828427]]
    """

    basis: Float[Tensor, "d k"]
    coordinates: Float[Tensor, "n k"]

    @classmethod
    def of(cls, x: Numbers) -> InputSpan:
        """Of inputs [n, d]. Raises ValueError if they are no rows of finite numbers, or all zero."""
        (inputs,) = tensors(x=x)
        if inputs.ndim != 2:
            raise ValueError(f"x is rows of inputs [n, d], got shape {tuple(inputs.shape)}")
        _, sizes, directions = torch.linalg.svd(inputs, full_matrices=False)
        if not len(sizes) or not float(sizes[0]) > 0:
            raise ValueError("x spans nothing: all inputs are zero")
        basis = directions[: int((sizes > CUT * sizes[0]).sum())].mT.contiguous()
        return cls(basis, inputs @ basis)

    @property
    def rank(self) -> int:
        """The dimension of the span."""
        return self.basis.shape[1]

    def holds(self, x: Float[Tensor, "n d"]) -> bool:
        """Whether these are the inputs that have the coordinates."""
        if (len(x), x.shape[-1]) != (len(self.coordinates), len(self.basis)):
            return False
        return torch.allclose(self.coordinates @ self.basis.mT, x, rtol=0.0, atol=1e-9 * float(x.abs().max()))

    def within(self, layer: Float[Tensor, "*s r d"]) -> Float[Tensor, "*s r k"]:
        """A layer that reads the inputs, in coordinates of the span."""
        return layer @ self.basis

    def whole(self, within: Float[Tensor, "*s r k"], layer: Float[Tensor, "*s r d"]) -> Float[Tensor, "*s r d"]:
        """The layer with these coordinates in the span, and across it what `layer` has there."""
        return layer + (within - self.within(layer)) @ self.basis.mT
