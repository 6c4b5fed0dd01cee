r"""The gradient of the loss at the start: of order $\delta^{L-1}$ (deep_homogeneous, Section 5.1.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from flowcheck.losses import HALF_SUM
from flowcheck.measures.readings import largest_of_all, log_rate
from flowcheck.measures.refinement import Refined
from flowcheck.networks.network import Network
from flowcheck.papers.deep_homogeneous.alignment_cases import Drawn
from flowcheck.papers.homogeneous.hypotheses import ROUNDING
from flowcheck.pipeline.evidence import Found, Measurement

LARGEST_DELTA = 1e-2
"""Of a fit: the next order is then at most 1e-6 of the gradient for L = 3."""


def norms(network: Network, drawn: Drawn, deltas: Sequence[float]) -> Refined:
    """Norm of the gradient of the square loss at delta w_0, for the cases of that loss [S, D].

    A sum, known to `ROUNDING` of the sum of the sizes of its terms: those of inputs, weights and labels that are all positive.
    """
    own = drawn.cases.take((drawn.cases.loss == 0).nonzero()[:, 0])
    scales = torch.tensor(deltas, dtype=drawn.x.dtype, device=drawn.x.device)
    w = (scales[:, None] * own.starts[:, None]).flatten(0, 1)
    y = own.y.repeat_interleave(len(deltas), dim=0)
    gradient = network.pull(w, drawn.x, HALF_SUM.residual(network.forward(w, drawn.x), y))
    sizes = w.abs(), drawn.x.abs()
    terms = network.pull(*sizes, y.abs() + network.forward(*sizes))
    found, rounding = (part.norm(dim=-1).view(-1, len(deltas)).cpu().numpy() for part in (gradient, ROUNDING * terms))
    return Refined(found, rounding)


def slope_gaps(powers: Mapping[str, Drawn], mixture: Network, on: Drawn, deltas: Sequence[float]) -> Found:
    """Largest distance of the slope to L - 1; as a control to 2 of a `mixture` of degrees, with the data and starts of `on`."""
    slopes = [slope(norms(drawn.network, drawn, deltas), deltas) for drawn in powers.values()]
    mixed = slope(norms(mixture, on, deltas), deltas)
    gaps = np.array([abs(found.value - (drawn.network.degree - 1)) for found, drawn in zip(slopes, powers.values(), strict=True)])
    gap = largest_of_all(gaps, np.array([found.error for found in slopes]))
    return {
        "gradient_slope_gap_max": replace(gap, n=sum(found.n or 0 for found in (*slopes, mixed))),
        "gradient_slope_gap_mixture": Measurement(abs(mixed.value - 2), mixed.error, n=mixed.n),
    }


def slope(found: Refined, deltas: Sequence[float]) -> Measurement:
    """Of the logarithm of the norm on that of delta, up to `LARGEST_DELTA`."""
    small = np.broadcast_to(np.array(deltas) <= LARGEST_DELTA, found.value.shape)
    return log_rate(np.array(deltas), found.value, found.error, small)
