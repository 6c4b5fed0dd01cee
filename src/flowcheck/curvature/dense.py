"""The whole Hessian of a function of the weights, for networks of up to some hundred weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def hessian_at(loss: Callable[[Tensor], Tensor], w: Float[Tensor, " k"]) -> Float[Tensor, "k k"]:
    """Second derivatives of `loss`, which takes one point [k] to a scalar, at one point; symmetric to the last digit.

    Forward over reverse differentiation: one pull and k pushes. It may be differentiated itself, and mapped over points.
    Of layer normalisation torch 2.13 has a wrong forward derivative of the gradient: `HessianProducts` goes backwards twice.
    """
    found: Tensor = torch.func.hessian(loss)(w)
    return (found + found.mT) / 2


def hessian(loss: Callable[[Tensor], Tensor], w: Float[Tensor, "s k"]) -> Float[Tensor, "s k k"]:
    """`hessian_at` at many points.

    >>> hessian(lambda w: (w**3).sum(), torch.tensor([[1.0, 2.0]])).tolist()
    [[[6.0, 0.0], [0.0, 12.0]]]
    """
    found: Tensor = torch.func.vmap(lambda point: hessian_at(loss, point))(w)
    return found


def smallest_eigenvalue_at(loss: Callable[[Tensor], Tensor], w: Float[Tensor, " k"]) -> Tensor:
    """The smallest eigenvalue of the Hessian at one point."""
    smallest: Tensor = torch.linalg.eigvalsh(hessian_at(loss, w))[0]
    return smallest


def smallest_eigenvalue(loss: Callable[[Tensor], Tensor], w: Float[Tensor, "s k"]) -> Float[Tensor, " s"]:
    """The smallest eigenvalue of the Hessian at each point.

    >>> smallest_eigenvalue(lambda w: (w**3).sum(), torch.tensor([[1.0, -2.0]])).tolist()
    [-12.0]
    """
    smallest: Tensor = torch.linalg.eigvalsh(hessian(loss, w))[:, 0]
    return smallest
