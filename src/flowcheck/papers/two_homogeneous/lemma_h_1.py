r"""Lemma H.1 of two_homogeneous: KKT points of one two-layer neuron are balanced, $|v|=\|u\|$, and give KKT points of (90).

(90) is $\max_{\|u\|=1}z^\top\sigma(X^\top u)$. Points are taken as ascents leave them, at a residual that thresholds allow for.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation import clarke
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.flows import events
from flowcheck.flows.flow import gradient_flow
from flowcheck.geometry import unit
from flowcheck.measures.readings import largest, smallest
from flowcheck.measures.refinement import Refined
from flowcheck.networks import zoo
from flowcheck.papers.homogeneous.hypotheses import ROUNDING
from flowcheck.papers.two_homogeneous.example_networks import neuron
from flowcheck.papers.two_homogeneous.neuron_points import Neurons
from flowcheck.pipeline.evidence import Found, Measurement

RTOL, COARSE_RTOL = 1e-7, 1e-6
GROWTH = 1e4
"""Of the norm, after which the ratio of the layers is read."""
SLOPE = 0.2


def lemma_h1(neurons: Neurons, rng: np.random.Generator) -> Found:
    """Balance, residual of the direction and value at all points, on kinks or not; and the same directions, unbalanced."""
    x, z, balance, residual, lifted, values = neurons.x, neurons.z, [], [], [], []
    around = synthetic.gaussian(rng, 64, 3).to(x)
    for slope in neurons.smooth:
        single, pair = Correlation(zoo.power_net(1, 3, 1.0, slope=slope), x, z), neurons.correlation(slope)
        for w in [*neurons.smooth[slope], *neurons.kinked[slope]]:
            u, sign = math.sqrt(2) * w[:3], w[3:].sign()
            balance.append(abs(abs(float(w[3])) - math.sqrt(0.5)))
            signs = clarke.nearby_signs(single.network, u, x, around)
            residual.append(clarke.enclosed_clarke_residual(single, u, signs))
            values.append(abs(float(pair.value(w[None]) - sign * single.value(u[None]) / 2)))
            lifted.append(tangential_over_radial(pair, torch.cat([0.6 * unit(u[None])[0], 0.8 * sign])))
    return {
        "h1_balance_gap": largest(np.array(balance), ROUNDING),
        "h1_residual_of_direction": largest(*np.transpose(residual)),
        "h1_value_gap": largest(np.array(values), ROUNDING),
        "h1_kink_points": Measurement.count(sum(map(len, neurons.kinked.values())), len(neurons.kinked)),
        "h1_residual_unbalanced": smallest(*np.transpose(lifted)),
    }


def tangential_over_radial(correlation: Correlation, w: Float[Tensor, " k"]) -> tuple[float, float]:
    r"""Smallest tangential part over $\partial\mathcal N(w)$, over the radial part, which all elements share: $2\mathcal N(w)$.

    And its error. For $w=(0.6u,\,0.8v)$ with a balanced KKT point it is 7/24 exactly: the tangent of the angle to (0.8, 0.6). The
    largest element, which other residuals are relative to, may be many times as large as the radial part.
    """
    signs = clarke.all_signs(correlation.network, w, correlation.x)
    residual, error = clarke.enclosed_clarke_residual(correlation, w, signs)
    largest_element = float(clarke.generators(correlation, w, signs).norm(dim=1).max())
    scale = largest_element / abs(2 * float(correlation.value(w[None])))
    return residual * scale, error * scale


def balance_along_flows(x: Float[Tensor, "n 3"], z: Float[Tensor, " n"], rng: np.random.Generator, count: int) -> Found:
    """From unbalanced starts with N > 0 the norm diverges while v^2 - |u|^2 is kept: |v| / |u| goes to 1.

    For z of one sign: then v > 0, every kink is convex in u, and no flow slides along one. Raises ValueError for other z.
    """
    if bool((z < 0).any()):
        raise ValueError("z has entries below 0: flows may slide along kinks")
    correlation = Correlation(neuron(SLOPE), x, z)
    starts = synthetic.unit_vectors(rng, 8 * count, 4).to(x)
    starts = starts[(correlation.value(starts) > 0.05) & ((starts[:, 3] ** 2 - 0.5).abs() > 0.1)][:count]

    def gap(w: Float[Tensor, "s 4"]) -> np.ndarray:
        return (w[:, 3].abs() / w[:, :3].norm(dim=1) - 1).abs().cpu().numpy()

    ends = (gradient_flow(correlation, starts, until=[events.growth_reaches(GROWTH)], rtol=rtol) for rtol in (RTOL, COARSE_RTOL))
    return {
        "h1_flow_ratio_gap": Refined.of(*(gap(path.direction) for path in ends)).largest(),
        "h1_flow_ratio_gap_start": smallest(gap(starts), ROUNDING),
    }
