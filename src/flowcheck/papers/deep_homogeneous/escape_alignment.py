"""Alignment of the weights with the gradient of the NCF where the loss starts to fall, as in Figure 1(b)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.flows.events import loss_ratio_below
from flowcheck.flows.flow import Method, gradient_flow
from flowcheck.losses import HALF_SUM
from flowcheck.networks.network import Network
from flowcheck.networks.problem import Objective


def misalignment(
    network: Network,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "s n"],
    starts: Float[Tensor, "s k"],
    deltas: Sequence[float],
    *,
    arc: float,
    rtol: Sequence[float],
) -> Float[np.ndarray, "r s p"]:
    """1 - cos where the loss has fallen by a hundredth, for each tolerance, row of labels and scale; NaN where it has not.

    Each flow is followed for at most `arc` / ||y||.
    """
    row = torch.arange(len(y), device=x.device).repeat_interleave(len(deltas)).repeat(len(rtol))
    path = gradient_flow(
        Objective(network, x, y[row], HALF_SUM),
        starts[row],
        torch.tensor(deltas, dtype=x.dtype, device=x.device).repeat(len(rtol) * len(y)),
        rtol=torch.tensor(rtol, dtype=x.dtype, device=x.device).repeat_interleave(len(y) * len(deltas)),
        until=[loss_ratio_below(0.99)],
        length=arc / y.norm(dim=-1)[row],
        method=Method(locate_kinks=False),
    )
    gradient = network.pull(path.direction, x, y[row])
    cosine = (gradient * path.direction).sum(dim=-1) / gradient.norm(dim=-1)
    return torch.where(path.ended_by == 0, 1 - cosine, torch.nan).view(len(rtol), len(y), len(deltas)).cpu().numpy()
