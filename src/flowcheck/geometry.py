"""Unit vectors and the angles between them, without cancellation."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def unit(u: Float[Tensor, "*s k"]) -> Float[Tensor, "*s k"]:
    """Rows divided by their norms.

    >>> unit(torch.tensor([3.0, 4.0], dtype=torch.float64)).tolist()
    [0.6, 0.8]
    """
    return u / u.norm(dim=-1, keepdim=True)


def angle(u: Float[Tensor, "*s k"], v: Float[Tensor, "*#s k"]) -> Float[Tensor, "*s"]:
    """Angle between rows, in [0, π]; accurate near 0 and π, where the arccosine of a product is not.

    >>> u, v = torch.tensor([[1.0, 0.0], [1.0, 1e-12]], dtype=torch.float64)
    >>> angle(u, v).item(), torch.arccos(unit(u) @ unit(v)).item()
    (1e-12, 0.0)
    """
    a, b = unit(u), unit(v)
    return 2.0 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1))


def misalignment(a: Float[Tensor, "*s k"], b: Float[Tensor, "*#s k"]) -> Float[Tensor, "*s"]:
    r"""$1-\cos$ of the angle between rows, accurate near 0.

    >>> u, v = torch.tensor([[1.0, 0.0], [1.0, 1e-10]], dtype=torch.float64)
    >>> f"{misalignment(u, v).item():.3g}"  # half the square of the angle
    '5e-21'
    """
    return 2 * torch.sin(0.5 * angle(a, b)).square()
