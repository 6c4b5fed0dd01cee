"""The networks of two_homogeneous: the example classes of Section 2, one (leaky) ReLU neuron, and weights on their kinks."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from flowcheck.networks import activation, feed_forward, zoo
from flowcheck.networks.network import Network


def two_homogeneous() -> dict[str, Network]:
    """The example classes of Section 2, on inputs in three dimensions."""
    return {
        "squared ReLU": zoo.power_net(3, 3, 2.0, (1.0, -1.0, 1.0)),
        "squared leaky ReLU": zoo.power_net(3, 3, 2.0, (1.0, -1.0, 1.0), slope=0.3),
        "two-layer ReLU": zoo.two_layer(2, 3),
        "two-layer leaky ReLU": zoo.two_layer(2, 3, 0.2),
        "deep ReLU, two trained": zoo.relu_two_trainable((4, 3), 3, (1.0, -1.0, 1.0)),
    }


def neuron(slope: float) -> feed_forward.FeedForward:
    r"""$v\,\sigma(x^\top u)$ with weights (u, v), both trained: one neuron of a two-layer (leaky) ReLU network."""
    return feed_forward.FeedForward("unit", 3, (feed_forward.Layer(1, activation.Activation(slope)), feed_forward.Layer(1)))


def on_kink(w: Float[Tensor, " k"], x: Float[Tensor, "n 3"]) -> Float[Tensor, " k"]:
    """Weights moved onto a kink: the first unit is turned until the preactivation of the first input vanishes."""
    moved = w.clone()
    moved[:3] -= (w[:3] @ x[0]) * x[0] / (x[0] @ x[0])
    return moved
