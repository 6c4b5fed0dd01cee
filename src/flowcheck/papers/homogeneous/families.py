"""Families of networks, data and starts on which the lemmas about the NCF are asked."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation.ncf import Correlation
from flowcheck.data.synthetic import gaussian, sphere_inputs, unit_vectors
from flowcheck.geometry import unit
from flowcheck.networks.network import Network
from flowcheck.papers.homogeneous.kinds import KINDS, Kind, System

Labels = Literal["mixed", "negative", "positive", "alternating"]
Inputs = Literal["sphere", "half_space"]
Starts = Literal["sphere", "zero", "positive"]


@dataclass(frozen=True)
class Family:
    r"""Random NCF problems on one network: a data set, a vector z and a start for each row.

    Attributes:
        correlation: the NCF of each row.
        bound: $\beta\|z\|$ of each row, beta the closed upper bound on its inputs. ValueError where there is none.
    """

    name: str
    kind: Kind
    network: Network
    x: Float[Tensor, "s n d"]
    z: Float[Tensor, "s n"]
    starts: Float[Tensor, "s k"]

    def on(self, device: torch.device) -> Family:
        return replace(self, x=self.x.to(device), z=self.z.to(device), starts=self.starts.to(device))

    @functools.cached_property
    def correlation(self) -> Correlation:
        return Correlation(self.network, self.x, self.z)

    @property
    def system(self) -> System:
        """What its kind of network is."""
        return KINDS[self.kind]

    @property
    def degree(self) -> float:
        return float(self.network.degree)

    @functools.cached_property
    def bound(self) -> Float[Tensor, " s"]:
        bound = self.correlation.upper_bound
        if bound is None:
            raise ValueError(f"{self.name}: {self.network.name} has no closed bound of its outputs")
        return bound


def draw_family(
    name: str,
    kind: Kind,
    network: Network,
    rng: np.random.Generator,
    runs: int,
    *,
    points: int,
    labels: Labels = "mixed",
    inputs: Inputs = "sphere",
    starts: Starts = "sphere",
) -> Family:
    """`runs` problems with `points` inputs on the unit sphere each, Gaussian z, starts on the unit sphere.

    labels: signs of z, random, of one kind or alternating. inputs: "half_space" turns them until the first coordinate is
    positive. starts: "zero" moves them along a great circle to N = 0; "positive" makes their entries positive, where with z > 0
    no kink of a ReLU net attracts.
    """
    x = sphere_inputs(rng, runs * points, network.inputs).view(runs, points, -1)
    if inputs == "half_space":
        x = torch.where(x[..., :1] < 0, -x, x)
    z = _signed(gaussian(rng, runs, points), labels)
    directions = unit_vectors(rng, runs, network.size)
    if starts == "positive":
        directions = directions.abs()
    if starts == "zero":
        directions = _to_zero_set(Correlation(network, x, z), directions, unit_vectors(rng, 64, network.size))
    return Family(name, kind, network, x, z, directions)


def _signed(z: Float[Tensor, "s n"], labels: Labels) -> Float[Tensor, "s n"]:
    alternating = torch.where(torch.arange(z.shape[1]) % 2 == 0, 1.0, -1.0).to(z)
    signs = {"mixed": z.sign(), "negative": -alternating.abs(), "positive": alternating.abs(), "alternating": alternating}
    return z.abs() * signs[labels]


def _to_zero_set(correlation: Correlation, starts: Float[Tensor, "s k"], others: Float[Tensor, "m k"]) -> Float[Tensor, "s k"]:
    """Points with N = 0 between each start and the first of `others` at which N has the other sign. ValueError if none has."""
    sign = correlation.value(starts).sign()
    opposite = torch.stack([correlation.value(other.expand_as(starts)).sign() == -sign for other in others])
    if not bool(opposite.any(dim=0).all()):
        raise ValueError("the NCF of some row has one sign on all of the starts")
    near, far = starts, others[opposite.to(torch.int64).argmax(dim=0)]
    for _ in range(80):
        middle = unit(near + far)
        same = (correlation.value(middle).sign() == sign)[:, None]
        near, far = torch.where(same, middle, near), torch.where(same, far, middle)
    return near
