r"""Networks whose third derivative is bounded in closed form: what a guaranteed tube around the flow asks for.

For $f=\frac1{2n}\sum_i(h_i-y_i)^2$ and a unit vector d,
$\nabla^3f[d,d,d]=\frac1n\sum_i3\,Dh_i[d]\,D^2h_i[d,d]+(h_i-y_i)D^3h_i[d,d,d]$.
The norm of a symmetric form of three vectors is its largest value at one of them (Banach). Each factor is bounded within a
distance of a point.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.papers.continuous_discrete.near_the_flow import DeepLinear

SQUARE_TIMES = 2 / 27**0.5
"""The largest a b^2 for a^2 + b^2 = 1."""


@dataclass(frozen=True)
class Smooth:
    """An activation, with bounds of its derivatives.

    Attributes:
        slope, bend, twist: of the first three derivatives.
        at_zero: its absolute value at zero.
        ceiling: of its absolute value; infinite if there is none.
    """

    function: Callable[[Tensor], Tensor]
    slope: float
    bend: float
    twist: float
    at_zero: float
    ceiling: float


ACTIVATIONS = {
    "tanh": Smooth(torch.tanh, 1.0, 4 / 27**0.5, 2.0, 0.0, 1.0),
    "softplus": Smooth(torch.nn.functional.softplus, 1.0, 0.25, 1 / 108**0.5, float(np.log(2)), np.inf),
}
"""tanh'' = -2 tanh (1 - tanh^2), tanh''' is between -2 and 2/3; softplus' is the logistic s, s'' = s (1 - s) (1 - 2 s)."""


@dataclass(frozen=True)
class TwoLayer:
    """Half the mean squared error of units with this activation, first the rows of their weights, then v.

    Attributes:
        x: inputs, [n, d].
        y: labels, [n].
    """

    units: int
    activation: Smooth
    x: Float[Tensor, "n d"]
    y: Float[Tensor, " n"]

    def loss(self, w: Float[Tensor, " k"]) -> Tensor:
        """At one point."""
        rows, v = w[: -self.units].reshape(self.units, -1), w[-self.units :]
        return ((self.activation.function(self.x @ rows.T) @ v - self.y) ** 2).mean() / 2

    def third(self, w: Float[Tensor, " k"], reach: float) -> float:
        r"""Of the third derivative within this distance.

        With $Dh[d]=\sum_j\delta_j\sigma(z_j)+v_j\sigma'x^\top d_j$,
        $D^2h[d,d]=\sum_j2\delta_j\sigma'x^\top d_j+v_j\sigma''(x^\top d_j)^2$ and
        $D^3h[d,d,d]=\sum_j3\delta_j\sigma''(x^\top d_j)^2+v_j\sigma^{(3)}(x^\top d_j)^3$.
        """
        act, length = self.activation, torch.linalg.norm(self.x, dim=1)
        rows, v = w[: -self.units].reshape(self.units, -1), w[-self.units :]
        # the last weights, all at once and the largest of them, and the units' values, each as if it had all of the distance
        every, largest = torch.linalg.norm(v) + reach, v.abs().max() + reach
        values = (self.x @ rows.T).abs() + reach * length[:, None]
        outputs = act.function(self.x @ rows.T)
        heights = (act.at_zero + act.slope * values).clamp(max=act.ceiling)
        moved = torch.linalg.norm(outputs, dim=1) * reach + every * act.slope * length * reach
        first = torch.sqrt((heights**2).sum(dim=1) + (every * act.slope * length) ** 2)
        second = act.slope * length + largest * act.bend * length**2
        third = 3 * SQUARE_TIMES * act.bend * length**2 + largest * act.twist * length**3
        return float((3 * first * second + ((outputs @ v - self.y).abs() + moved) * third).mean())


def deep_linear_third(network: DeepLinear, w: Float[Tensor, " k"], reach: float) -> float:
    r"""The same for half the squared distance of the product of n layers, whose norms are at most a, from a target.

    $\|D\phi\|\le\sqrt n\,a^{n-1}$, $\|D^2\phi[d,d]\|\le(n-1)a^{n-2}$ and $\|D^3\phi[d,d,d]\|\le(n-1)(n-2)a^{n-3}/\sqrt n$, by
    Maclaurin's inequality for the norms of the layers of d; the product moves by at most $\sqrt n\,a^{n-1}$ times the distance.
    """
    n = network.depth
    a = max(float(torch.linalg.matrix_norm(layer, 2)) for layer in network.layers(w)) + reach
    first, second = n**0.5 * a ** (n - 1), (n - 1) * a ** (n - 2)
    last = (n - 1) * (n - 2) / n**0.5 * a ** (n - 3) if n > 2 else 0.0
    apart = float(torch.linalg.norm(network.end_to_end(w) - network.target)) + first * reach
    return 3 * first * second + apart * last


@dataclass(frozen=True)
class Layered:
    """Half the mean squared error of layers of these widths, from inputs to one output, with an activation between them."""

    widths: tuple[int, ...]
    function: Callable[[Tensor], Tensor]
    x: Float[Tensor, "n d"]
    y: Float[Tensor, " n"]

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Of the layers."""
        return [(rows, columns) for columns, rows in itertools.pairwise(self.widths)]

    def loss(self, w: Float[Tensor, " k"]) -> Tensor:
        """At one point."""
        *hidden, last = torch.split(w, [rows * columns for rows, columns in self.shapes])
        units = self.x.T
        for part, shape in zip(hidden, self.shapes, strict=False):
            units = self.function(part.reshape(shape) @ units)
        return ((last @ units - self.y) ** 2).mean() / 2

    def start(self, rng: np.random.Generator, scale: float) -> Float[np.ndarray, " k"]:
        """Normal weights, each layer's with the variance scale^2 / columns."""
        return np.concatenate([scale * rng.standard_normal(rows * columns) / columns**0.5 for rows, columns in self.shapes])
