"""Kinds of networks on which the lemmas about the NCF are asked: how one is made, what one unit of it is, how it is followed.

A new kind is one entry of `KINDS` and its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from flowcheck.networks import feed_forward, zoo
from flowcheck.networks.network import Network

Kind = Literal["power", "polynomial", "squared", "linear", "two_relu", "two_layer"]
Points = Float[Tensor, "p _"]


@dataclass(frozen=True)
class System:
    r"""One kind of network.

    Attributes:
        make: of a degree, with inputs of a dimension, so many units, and the slope of a leaky ReLU where there is one.
        unit: the network of one unit whose KKT points `lift` turns into KKT points of the network; the network itself by default.
        lift: from unit vectors of `unit` to unit vectors of the network that realise its function, up to a factor.
        exact: flows are followed in closed form, unit by unit, and KKT points are listed.
    """

    make: Callable[[int, int, int, float], Network]
    unit: Callable[[Network], Network] = lambda network: network
    lift: Callable[[Network, Points], Points] = lambda _, units: units
    exact: bool = False


def network_of(kind: Kind, degree: int, dimension: int, units: int, slope: float = 0.0) -> Network:
    """The test systems of both papers. Raises ValueError for a degree that the kind does not have."""
    network = KINDS[kind].make(degree, dimension, units, slope)
    if network.degree != degree:
        raise ValueError(f"a {kind} network has degree {network.degree:g}, not {degree}")
    return network


def _power(slope: float) -> System:
    """Units of max(0, u.x)^L, or of (u.x)^L: a unit alone is one of the same, and is put in the place of the first."""

    def alone(network: Network, units: Points) -> Points:
        weights = units.new_zeros((len(units), network.size))
        weights[:, : units.shape[1]] = units
        return weights

    return System(
        lambda degree, dimension, units, _: zoo.power_net(units, dimension, degree, slope=slope),
        lambda network: zoo.power_net(1, network.inputs, float(network.degree), slope=slope),
        alone,
    )


def _in_rank_one(network: Network, units: Points) -> Points:
    r"""$W_2W_1=\tfrac12e_1b^\top$ for a squared ReLU net and its unit b; any other choice of e_1 is as good."""
    weights = units.new_zeros((len(units), network.size))
    first, second = _two_layers(network, weights)
    first[:, 0], second[:, 0, 0] = units * 0.5**0.5, 0.5**0.5
    return weights


def _through_all(network: Network, units: Points) -> Points:
    r"""$W_1=e_1u^\top$, $W_2=h^{-1/2}v\mathbf1e_1^\top$ for two trained ReLU layers of h units, unit (u, v)."""
    weights = units.new_zeros((len(units), network.size))
    first, second = _two_layers(network, weights)
    first[:, 0], second[:, :, 0] = units[:, :-1], units[:, -1:].abs() / second.shape[1] ** 0.5
    return weights


def _two_layers(network: Network, weights: Points) -> tuple[Tensor, Tensor]:
    assert isinstance(network, feed_forward.FeedForward)
    first, second = network.unpack(weights)
    return first, second


KINDS: dict[Kind, System] = {
    "power": _power(0.0),
    "polynomial": _power(1.0),
    "squared": System(
        lambda _, dimension, units, __: zoo.squared_relu((units, units), dimension),
        lambda network: zoo.power_net(1, network.inputs, 2),
        _in_rank_one,
    ),
    "linear": System(lambda degree, dimension, units, _: zoo.deep_linear((units,) * (degree - 1), dimension)),
    "two_relu": System(
        lambda _, dimension, units, __: zoo.relu_two_trainable((units, units), dimension, (1.0,) * units),
        lambda network: zoo.two_layer(1, network.inputs),
        _through_all,
    ),
    "two_layer": System(lambda _, dimension, units, slope: zoo.two_layer(units, dimension, slope=slope), exact=True),
}
