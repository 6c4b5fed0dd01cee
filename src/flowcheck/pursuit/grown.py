r"""What Neuron Pursuit has after an iteration: a feed-forward network of max(x, a x)^p units with its weights.

$\mathcal H(x)=W_L\sigma(W_{L-1}\cdots\sigma(W_1x))$ without biases. Near a saddle, a neuron added to hidden layer l with small
incoming weights a and outgoing weights b changes the outputs by the leading term
$\mathcal H_{1,l}(x;b,a)=\nabla f_{L,l+2}^\top(W_{l+1}g_l(x))\,b\,\sigma(a^\top g_{l-1}(x))$ (neuron_pursuit, Section 3.3): all
that depends on x in it are the signals g_{l-1}, which reach the layer, and what is back-propagated to the next one.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.networks.activation import Activation
from flowcheck.networks.feed_forward import FeedForward
from flowcheck.networks.zoo import deep_power

BALANCED = 1e-8
"""Largest |ln| of the ratio of two norms at which neurons count as balanced."""
SWEEPS = 10_000
"""Of balancing, at most; neighbouring layers undo a part of each other's."""


@dataclass(frozen=True)
class Grown:
    """The activation of the hidden layers, and the matrices W_1 ... W_L in double precision, each [rows, columns].

    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> pair = Grown(Activation(), (one, one)).with_neuron(1, -one[0], 2 * one[0])
    >>> pair.predict(torch.tensor([[3.0], [-3.0]], dtype=torch.float64)).tolist()  # relu(x) + 2 relu(-x)
    [[3.0], [6.0]]
    """

    activation: Activation
    layers: tuple[Float[Tensor, "_ _"], ...]

    @property
    def widths(self) -> list[int]:
        """Of the hidden layers."""
        return [len(layer) for layer in self.layers[:-1]]

    @property
    def network(self) -> FeedForward:
        """Without the weights."""
        return network(self.widths, self.layers[0].shape[1], self.activation, len(self.layers[-1]))

    @property
    def weights(self) -> Float[Tensor, " k"]:
        """All of them in one row, as `network` takes them."""
        return torch.cat([layer.flatten() for layer in self.layers])

    def predict(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """The outputs."""
        return self.network.forward(self.weights[None], x).view(len(x), -1)

    def signals(
        self, x: Float[Tensor, "n d"], residual: Float[Tensor, "n c"]
    ) -> list[tuple[Float[Tensor, "n _"], Float[Tensor, "n _"]]]:
        r"""For each hidden layer l: what reaches it, $g_{l-1}$, and the residual, back-propagated to before the next activation.

        The second is the residual itself for the last hidden layer: outputs have no activation.
        """
        reaching, entering = [x], []
        for layer in self.layers[:-1]:
            entering.append(reaching[-1] @ layer.mT)
            reaching.append(self.activation(entering[-1]))
        back = [residual]
        for layer, z in zip(self.layers[:1:-1], entering[:0:-1], strict=True):
            back.insert(0, self.activation.pull(z, back[0] @ layer))
        return list(zip(reaching[:-1], back, strict=True))

    def jacobian(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "nc k"]:
        """Of all outputs, sample by sample, with respect to the `weights`."""
        rows = []
        for output in range(len(self.layers[-1])):
            back = x.new_zeros(len(x), len(self.layers[-1]))
            back[:, output] = 1.0
            signals = self.signals(x, back)
            entering = [reached @ layer.mT for (reached, _), layer in zip(signals, self.layers[:-1], strict=True)]
            first = self.activation.pull(entering[0], signals[0][1] @ self.layers[1])
            leaving = [first, *(pulled for _, pulled in signals)]
            reaching = [*(reached for reached, _ in signals), self.activation(entering[-1])]
            rows.append(
                torch.cat([(a[:, :, None] * g[:, None, :]).flatten(1) for a, g in zip(leaving, reaching, strict=True)], 1)
            )
        return torch.stack(rows, dim=1).flatten(0, 1)

    def moved(self, step: Float[Tensor, " k"]) -> Grown:
        """With this added to the `weights`."""
        parts = torch.split(step, [layer.numel() for layer in self.layers])
        return Grown(self.activation, tuple(a + b.view_as(a) for a, b in zip(self.layers, parts, strict=True)))

    def with_neuron(self, layer: int, incoming: Float[Tensor, " _"], outgoing: Float[Tensor, " _"]) -> Grown:
        """One neuron more in hidden layer 1 ... L - 1 (Algorithm 1, lines 29-31)."""
        layers = list(self.layers)
        layers[layer - 1] = torch.cat([layers[layer - 1], incoming[None]])
        layers[layer] = torch.cat([layers[layer], outgoing[:, None]], dim=1)
        return Grown(self.activation, tuple(layers))

    def balanced(self) -> Grown:
        r"""The same function with $\|in\|^2=p\,\|out\|^2$ at every neuron that has both (Saul 2023, Algorithm 1, for p = 1).

        Incoming weights times r and outgoing ones over r^p change nothing, r > 0. That is the balance of a KKT point (Lemma 9).
        """
        layers, power = [layer.clone() for layer in self.layers], self.activation.power
        for _ in range(SWEEPS):
            off = 0.0
            for below, above in itertools.pairwise(layers):
                into, out = below.norm(dim=1), above.norm(dim=0)
                both = (into > 0) & (out > 0)
                ratio = torch.where(both, math.sqrt(power) * out / into.where(both, 1.0), 1.0)
                scale = ratio ** (1.0 / (power + 1.0))
                below *= scale[:, None]
                above /= scale**power
                off = max(off, float(ratio.log().abs().max()))
            if off < BALANCED:
                break
        return Grown(self.activation, tuple(layers))


def network(widths: list[int], inputs: int, activation: Activation, outputs: int) -> FeedForward:
    """The feed-forward network with these hidden layers."""
    return deep_power(widths, inputs, activation.power, activation.slope, outputs)
