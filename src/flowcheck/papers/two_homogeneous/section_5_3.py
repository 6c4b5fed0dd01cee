r"""Section 5.3 of two_homogeneous: how far the direction turns in a fixed time, for degrees two, three and four."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck import geometry
from flowcheck.flows.flow import gradient_flow
from flowcheck.losses import HALF_SUM
from flowcheck.measures.readings import log_rate
from flowcheck.measures.refinement import ROUNDING, Refined
from flowcheck.networks.network import Network
from flowcheck.networks.problem import Objective
from flowcheck.papers.homogeneous.early_alignment import from_limit, refined
from flowcheck.pipeline.evidence import Found, Measurement

FINER = 1e-2
"""Of the tolerance of other flows: angles of order delta^2 are to be told."""
LARGEST_DELTA, RESOLUTION = 1e-2, 100.0
"""Of a fit: where the expansion in delta holds, and an angle is at least so many times its own error."""


def turned(
    network: Network,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "s o"],
    starts: Float[Tensor, "s k"],
    *,
    time: float,
    deltas: Sequence[float],
    rtol: float,
) -> Refined:
    r"""$1-\cos$ of the angle of w(T) and w_0 at T = `time`, [S, D], with what a larger tolerance and rounding move.

    Every step, and the start, rounds the direction by at most `ROUNDING`.
    """
    scales = torch.tensor(deltas, dtype=x.dtype, device=x.device).repeat(len(starts))
    y, starts = (part.repeat_interleave(len(deltas), dim=0) for part in (y, starts))
    length = time * scales ** (network.degree - 2)
    paths = [
        gradient_flow(Objective(network, x, y, HALF_SUM), starts, scales, rtol=tolerance, length=length, clock="time")
        for tolerance in (rtol * FINER, rtol)
    ]
    angles = refined(*(geometry.misalignment(path.direction, starts).view(-1, len(deltas)) for path in paths))
    steps = paths[0].steps.view(-1, len(deltas)).cpu().numpy()
    return from_limit(angles, ROUNDING * (1 + steps))


def slopes(found: Mapping[str, Refined], deltas: Sequence[float]) -> Found:
    r"""Slopes of $1-\cos$ on delta for each degree; the median for the smallest delta; for figures all of them."""
    numbers: dict[str, Measurement | np.ndarray] = {"turning_deltas": np.array(deltas)}
    for name, angle in found.items():
        use = (np.array(deltas) <= LARGEST_DELTA) & (angle.value >= RESOLUTION * angle.error)
        numbers[f"turning_slope_{name}"] = log_rate(np.array(deltas), angle.value, angle.error, use)
        numbers[f"{name}_turned"] = angle.value
        last = angle[:, -1]
        numbers[f"turned_{name}"] = Measurement(np.median(last.value), last.error.max(), n=len(last.value))
    return numbers
