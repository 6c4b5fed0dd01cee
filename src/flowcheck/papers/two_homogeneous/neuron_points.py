"""KKT points of one two-layer (leaky) ReLU neuron by ascents, off its kinks and on them (two_homogeneous, Lemmas C.5 and H.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowcheck.correlation import clarke
from flowcheck.correlation.ascent import ascend
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.papers.two_homogeneous.example_networks import neuron
from flowcheck.tensors import Numbers

ITERATIONS = 150
SLOPES = (0.0, 0.2, -0.5)
CERTIFIED = 1e-8
"""Residual, relative, below which 0 counts as an element of the tangential subdifferential."""


class Neurons(NamedTuple):
    """Data, and KKT points (u, v) of one neuron by slope, off kinks and on them."""

    x: Float[Tensor, "n 3"]
    z: Float[Tensor, " n"]
    smooth: dict[float, list[Tensor]]
    kinked: dict[float, list[Tensor]]

    def correlation(self, slope: float) -> Correlation:
        """The NCF of the neuron."""
        return Correlation(neuron(slope), self.x, self.z)


@dataclass(frozen=True)
class OnFaces(Correlation):
    """The NCF on faces n.u = 0, one for each row of a batch: gradients lose their component along the normal."""

    normals: Float[Tensor, "s k"]

    def rows(self, chosen: Bool[Tensor, " s"]) -> OnFaces:
        """The correlation of the chosen rows, each on its face."""
        plain = super().rows(chosen)
        return OnFaces(plain.network, plain.x, plain.z, self.normals[chosen])

    def value_and_gradient(self, u: Numbers) -> tuple[Float[Tensor, " s"], Float[Tensor, "s k"]]:
        value, gradient = super().value_and_gradient(u)
        return value, gradient - (gradient * self.normals).sum(dim=1, keepdim=True) * self.normals


def both_ways(correlation: Correlation, starts: Float[Tensor, "s k"]) -> list[Tensor]:
    """Distinct converged KKT points with N != 0 of ascents of N and of -N: maxima, and minima."""
    found = [ascend(replace(correlation, z=sign * correlation.z), starts, iterations=ITERATIONS) for sign in (1.0, -1.0)]
    return [ends.points[row] for ends in found for row in ends.distinct() if float(ends.value[row].abs()) > 1e-6]


def neuron_points(x: Float[Tensor, "n 3"], z: Float[Tensor, " n"], rng: np.random.Generator, starts: int) -> Neurons:
    """For each slope the KKT points (u, v) of one neuron: from ascents, and on the kinks x_i.u = 0 from ascents within them.

    The latter are kept where 0 is in the tangential subdifferential.
    """
    found = Neurons(x, z, {}, {})
    for slope in SLOPES:
        correlation = found.correlation(slope)
        found.smooth[slope] = both_ways(correlation, synthetic.unit_vectors(rng, starts, 4).to(x))
        normals = torch.cat([x, x.new_zeros(len(x), 1)], dim=1).repeat(8, 1)
        directions = synthetic.unit_vectors(rng, len(normals), 4).to(x)
        directions = directions - (directions * normals).sum(dim=1, keepdim=True) * normals
        candidates = both_ways(OnFaces(correlation.network, x, z, normals), directions)
        pieces = [clarke.all_signs(correlation.network, w, x) for w in candidates]
        residuals = [clarke.clarke_residual(correlation, w, own) for w, own in zip(candidates, pieces, strict=True)]
        found.kinked[slope] = [w for w, residual in zip(candidates, residuals, strict=True) if residual < CERTIFIED]
    return found
