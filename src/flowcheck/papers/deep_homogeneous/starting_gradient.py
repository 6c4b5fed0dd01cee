r"""The gradient of the loss at the start: of order $\delta^{L-1}$ (deep_homogeneous, Section 5.1.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float

from flowcheck.losses import HALF_SUM
from flowcheck.measures.readings import rate
from flowcheck.networks.network import Network
from flowcheck.papers.deep_homogeneous.alignment_cases import Drawn
from flowcheck.pipeline.evidence import Found, Measurement

LARGEST_DELTA = 1e-2
"""Of a fit: the next order is then at most 1e-6 of the gradient for L = 3."""


def norms(network: Network, drawn: Drawn, deltas: Sequence[float]) -> Float[np.ndarray, "s d"]:
    """Norm of the gradient of the square loss at delta w_0, for the cases of that loss."""
    own = drawn.cases.take((drawn.cases.loss == 0).nonzero()[:, 0])
    scales = torch.tensor(deltas, dtype=drawn.x.dtype, device=drawn.x.device)
    w = (scales[:, None] * own.starts[:, None]).flatten(0, 1)
    residual = HALF_SUM.residual(network.forward(w, drawn.x), own.y.repeat_interleave(len(deltas), dim=0))
    return network.pull(w, drawn.x, residual).norm(dim=-1).view(-1, len(deltas)).cpu().numpy()


def slope_gaps(powers: Mapping[str, Drawn], mixture: Network, on: Drawn, deltas: Sequence[float]) -> Found:
    """Largest distance of the slope to L - 1; as a control to 2 of a `mixture` of degrees, with the data and starts of `on`."""
    slopes = {name: slope(norms(drawn.network, drawn, deltas), deltas) for name, drawn in powers.items()}
    mixed = slope(norms(mixture, on, deltas), deltas)
    gap = max(abs(slopes[name].value - (drawn.network.degree - 1)) for name, drawn in powers.items())
    count = sum(found.n or 0 for found in (*slopes.values(), mixed))
    return {
        "gradient_slope_gap_max": Measurement(gap, 1e-9, n=count),
        "gradient_slope_gap_mixture": Measurement(abs(mixed.value - 2), 1e-9, n=mixed.n),
    }


def slope(found: Float[np.ndarray, "s d"], deltas: Sequence[float]) -> Measurement:
    """Of the logarithm of the norm on that of delta, up to `LARGEST_DELTA`."""
    x = np.broadcast_to(np.log(np.array(deltas)), found.shape)
    return rate(x, np.log(found), np.full(x.shape, 1e-12), x <= np.log(LARGEST_DELTA))
