r"""The delta of Eq. (45), of which the proof of Theorem 5.1 says that everything holds there, and Gronwall's bound on the way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from flowcheck.alignment.shadow import Cases
from flowcheck.alignment.study import Study
from flowcheck.losses import HALF_SUM
from flowcheck.measures.refinement import Refined
from flowcheck.networks.zoo import power_net
from flowcheck.papers.deep_homogeneous import bounds
from flowcheck.papers.deep_homogeneous.theorem_5_1 import dichotomy
from flowcheck.papers.homogeneous.early_alignment import Compared
from flowcheck.pipeline.evidence import Measurement

SMALLEST_LOG = -650.0
"""Of delta^L in float64; where the explicit delta of Eq. (45) lies below, it is not run."""
BEFORE, LABEL = 1.01, 0.5
"""1 - cos at the start of a nearly sharp case, over epsilon; its label, so small that the square loss has the larger constant."""
RESOLUTION = 100.0
"""A deviation is held against its bound where it is at least so many times its own error."""


@dataclass(frozen=True)
class Constants:
    r"""Of the proof, for each case and epsilon [S, E]; NaN where the network has no closed bounds.

    Attributes:
        degree: L.
        radius: $\tilde B_\epsilon=B_\epsilon+\epsilon$.
        label_norm: $\|y\|$ [S, 1].
        beta: Eq. (46).
        log_delta_bar: of Eq. (45).
        log_gronwall, log_gronwall_rate: of the bound on $\|s-u\|^2$ for delta = 1, and how it grows with the time.
    """

    degree: float
    radius: Float[np.ndarray, "s e"]
    label_norm: Float[np.ndarray, "s 1"]
    beta: float
    log_delta_bar: Float[np.ndarray, "s e"]
    log_gronwall: Float[np.ndarray, "s e"]
    log_gronwall_rate: Float[np.ndarray, "s e"]

    @classmethod
    def of(cls, study: Study) -> Constants:
        """Of the moments of u, in closed form."""
        network, x = study.network, study.x
        epsilon, size = np.array(study.epsilons), study.cases.y.norm(dim=-1).cpu().numpy()[:, None]
        time, radius = study.times.cpu().numpy(), study.largest_norms.cpu().numpy() + epsilon
        closed = (network.jacobian_bound(x), network.output_bound(x), network.jacobian_lipschitz_bound(x, 1.0))
        alpha, beta, slope = (math.nan if bound is None else bound for bound in closed)
        change = bounds.log_change_constant(beta, radius, network.degree, size)
        lipschitz = slope * radius ** (network.degree - 2)
        common = (epsilon, time, radius, network.degree, alpha, lipschitz, size, change)
        delta_bar, gronwall = bounds.log_delta_bar(*common), bounds.log_gronwall_bound(*common, log_delta=0.0)
        rate = 1 / np.maximum(time, bounds.SMALLEST) + 2 * lipschitz * size
        return cls(network.degree, radius, size, beta, np.asarray(delta_bar), np.asarray(gronwall), rate)

    @property
    def usable(self) -> Bool[np.ndarray, "s e"]:
        """Whether float64 holds delta^L."""
        return self.degree * self.log_delta_bar > SMALLEST_LOG

    def delta_bar(self, otherwise: float) -> Float[np.ndarray, "s e"]:
        """The delta itself, and `otherwise` where it is not usable."""
        return np.exp(np.where(self.usable, self.log_delta_bar, math.log(otherwise)))


def nearly_sharp(degrees: Sequence[int], epsilons: Sequence[float], rtol: float) -> list[tuple[Constants, Compared]]:
    r"""One unit on one input, from shortly before it is aligned within each epsilon, at the delta of Eq. (45).

    There $\alpha$, $\beta$ and K are attained, u hardly grows until T, and $\|s-u\|$ grows as the proof lets it: without
    $\|s-u\|\le\epsilon$ in one factor, which leaves a half of a half.
    """
    found = []
    for degree, epsilon in itertools.product(degrees, epsilons):
        network, x = power_net(1, 2, degree), torch.tensor([[1.0, 0.0]], dtype=torch.float64)
        angle = math.acos(1 - BEFORE * epsilon)
        start = torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)
        cases = Cases.of((HALF_SUM,), torch.full((1, 1, 1), LABEL, dtype=torch.float64), start)
        study = Study.begin(network, x, (HALF_SUM,), cases, [epsilon], rtol)
        constants = Constants.of(study)
        delta = torch.from_numpy(constants.delta_bar(math.nan))
        found.append((constants, Compared.of(study, study.compare(delta))))
    return found


def gronwall_log_excess(parts: Sequence[tuple[Constants, Compared]]) -> Measurement:
    r"""Largest logarithm of $\|s-u\|^2$ over its bound, of deviations within epsilon from some delta on, and resolved."""
    excesses = []
    for constants, sweep in parts:
        deviation, error = sweep.deviation.value, sweep.deviation.error
        bound = constants.log_gronwall[:, None] + constants.degree * np.log(sweep.deltas)[:, :, None]
        measured = dichotomy(sweep).close().valid & (deviation >= RESOLUTION * error) & (deviation > 0) & np.isfinite(bound)
        excess = 2 * np.log(np.where(deviation > 0, deviation, 1.0)) - bound
        late = np.abs(sweep.moment.value - sweep.time[:, None]) + sweep.moment.error
        moved = 2 * error / np.where(deviation > 0, deviation, 1.0) + late * constants.log_gronwall_rate[:, None]
        excesses.append(Refined(excess, moved)[measured])
    return Refined.joined(excesses).largest_of_all()
