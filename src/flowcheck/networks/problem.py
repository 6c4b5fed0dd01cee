"""Whether data and a loss fit a network: asked once, where they meet, and answered in one sentence."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from flowcheck.losses import Loss
from flowcheck.networks.network import Network


def check_problem(network: Network, x: Float[Tensor, "*b n d"], y: Float[Tensor, "*s o"], loss: Loss | None = None) -> None:
    """Raises ValueError if inputs, labels (or z) and the loss are not those of a network with so many inputs and outputs.

    A loss whose normalisation counts samples, or whose derivative mixes the outputs of a sample, has to know how many there are.
    """
    count = network.outputs_per_sample
    if x.shape[-1] != network.inputs:
        raise ValueError(f"{network.name} has {network.inputs} inputs, got x {tuple(x.shape)}")
    if y.shape[-1] != x.shape[-2] * count:
        each = "" if count == 1 else f" with {count} outputs each"
        raise ValueError(f"{x.shape[-2]} points{each}, but x is {tuple(x.shape)} and y {tuple(y.shape)}")
    if loss is not None and loss.counts_outputs and loss.outputs_per_sample != count:
        raise ValueError(f"{network.name} has {count} outputs for a sample, and the loss is one of {loss.outputs_per_sample}")
