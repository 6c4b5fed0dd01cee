"""Stochastic gradient descent of (deep) linear networks on fresh samples of the circle (spherical_data, Section 5, Figure 1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from flowcheck.networks.linear import layer_gradients, partial_products

Array = np.ndarray
Wrap = Callable[[Any], Iterator[Any]]

BLOCK = 8
"""Steps whose points are drawn at once: with 24 runs and batches of a thousand they stay in the cache."""


@dataclass(frozen=True)
class SgdPath:
    """S stochastic runs recorded every `every` steps: arrays [S, P] and [S, P, 2]; the last weights of each layer."""

    steps: Float[Array, " p"]
    w_e: Float[Array, "s p 2"]
    batch_loss: Float[Array, "s p"]
    final_weights: list[Array]


@torch.inference_mode()
def circle_sgd(
    weights: Sequence[Array],
    streams: Sequence[np.random.Generator],
    *,
    step_size: float,
    batch_size: int,
    steps: int,
    every: int,
    device: torch.device,
    progress: Wrap = iter,
) -> SgdPath:
    """SGD of a (deep) linear network on fresh points of the circle with labels sgn(x_2), float64.

    `weights` are shared starts without the batch dimension; each run has a stream of its own, so runs do not depend on how they
    are batched, nor on the device. The batch loss is recorded before the step. Raises ValueError if a size is not positive.
    """
    if step_size <= 0 or batch_size <= 0 or steps <= 0 or every <= 0:
        raise ValueError("step size, batch size, number of steps and recording interval must be positive")
    runs = len(streams)

    def empty(*shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=torch.float64, device=device)

    layers = [torch.tensor(w, dtype=torch.float64, device=device).expand(runs, *w.shape).clone() for w in weights]
    # arrays are made at once and written again: new ones cost more than what is done with them
    recorded, losses = np.empty((runs, steps // every + 1, 2)), np.empty((runs, steps // every + 1))
    draws = np.empty((runs, BLOCK, batch_size))
    angles, points = empty(BLOCK, runs, batch_size), empty(BLOCK, 2, runs, batch_size)
    margin, pulled, one = empty(runs, batch_size), empty(2, runs, batch_size), empty().fill_(1.0)
    for first in progress(range(0, steps + 1, BLOCK)):
        count = min(BLOCK, steps + 1 - first)
        for run, stream in enumerate(streams):
            stream.random(out=draws[run, :count])
        angle, across, along = angles[:count], points[:count, 0], points[:count, 1]
        torch.mul(torch.from_numpy(draws).to(device)[:, :count].transpose(0, 1), 2.0 * math.pi, out=angle)
        # y x, all that the loss sees of a labelled point
        torch.cos(angle, out=across)
        torch.sin(angle, out=along)
        across.mul_(torch.copysign(one, along, out=angle))
        along.abs_()
        for n, labelled in enumerate(points[:count], first):
            products = partial_products(layers)
            minus = products[-1].neg()
            torch.mul(labelled[0], minus[..., 0], out=margin)
            margin.addcmul_(labelled[1], minus[..., 1])  # -y x·w_e
            if n % every == 0:
                recorded[:, n // every] = products[-1][:, 0].cpu().numpy()
                losses[:, n // every] = torch.nn.functional.softplus(margin).mean(dim=-1).cpu().numpy()
            if n == steps:
                break
            torch.mul(margin.sigmoid_(), labelled, out=pulled)
            gradient = pulled.sum(dim=-1).div_(-batch_size).T.contiguous()
            for layer, change in zip(layers, layer_gradients(layers, gradient, products), strict=True):
                layer.sub_(change, alpha=step_size)
    return SgdPath(
        steps=np.arange(0, steps + 1, every, dtype=float),
        w_e=recorded,
        batch_loss=losses,
        final_weights=[layer.cpu().numpy() for layer in layers],
    )
