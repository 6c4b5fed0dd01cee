"""What a network is to fit: inputs, labels and a loss, checked where they meet.

Every function that follows a loss takes an `Objective`; `correlation.ncf.Correlation` is its counterpart for a fixed vector z.
Both turn what they are given into float64 tensors of one device, without a graph, and refuse in one sentence what does not fit,
so that no solver behind them, compiled or not, has to ask again.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.arguments import instance
from flowcheck.losses import Loss
from flowcheck.networks.hypotheses import require_degree
from flowcheck.networks.network import Network
from flowcheck.tensors import Numbers, finite, tensor, tensors, unwritten


@dataclass(frozen=True, init=False)
class Objective:
    r"""The loss $\mathcal L(w)=\ell(\mathcal H(X;w),y)$ of a network on data.

    x and y are shared by all runs, [n, d] and [n c], or differ between them: x [S, n, d], y [S, n c]. Tensors, arrays and lists
    are taken, and integers and single precision become float64.

    Raises ValueError if data and loss are not those of a network with so many inputs and outputs, or are not finite.

    >>> from flowcheck.losses import HALF_SUM
    >>> from flowcheck.networks.zoo import deep_linear
    >>> fit = Objective(deep_linear([1], 1), [[1.0]], [4], HALF_SUM)
    >>> fit.value(torch.tensor([[2.0, 1.0]], dtype=torch.float64)).tolist()  # (2 - 4)^2 / 2
    [2.0]
    """

    network: Network
    x: Float[Tensor, "*b n d"]
    y: Float[Tensor, "*s o"]
    loss: Loss

    def __init__(self, network: Network, x: Numbers, y: Numbers, loss: Loss) -> None:
        instance("network", network, Network)
        instance("loss", loss, Loss)
        inputs, labels = tensors(x=x, y=y)
        check_data(network, inputs, labels)
        count = network.outputs_per_sample
        if loss.counts_outputs and loss.outputs_per_sample != count:
            raise ValueError(f"{network.name} has {count} outputs for a sample, and the loss is one of {loss.outputs_per_sample}")
        for name, part in {"network": network, "x": inputs, "y": labels, "loss": loss}.items():
            object.__setattr__(self, name, part)  # frozen from here on

    @functools.cached_property
    def degree_defect(self) -> float:
        """Of the network on the first of the data sets. Raises HypothesisError if it has not its degree."""
        return require_degree(self.network, self.x if self.x.dim() == 2 else self.x[0])

    def value(self, w: Numbers) -> Float[Tensor, " s"]:
        """The loss of each row."""
        return self.loss.value(self.network.forward(check_weights(self.network, w, self.x), self.x), self.y)

    def pull(self, w: Numbers) -> Float[Tensor, "s k"]:
        r"""$-\nabla\mathcal L(w)=\mathcal J(X;w)^\top(-\ell'(\mathcal H(X;w),y))$: the velocity of the gradient flow."""
        rows = check_weights(self.network, w, self.x)
        return self.network.forward_and_pull(rows, self.x, lambda outputs: self.loss.residual(outputs, self.y))[1]


def check_weights(network: Network, w: Numbers, x: Float[Tensor, ...], name: str = "w") -> Float[Tensor, "s k"]:
    """Rows of weights in float64, on which a graph may be built.

    Raises ValueError if they are no rows of weights of the network, or lie on another device than the data x.
    """
    rows = tensor(name, w, x.device)
    if rows.shape[1:] != (network.size,):
        raise ValueError(f"{network.name} has {network.size} weights, and {name} is rows of them; got {name} {tuple(rows.shape)}")
    if rows.device != x.device:
        raise ValueError(f"{name} is on {rows.device} and the data on {x.device}")
    return rows


def check_data(network: Network, x: Float[Tensor, ...], y: Float[Tensor, ...], name: str = "y") -> None:
    """Raises ValueError if inputs and labels, or the vector z, are not those of a network with so many inputs and outputs.

    Or if a network of one's own writes into what it is given, or does not compute in float64: what that loses would be taken for
    a property of the network.
    """
    if x.ndim not in (2, 3) or y.ndim not in (1, 2):
        raise ValueError(f"x is [n, d] or [S, n, d] and {name} [n] or [S, n], got x {tuple(x.shape)} and {name} {tuple(y.shape)}")
    if x.shape[-1] != network.inputs:
        raise ValueError(f"{network.name} has {network.inputs} inputs, got x {tuple(x.shape)}")
    if y.shape[-1] != x.shape[-2] * network.outputs_per_sample:
        each = "" if network.outputs_per_sample == 1 else f" with {network.outputs_per_sample} outputs each"
        raise ValueError(f"{x.shape[-2]} points{each}, but x is {tuple(x.shape)} and {name} {tuple(y.shape)}")
    if not (x.shape[-2] and len(x) and len(y)):
        raise ValueError(f"there is no data: x is {tuple(x.shape)} and {name} {tuple(y.shape)}")
    if x.ndim == 3 and y.ndim == 2 and len(x) != len(y):
        raise ValueError(f"x is for {len(x)} runs and {name} for {len(y)}")
    weights = x.new_zeros(len(x) if x.ndim == 3 else len(y) if y.ndim == 2 else 1, network.size)
    outputs = unwritten(f"forward of {network.name}", network.forward, weights, x)
    if outputs.dtype != torch.float64 or outputs.shape[1:] != y.shape[-1:]:
        found = f"{str(outputs.dtype).removeprefix('torch.')} of shape {tuple(outputs.shape)}"
        raise ValueError(f"{network.name} must give float64 outputs of shape {(len(outputs), y.shape[-1])}, got {found}")


def check_runs(network: Network, x: Float[Tensor, ...], y: Float[Tensor, ...], start: Numbers) -> Float[Tensor, "s k"]:
    """The starts as a float64 tensor [S, k].

    Raises ValueError if they are no rows of weights of the network, lie on another device than the data, or are not as many as
    the data sets.
    """
    rows = check_weights(network, start, x, "start").detach()
    if not len(rows):
        raise ValueError("there are no starts")
    if any(data.ndim == dims and len(data) != len(rows) for data, dims in ((x, 3), (y, 2))):
        raise ValueError(f"{len(rows)} runs on {x.shape[-2]} points, but x is {tuple(x.shape)} and y {tuple(y.shape)}")
    return finite("start", rows)
