r"""Early alignment by the map (ours): the loss flow from $\delta w_0$ ends its first phase where the map says."""

from __future__ import annotations

import math

from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.correlation.ncf import Correlation
from flowcheck.flows import events, flow
from flowcheck.losses import HALF_SUM
from flowcheck.measures.readings import fraction
from flowcheck.networks.problem import Objective
from flowcheck.papers.two_homogeneous import stable_sets
from flowcheck.papers.two_homogeneous.landscape import Landscape
from flowcheck.pipeline.evidence import Found, Measurement


def early_alignment(landscape: Landscape, starts: Float[Tensor, "s 3"], permutation: Int[Tensor, " n"], delta: float) -> Found:
    r"""Directions against the map, when the norm reaches $\sqrt\delta$ or $\delta^2$; the control is a map of permuted labels."""
    ncf, maxima = landscape.ncf, landscape.maxima
    predicted, _ = stable_sets.nearest(landscape.limits(starts), maxima)
    shuffled = Correlation(ncf.network, ncf.x, ncf.z[permutation])
    other, _ = stable_sets.nearest(stable_sets.limits(shuffled, starts, landscape.points.relaxation), maxima)
    ends = [events.norm_reaches(math.sqrt(delta)), events.log_norm_below(2 * math.log(delta))]
    path = flow.gradient_flow(Objective(ncf.network, ncf.x, ncf.z, HALF_SUM), starts, delta, until=ends, rtol=1e-8)
    reached, _ = stable_sets.nearest(path.direction, maxima)
    growing = landscape.heights[predicted] > 0
    return {
        "early_directions": starts.cpu().numpy(),
        "early_agreement": fraction((reached == predicted).cpu().numpy()),
        "early_agreement_labels_permuted": fraction((reached == other).cpu().numpy()),
        "early_phase_mismatches": Measurement.count(int(((path.ended_by == 0) != growing).sum()), len(starts)),
    }
