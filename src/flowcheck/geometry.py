"""Unit vectors and the angles between them, without cancellation, in the precision of what is given."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.tensors import Numbers, floating


def unit(u: Numbers) -> Float[Tensor, "*s k"]:
    """Rows divided by their norms, NaN where a row is zero.

    >>> unit(torch.tensor([[3.0, 4.0], [3e-200, 4e-200]], dtype=torch.float64)).tolist()
    [[0.6, 0.8], [0.6, 0.8]]
    """
    rows = _rows("u", u)
    scaled = rows / _scale(rows)
    return scaled / scaled.norm(dim=-1, keepdim=True)


def directed(name: str, rows: Float[Tensor, "s k"]) -> Float[Tensor, "s k"]:
    """The rows. Raises ValueError if one is the origin, which has no direction; what is no number passes.

    >>> directed("start", torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    Traceback (most recent call last):
    ValueError: start 1 has no direction: it is the origin
    """
    leads = (rows != 0).any(dim=-1)
    if not bool(leads.all()):
        raise ValueError(f"{name} {int((~leads).nonzero()[0])} has no direction: it is the origin")
    return rows


def norm(u: Numbers) -> Float[Tensor, "*s"]:
    """Euclidean norms of rows, of those too whose squares leave float64.

    >>> norm(torch.tensor([[3.0, 4.0], [3e-200, 4e-200]], dtype=torch.float64)).tolist()
    [5.0, 5e-200]
    """
    rows = _rows("u", u)
    scale = _scale(rows)
    return scale.squeeze(-1) * (rows / scale).norm(dim=-1)


def angle(u: Numbers, v: Numbers) -> Float[Tensor, "*s"]:
    """Angle between rows, in [0, π]; accurate near 0 and π, where the arccosine of a product is not. NaN where one is zero.

    >>> u, v = torch.tensor([[1.0, 0.0], [1.0, 1e-12]], dtype=torch.float64)
    >>> angle(u, v).item(), torch.arccos(unit(u) @ unit(v)).item()
    (1e-12, 0.0)
    """
    first, second = _rows("u", u), _rows("v", v)
    if first.shape[-1] != second.shape[-1]:
        raise ValueError(f"u and v are vectors of one length, got u {tuple(first.shape)} and v {tuple(second.shape)}")
    precision = torch.promote_types(first.dtype, second.dtype)
    a, b = unit(first.to(precision)), unit(second.to(precision))
    return 2.0 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1))


def misalignment(u: Numbers, v: Numbers) -> Float[Tensor, "*s"]:
    r"""$1-\cos$ of the angle between rows, accurate near 0; NaN where one of them is zero.

    >>> u, v = torch.tensor([[1.0, 0.0], [1.0, 1e-10]], dtype=torch.float64)
    >>> f"{misalignment(u, v).item():.3g}"  # half the square of the angle
    '5e-21'
    """
    return 2 * torch.sin(0.5 * angle(u, v)).square()


def _rows(name: str, given: Numbers) -> Float[Tensor, "*s k"]:
    """Raises ValueError if there is no last dimension, or nothing in it."""
    rows = floating(name, given)
    if not rows.ndim or not rows.shape[-1]:
        raise ValueError(f"{name} must hold vectors, got shape {tuple(rows.shape)}")
    return rows


def _scale(u: Float[Tensor, "*s k"]) -> Float[Tensor, "*s 1"]:
    """A power of two that is at most the largest entry of each row: to divide by it rounds nothing."""
    return torch.exp2((torch.frexp(torch.linalg.vector_norm(u.detach(), torch.inf, -1, True)).exponent - 1).to(u.dtype))
