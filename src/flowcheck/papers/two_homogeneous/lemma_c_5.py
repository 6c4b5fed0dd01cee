r"""Lemma C.5 of two_homogeneous: at the KKT points of $\max_{\|u\|=1}\mathcal N(u)$, $2\mathcal N(u)u\in\partial\mathcal N(u)$.

Points are taken as ascents leave them, at a residual that the thresholds allow for. Defects are relative to the largest
generator; their errors are those of the distance from a hull.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation import clarke
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.measures.readings import largest, smallest
from flowcheck.papers.homogeneous.hypotheses import ROUNDING
from flowcheck.papers.two_homogeneous.example_networks import two_homogeneous
from flowcheck.papers.two_homogeneous.neuron_points import Neurons, both_ways
from flowcheck.pipeline.evidence import Found, Measurement


def inclusion(correlation: Correlation, u: Float[Tensor, " k"], multipliers: Sequence[float]) -> list[tuple[float, float]]:
    """Distance of multiplier N(u) u from dN(u), and its error, for each multiplier; relative to the largest generator.

    NaN where all generators are 0: no unit is active there, and both sides are 0.
    """
    around = synthetic.gaussian(np.random.default_rng(0), 64, len(u)).to(u)
    s = clarke.generators(correlation, u, clarke.nearby_signs(correlation.network, u, correlation.x, around))
    targets = torch.stack([multiplier * correlation.value(u[None]) * u for multiplier in multipliers])
    size = float(s.norm(dim=1).max())
    found, scale = clarke.enclosed_hull_distance(targets.cpu().numpy(), s.cpu().numpy()), 1 / size if size > 0 else math.nan
    return [(float(distance) * scale, float(error) * scale) for distance, error in zip(*found, strict=True)]


def one_gradient(correlation: Correlation, u: Float[Tensor, " k"]) -> float:
    """Distance of 2N(u)u from the one element of dN(u) that back-propagation gives, relative to it."""
    gradient = correlation.gradient(u[None])[0]
    return float((gradient - 2 * correlation.value(u[None]) * u).norm() / gradient.norm())


def lemma_c5(
    x: Float[Tensor, "n 3"], z: Float[Tensor, " n"], rng: np.random.Generator, starts: int, points: int, neurons: Neurons
) -> Found:
    """At KKT points of the networks of Section 2, and of the neurons on their kinks; there one gradient alone does not do.

    Controls: the first `points` of the starts, and the multiplier 1 in place of 2.
    """
    smooth, half, random, kinked, alone = [], [], [], [], []
    for network in two_homogeneous().values():
        correlation, directions = Correlation(network, x, z), synthetic.unit_vectors(rng, starts, network.size).to(x)
        for u in both_ways(correlation, directions):
            right, wrong = inclusion(correlation, u, (2.0, 1.0))
            smooth.append(right)
            half.append(wrong)
        random += [inclusion(correlation, u, (2.0,))[0] for u in directions[:points]]
    for slope, on_kinks in neurons.kinked.items():
        correlation = neurons.correlation(slope)
        kinked += [inclusion(correlation, u, (2.0,))[0] for u in on_kinks]
        alone += [one_gradient(correlation, u) for u in on_kinks]
    groups = {"smooth": smooth, "kinked": kinked, "random": random}
    return {
        **{f"c5_{name}": np.array([defect for defect, _ in group]) for name, group in groups.items()},
        "c5_one_gradient": np.array(alone),
        "c5_inclusion_defect": largest(*np.transpose(smooth + kinked)),
        "c5_kink_points": Measurement.count(len(kinked), len(neurons.kinked)),
        "c5_inclusion_defect_random": smallest(*np.transpose(random)),
        "c5_inclusion_defect_half_multiplier": smallest(*np.transpose(half)),
        "c5_inclusion_defect_one_gradient": largest(np.array(alone), ROUNDING),
    }
