"""The networks that the papers name."""

from __future__ import annotations

from collections.abc import Sequence

from flowcheck.arguments import array, number, whole, wholes
from flowcheck.networks.activation import RELU, Activation, relu_power
from flowcheck.networks.feed_forward import FeedForward, Layer
from flowcheck.networks.sums import Separable


def power_net(units: int, inputs: int, power: float, signs: Sequence[float] = (), slope: float = 0.0) -> FeedForward:
    r"""$\sum_j v_j\max(w_j^\top x, a\,w_j^\top x)^p$ with fixed signs v_j (default all 1): degree p, separable.

    >>> import torch
    >>> network = power_net(units=2, inputs=2, power=2)
    >>> weights, x = torch.tensor([[1.0, 2.0, 3.0, -4.0]]), torch.tensor([[1.0, 1.0]])
    >>> network.forward(weights, x).tolist()  # max(1 + 2, 0)^2 + max(3 - 4, 0)^2
    [[9.0]]
    """
    layers, output = [Layer(units, Activation(slope, power))], array("signs", signs)
    if output.shape != (0,):
        layers.append(Layer.constant(output[None]))
    power = number("power", power)
    kind = "polynomial" if slope == 1 else "relu" if slope == 0 else "leaky"
    return FeedForward(f"{kind}^{power:g}", inputs, tuple(layers))


def two_layer(units: int, inputs: int, slope: float = 0.0) -> Separable:
    r"""$\sum_k v_k\sigma(x^\top u_k)$, (leaky) ReLU, both layers trained: degree 2, separable into the pairs (u_k, v_k)."""
    unit = FeedForward("unit", inputs, (Layer(1, Activation(slope)), Layer(1)))
    return Separable("two-layer ReLU" if slope == 0 else "two-layer leaky ReLU", (unit,) * whole("units", units, 1))


def relu_two_trainable(widths: Sequence[int], inputs: int, output: Sequence[float]) -> FeedForward:
    r"""$v^\top\sigma(W_2\sigma(W_1x))$ with v fixed: degree 2, not separable (two_homogeneous, Section 2)."""
    first, second = wholes("widths", widths, 1, count=2)
    fixed = Layer.constant(array("output", output)[None])
    return FeedForward("deep ReLU, two trained", inputs, (Layer(first, RELU), Layer(second, RELU), fixed))


def squared_relu(widths: Sequence[int], inputs: int) -> FeedForward:
    r"""$\mathbf1^\top\max(W_2W_1x,0)^2$: degree 4, the inner layer linear (deep_homogeneous, Section 5.1.2)."""
    first, second = wholes("widths", widths, 1, count=2)
    return FeedForward("squared ReLU", inputs, (Layer(first), Layer(second, relu_power(2))))


def deep_relu(widths: Sequence[int], inputs: int) -> FeedForward:
    r"""$\mathbf1^\top\sigma(W_N\cdots\sigma(W_1x))$, ReLU after the last layer too (deep_homogeneous, Section 5.1.3)."""
    return FeedForward("deep ReLU", inputs, tuple(Layer(width, RELU) for width in wholes("widths", widths, 1)))


def deep_linear(widths: Sequence[int], inputs: int, outputs: int = 1) -> FeedForward:
    """W_N ... W_1 x; `widths` are the hidden ones. Degree N."""
    outputs = whole("outputs", outputs, 1)
    layers = tuple(Layer(width) for width in [*wholes("widths", widths, 1), outputs])
    return FeedForward(f"linear^{len(widths) + 1}", inputs, layers, "units" if outputs > 1 else "sum")


def deep_power(widths: Sequence[int], inputs: int, power: float = 1.0, slope: float = 0.0, outputs: int = 1) -> FeedForward:
    r"""$W_N\sigma(W_{N-1}\cdots\sigma(W_1x))$ with $\sigma(t)=\max(t,at)^p$, all layers trained (neuron_pursuit).

    `widths` are the hidden ones. Degree $1+p+\dots+p^{N-1}$.

    >>> deep_power((4, 3), inputs=2, power=2, outputs=5).degree
    7
    """
    outputs = whole("outputs", outputs, 1)
    hidden = [Layer(width, Activation(slope, power)) for width in wholes("widths", widths, 1)]
    kind = "linear" if slope == 1 and power == 1 else "relu" if slope == 0 else "leaky"
    name = f"{kind}^{number('power', power):g}, {len(hidden) + 1} layers"
    return FeedForward(name, inputs, (*hidden, Layer(outputs)), "units" if outputs > 1 else "sum")
