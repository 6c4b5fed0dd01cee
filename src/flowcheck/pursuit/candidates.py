r"""Which neuron is added: the most dominant KKT point of the constrained NCF (neuron_pursuit, Algorithm 1, lines 2-10 and 18-28).

For each hidden layer l the residual is correlated with the leading term of a neuron there,
$\mathcal N_l(a,b)=\sum_i(m_i^\top b)\,\sigma(a^\top g_i)$ on $\|a\|^2+\|b\|^2=1$, with the signals g that reach the layer and the
residual m that is propagated back to the next one. All starts of a layer ascend in one batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.arguments import FINITE_NOT_NEGATIVE, number, whole
from flowcheck.correlation.ascent import ascend
from flowcheck.correlation.ncf import Correlation
from flowcheck.data.synthetic import unit_vectors
from flowcheck.networks.activation import Activation
from flowcheck.networks.network import Network, Response
from flowcheck.pursuit.grown import Grown, network

DEAD = 1e-12
"""An NCF is no more than rounding at this share of its closed upper bound."""


@dataclass(frozen=True)
class Ascent:
    """How an NCF is maximised.

    Attributes:
        starts: H, drawn uniformly from the sphere, for each layer.
        redraws: how often all are drawn again where none finds a positive value, as with ReLU units that no sample activates.
        tolerance: of the KKT residual, at which a start is done.
        iterations: of each start, at most.
    """

    starts: int = 10
    redraws: int = 10
    tolerance: float = 1e-8
    iterations: int = 2500

    def __post_init__(self) -> None:
        for name, least in {"starts": 1, "redraws": 0, "iterations": 1}.items():
            object.__setattr__(self, name, whole(name, getattr(self, name), least))
        object.__setattr__(self, "tolerance", number("tolerance", self.tolerance, FINITE_NOT_NEGATIVE))


@dataclass(frozen=True)
class KktPoint:
    r"""A neuron on the unit sphere, and how well it correlates.

    Attributes:
        layer: the hidden layer 1 ... L - 1, or 0 for the first network, which has one neuron in each.
        value: $\bar y^\top\mathcal H_{1,l}$, a sum over samples and outputs.
        residual: sine of the angle between the point and the gradient: 0 where the NCF is differentiable. On a kink, where
            maxima of ReLU neurons on few distinct inputs lie, one element of the subdifferential says little.
        parts: incoming and outgoing weights; of the first network the matrices W_1 ... W_L.
        dead: how many of the starts, in all layers and draws, found no positive value.
        starts: how many there were.
        draws: how often they were drawn.
    """

    layer: int
    value: float
    residual: float
    parts: tuple[Float[Tensor, ...], ...]
    dead: int
    starts: int
    draws: int = 1

    @property
    def is_positive(self) -> bool:
        """Whether there is such a neuron: not every start was dead."""
        return self.value > 0


@dataclass(frozen=True)
class AddedNeuron(Network):
    r"""$(m^\top b)\,\sigma(a^\top g)$ with weights (a, b) and inputs (g, m): degree p + 1."""

    activation: Activation
    below: int
    above: int
    outputs_per_sample = 1
    name = "added neuron"

    def __post_init__(self) -> None:
        size = self.below + self.above
        for name, part in {"inputs": size, "size": size, "blocks": (slice(0, size),)}.items():
            object.__setattr__(self, name, part)
        object.__setattr__(self, "degree", self.activation.power + 1.0)
        object.__setattr__(self, "has_lipschitz_gradient", self.activation.has_lipschitz_gradient)

    def forward(self, w: Float[Tensor, "s k"], x: Float[Tensor, "n d"]) -> Float[Tensor, "s n"]:
        z, response = self._sides(w, x)
        return self.activation(z) * response

    def forward_and_pull(
        self, w: Float[Tensor, "s k"], x: Float[Tensor, "n d"], response: Response
    ) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s k"]]:
        z, along = self._sides(w, x)
        active = self.activation(z)
        outputs = active * along
        upstream = response(outputs)
        incoming = self.activation.pull(z, along * upstream) @ x[:, : self.below]
        return outputs, torch.cat([incoming, (active * upstream) @ x[:, self.below :]], dim=1)

    def output_bound(self, x: Float[Tensor, "n d"]) -> float:
        r"""$\|m_i\|\,\|b\|\,(c\,\|a\|\,\|g_i\|)^p$ with c = max(1, |slope|), where $\|a\|^2=p\|b\|^2$."""
        power, steepest = self.activation.power, max(1.0, abs(self.activation.slope))
        peak = (power / (power + 1)) ** (0.5 * power) * (1 / (power + 1)) ** 0.5
        each = x[:, self.below :].norm(dim=1) * (steepest * x[:, : self.below].norm(dim=1)) ** power
        return peak * float(each.norm())

    def _sides(self, w: Float[Tensor, "s k"], x: Float[Tensor, "n d"]) -> tuple[Tensor, Tensor]:
        return w[:, : self.below] @ x[:, : self.below].mT, w[:, self.below :] @ x[:, self.below :].mT


def first_neurons(
    activation: Activation, depth: int, x: Float[Tensor, "n d"], y: Float[Tensor, "n c"], ascent: Ascent, seed: tuple[int, int]
) -> KktPoint:
    """The network with one neuron in each layer that correlates best with y (lines 2-10)."""
    single = network([1] * (depth - 1), x.shape[1], activation, y.shape[1])
    found = _drawn([Correlation(single, x, y.flatten())], ascent, seed)
    layers = tuple(part[0] for part in single.unpack(found.parts[0][None]))
    return KktPoint(0, found.value, found.residual, layers, found.dead, found.starts, found.draws)


def next_neuron(
    grown: Grown, x: Float[Tensor, "n d"], residual: Float[Tensor, "n c"], ascent: Ascent, seed: tuple[int, int]
) -> KktPoint:
    """The neuron, in whichever hidden layer, that correlates best with the residual (lines 18-28)."""
    signals = grown.signals(x, residual)
    found = _drawn([neuron_correlation(grown.activation, *pair) for pair in signals], ascent, seed)
    below = signals[found.layer - 1][0].shape[1]
    parts = (found.parts[0][:below], found.parts[0][below:])
    return KktPoint(found.layer, found.value, found.residual, parts, found.dead, found.starts, found.draws)


def neuron_correlation(activation: Activation, reaching: Float[Tensor, "n a"], back: Float[Tensor, "n b"]) -> Correlation:
    r"""$\mathcal N(a,b)=\sum_i(m_i^\top b)\,\sigma(a^\top g_i)$ for the signals g and m of a layer."""
    neuron = AddedNeuron(activation, reaching.shape[1], back.shape[1])
    return Correlation(neuron, torch.cat([reaching, back], dim=1), reaching.new_ones(len(reaching)))


def _drawn(correlations: list[Correlation], ascent: Ascent, seed: tuple[int, int]) -> KktPoint:
    """The best end of all starts in all layers, with (a, b) as one row; drawn again while every start is dead.

    A draw depends on the seed of the run, the iteration and its own number only, so that a run can go on from any iteration.
    """
    dead = starts = 0
    for draw in range(ascent.redraws + 1):
        rng = np.random.default_rng([*seed, draw])
        ends = [_best(correlation, layer, ascent, rng) for layer, correlation in enumerate(correlations, 1)]
        dead, starts = dead + sum(end.dead for end in ends), starts + sum(end.starts for end in ends)
        best = max(ends, key=lambda end: end.value)
        if best.is_positive:
            break
    return KktPoint(best.layer, best.value, best.residual, best.parts, dead, starts, draw + 1)


def _best(correlation: Correlation, layer: int, ascent: Ascent, rng: np.random.Generator) -> KktPoint:
    begin = unit_vectors(rng, ascent.starts, correlation.network.size).to(correlation.x.device)
    ends = ascend(correlation, begin, tolerance=ascent.tolerance, iterations=ascent.iterations)
    if not bool(ends.value.isfinite().all()):
        raise ValueError("the correlation overflows: divide x and y by their sizes first")
    bound = correlation.upper_bound
    value = torch.where(ends.value > DEAD * (0.0 if bound is None else bound), ends.value, 0.0)
    row = int(value.argmax())
    dead = int((value == 0).sum())
    return KktPoint(layer, float(value[row]), float(ends.residual[row]), (ends.points[row],), dead, ascent.starts)
