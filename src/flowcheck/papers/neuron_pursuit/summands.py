r"""Flows that maximise a sum $\sum_{i=1}^m\mathcal G_i(w_i)$ of L-homogeneous functions: what Lemmas 10 and 11 speak of.

Each weight has a flow of its own. Sums of powers have flows in closed form; NCFs of small networks are followed by the solver of
`flows`, in logarithms of the norm. Shapes [C, m] are competitions and their functions.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation.ncf import Correlation
from flowcheck.data.synthetic import gaussian, sphere_inputs, unit_vectors
from flowcheck.flows.ending import Ends
from flowcheck.flows.flow import Save, blow_up_time, gradient_flow
from flowcheck.flows.rescaled import FlowPath
from flowcheck.measures.refinement import Refined
from flowcheck.networks.network import Network

SETTLED = 1e-7
"""Sine of the angle between direction and gradient at which a direction has settled; values are then known to its square."""
RTOL, COARSER = 1e-10, 10.0
TAIL = 30.0
r"""A flow of degree L > 2 ends where $\|w\|^{L-2}$ is e to this power: what is left to the blow-up is 1e-13 of the time."""
SAMPLES = 6


class Summands(ABC):
    """Functions with their starts of norm one, and what their flows do."""

    degree: float
    left: Float[np.ndarray, " p"]
    """Of the first time of blow-up, what is left where shares are read: as little as times are known."""

    @property
    @abstractmethod
    def start_value(self) -> Refined:
        r"""$\mathcal G_i(w_{i0})$ [C, m]."""

    @property
    @abstractmethod
    def limit_value(self) -> Refined:
        r"""$\mathcal G_i(w_i^*)$ [C, m]."""

    @property
    @abstractmethod
    def blow_up(self) -> Refined:
        """T_i [C, m], of degrees above two."""

    @property
    @abstractmethod
    def settled(self) -> Float[np.ndarray, "c m"]:
        """When the direction has settled, of degree two."""

    @abstractmethod
    def log_norms(self, end: Float[np.ndarray, "c m"], left: Float[np.ndarray, " p"]) -> Refined:
        r"""$\ln\|w_i\|$ at the times `end` (1 - `left`) [C, m, P]."""

    @abstractmethod
    def faster(self, factor: Float[np.ndarray, "c m"]) -> Summands:
        """The same starts, each function multiplied by a number above 0."""


@dataclass(frozen=True)
class PowerSums(Summands):
    r"""$\mathcal G(w)=\sum_k\lambda_k|w_k|^L$; for L = 2 every quadratic form is one, in the basis of its eigenvectors.

    $|w_k|(t)=|w_k(0)|(1-t/T_k)^{-1/(L-2)}$ with $T_k=1/(L(L-2)\lambda_k|w_k(0)|^{L-2})$, and $|w_k(0)|e^{2\lambda_kt}$ for L = 2.
    """

    degree: float
    coefficients: Float[np.ndarray, "c m k"]
    starts: Float[np.ndarray, "c m k"]
    left = np.array([1e-8, 1e-10])

    @functools.cached_property
    def own_times(self) -> Float[np.ndarray, "c m k"]:
        """T_k; negative where the entry decays."""
        with np.errstate(divide="ignore"):
            return 1 / (self.degree * (self.degree - 2) * self.coefficients * np.abs(self.starts) ** (self.degree - 2))

    @functools.cached_property
    def winner(self) -> np.ndarray:
        """The entry along which w goes to infinity [C, m, 1]."""
        if self.degree == 2:
            alive = np.where(self.starts != 0, self.coefficients, -np.inf)
            return alive.argmax(axis=-1)[..., None]
        return np.where(self.own_times > 0, self.own_times, np.inf).argmin(axis=-1)[..., None]

    @property
    def start_value(self) -> Refined:
        value = (self.coefficients * np.abs(self.starts) ** self.degree).sum(axis=-1)
        return Refined.of(value, value)

    @property
    def limit_value(self) -> Refined:
        value = np.take_along_axis(self.coefficients, self.winner, axis=-1)[..., 0]
        return Refined.of(value, value)

    @property
    def blow_up(self) -> Refined:
        value = np.take_along_axis(self.own_times, self.winner, axis=-1)[..., 0]
        return Refined.of(value, value)

    @property
    def settled(self) -> Float[np.ndarray, "c m"]:
        ahead = np.take_along_axis(self.coefficients, self.winner, axis=-1) - self.coefficients
        ratio = np.abs(self.starts) / np.abs(np.take_along_axis(self.starts, self.winner, axis=-1))
        others = (ahead > 0) & (ratio > 0)
        return np.where(others, np.log(np.where(others, ratio, 1.0) / SETTLED) / np.where(others, 2 * ahead, 1.0), 0.0).max(
            axis=-1
        )

    def log_norms(self, end: Float[np.ndarray, "c m"], left: Float[np.ndarray, " p"]) -> Refined:
        ends, left = end[..., None, None], left[:, None]
        with np.errstate(divide="ignore"):
            begin = np.log(np.abs(self.starts))[:, :, None, :]
        if self.degree == 2:
            entries = begin + 2 * self.coefficients[:, :, None, :] * ends * (1 - left)
        else:
            own = self.own_times[:, :, None, :]
            entries = begin - np.log((own - ends) / own + ends / own * left) / (self.degree - 2)
        value = 0.5 * np.logaddexp.reduce(2 * entries, axis=-1)
        return Refined.of(value, value).with_rounding(1e-13 if self.degree == 2 else 1e-15 / float(left.min()))

    def faster(self, factor: Float[np.ndarray, "c m"]) -> PowerSums:
        return replace(self, coefficients=self.coefficients * factor[..., None])

    def repeated(self, rng: np.random.Generator) -> PowerSums:
        """Every function once more, from a start of its own."""
        others = unit_vectors(rng, self.starts[..., 0].size, self.starts.shape[-1]).numpy().reshape(self.starts.shape)
        return PowerSums(self.degree, np.tile(self.coefficients, (1, 2, 1)), np.concatenate([self.starts, others], axis=1))


def power_sums(rng: np.random.Generator, degree: float, competitions: int, functions: int, entries: int = 3) -> PowerSums:
    r"""Coefficients between -1 and 1, starts on the sphere with $\mathcal G(w_0)>0$: where it is not, it changes its sign."""
    coefficients = rng.uniform(-1.0, 1.0, (competitions, functions, entries))
    starts = unit_vectors(rng, competitions * functions, entries).numpy().reshape(coefficients.shape)
    drawn = PowerSums(degree, coefficients, starts)
    return drawn.faster(np.sign(drawn.start_value.value))


@dataclass(frozen=True)
class NcfFlows(Summands):
    """NCFs of one network, each on data of its own. `starts` [C m, k] may have any norm, which Lemma 11 does not allow."""

    network: Network
    x: Float[Tensor, "s n d"]
    z: Float[Tensor, "s n"]
    starts: Float[Tensor, "s k"]
    functions: int
    left = np.array([1e-4, 1e-6])

    @property
    def degree(self) -> float:  # type: ignore[override]
        return float(self.network.degree)

    @functools.cached_property
    def correlation(self) -> Correlation:
        """Of each flow at two tolerances."""
        return Correlation(self.network, torch.cat([self.x, self.x]), torch.cat([self.z, self.z]))

    @property
    def _rtol(self) -> Tensor:
        return torch.tensor([RTOL, COARSER * RTOL], dtype=self.z.dtype).repeat_interleave(len(self.z))

    @functools.cached_property
    def ends(self) -> FlowPath:
        """Followed until the direction has settled, and for L > 2 nearly to the blow-up."""
        escaped = TAIL / (self.degree - 2) if self.degree > 2 else -np.inf
        ends = Ends(SETTLED, rest=1e-12, vanished=-np.inf, escaped=escaped, sine=True)
        size = torch.cat([self.z, self.z]).norm(dim=-1)
        starts = torch.cat([self.starts, self.starts])
        return gradient_flow(self.correlation, starts, rtol=self._rtol, until=ends.events(size))

    @property
    def limits(self) -> Float[Tensor, "s k"]:
        """w_i^*, of the finer tolerance."""
        return self.ends.direction[: len(self.z)]

    def _refined(self, both: Tensor) -> Refined:
        fine, coarse = both.numpy().reshape(2, -1, self.functions, *both.shape[1:])
        return Refined.of(fine, coarse)

    @functools.cached_property
    def start_value(self) -> Refined:
        return self._refined(self.correlation.value(torch.cat([self.starts, self.starts]))).with_rounding(1e-14)

    @functools.cached_property
    def limit_value(self) -> Refined:
        return self._refined(self.correlation.value(self.ends.direction)).with_rounding(SETTLED**2)

    @functools.cached_property
    def blow_up(self) -> Refined:
        time, tail = blow_up_time(self.ends, self.correlation)
        return self._refined(time).with_rounding(self._refined(tail).value)

    @property
    def settled(self) -> Float[np.ndarray, "c m"]:
        return self._refined(self.ends.time).value

    def log_norms(self, end: Float[np.ndarray, "c m"], left: Float[np.ndarray, " p"]) -> Refined:
        times = torch.from_numpy((end[..., None] * (1 - left)).reshape(len(self.z), -1))
        path = gradient_flow(
            self.correlation,
            torch.cat([self.starts, self.starts]),
            rtol=self._rtol,
            length=torch.cat([times, times]).amax(dim=1),
            clock="time",
            save=Save(at=torch.cat([times, times])),
        )
        assert path.recorded is not None
        return self._refined(path.recorded.log_norm())

    def faster(self, factor: Float[np.ndarray, "c m"]) -> NcfFlows:
        return replace(self, z=self.z * torch.from_numpy(factor.reshape(-1, 1)))

    def residuals(self) -> Refined:
        """KKT residuals where flows end [C m], at two tolerances."""
        return self._refined(self.correlation.kkt_residual(self.ends.direction)).flat()


def ncf_flows(
    network: Network, rng: np.random.Generator, competitions: int, functions: int, *, copies: int = 1, positive: bool = False
) -> NcfFlows:
    """Random data and starts with a positive NCF: where it is negative, z changes its sign.

    Each function occurs `copies` times, with starts of its own. `positive`: for one leaky neuron, z and the outgoing weight
    are positive and incoming weights change their sign instead, so that no kink attracts.
    """
    distinct = competitions * functions
    x = sphere_inputs(rng, distinct * SAMPLES, network.inputs).view(distinct, SAMPLES, -1)
    z, starts = gaussian(rng, distinct, SAMPLES), unit_vectors(rng, distinct * copies, network.size)
    if positive:
        z, starts[:, -1] = z.abs(), starts[:, -1].abs()
    else:
        z = z * Correlation(network, x, z).value(starts[::copies]).sign()[:, None]
    every = Correlation(network, x.repeat_interleave(copies, dim=0), z.repeat_interleave(copies, dim=0))
    if positive:
        starts[:, :-1] *= every.value(starts).sign()[:, None]
    while bool((wrong := every.value(starts) <= 0).any()):  # further starts of a function are drawn until they suit it
        starts[wrong] = unit_vectors(rng, int(wrong.sum()), network.size)
    return NcfFlows(network, every.x, every.z, starts, functions * copies)
