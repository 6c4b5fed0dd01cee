"""The NCF of one squared-ReLU neuron in space, as a landscape on the sphere of directions: its critical points of every index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.networks import zoo
from flowcheck.papers.two_homogeneous import stable_sets

STARTS = 400
"""Of Newton's method, for one landscape."""


@dataclass(frozen=True)
class Landscape:
    """An NCF with its critical points."""

    ncf: Correlation
    points: stable_sets.CriticalPoints

    @classmethod
    def drawn(cls, rng: np.random.Generator, inputs: int, device: torch.device | str = "cpu") -> Landscape:
        """Inputs uniform on the sphere of R^3, labels +1 or -1."""
        ncf = neuron(rng, inputs, 3, device)
        return cls(ncf, stable_sets.critical_points(ncf, synthetic.unit_vectors(rng, STARTS, 3).to(device)))

    def limits(self, starts: Float[Tensor, "s 3"], rtol: float = stable_sets.RTOL) -> Float[Tensor, "s 3"]:
        """Where directions end."""
        return stable_sets.limits(self.ncf, starts, self.points.relaxation, rtol=rtol)

    @property
    def maxima(self) -> Float[Tensor, "p 3"]:
        """Of the highest value first."""
        return self.points.of_index(0)

    @property
    def saddles(self) -> Float[Tensor, "q 3"]:
        """One direction of ascent."""
        return self.points.of_index(1)

    @property
    def heights(self) -> Float[Tensor, " p"]:
        """The value at each of the maxima."""
        return self.points.value[self.points.index == 0]

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many maxima, saddles and minima there are."""
        first, second, third = (len(self.points.of_index(index)) for index in range(3))
        return first, second, third


def neuron(rng: np.random.Generator, inputs: int, dimension: int, device: torch.device | str = "cpu") -> Correlation:
    """The NCF of a squared-ReLU neuron: inputs uniform on the sphere of R^dimension, labels +1 or -1."""
    x, z = synthetic.sphere_inputs(rng, inputs, dimension), synthetic.gaussian(rng, inputs).sign()
    return Correlation(zoo.power_net(1, dimension, 2.0), x.to(device), z.to(device))
