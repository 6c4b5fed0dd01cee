"""Controls of Section 5.1: degree three with one thing wrong at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.alignment.reference import COARSER
from flowcheck.alignment.shadow import shadow
from flowcheck.alignment.study import Study
from flowcheck.flows.events import Event
from flowcheck.flows.flow import gradient_flow
from flowcheck.networks.network import Network
from flowcheck.networks.problem import Objective
from flowcheck.networks.sums import Mixture
from flowcheck.papers.homogeneous import deviation_rate
from flowcheck.papers.homogeneous.early_alignment import for_all_cases, last_deviation, refined
from flowcheck.pipeline.evidence import Found, Measurement

DEGREE = 3.0
SHORT = math.log(1.5)
r"""Times $L\mathcal N(u_*)$: how long s and u are compared without homogeneity, in units in which u has grown by half."""
WRONG_SHARE = 0.5
"""Of the time of u: so long the NCF flow of permuted labels is followed."""
LATE = 10.0
"""Times the bound of the norm: where a flow that is followed beyond the blow-up time is stopped."""
LATE_RTOL = 1e-6
SMALL = 1e-3
"""Bounds of the norm, times the smallest delta, from which there is room to grow."""


def deviation_slopes(study: Study, wrong: Study, other: Network, deltas: Sequence[float]) -> Found:
    r"""Slope of $\ln\|s-u\|$ on $\ln\delta$ with u from permuted labels, in the time of degree two, with `other` mixed in.

    Cases whose labels a permutation leaves as they are have nothing wrong, and those in which u takes no step, as its end is so
    near, nothing to compare: they have no say.
    """
    ends, moment = study.ends, study.moments[0]
    time, short = ends.at(moment)[1], SHORT / (DEGREE * ends.value)
    mixture = Mixture(f"with {other.name}", ((1.0, study.network), (0.5, other)), DEGREE)
    scales, found = for_all_cases(deltas, study), {}
    for name, network, cases, until, degree in (
        ("permuted", study.network, wrong.cases, wrong.ends.before(WRONG_SHARE * time), DEGREE),
        ("unscaled", study.network, study.cases, time, DEGREE - 1),
        ("mixture", mixture, study.cases, short, DEGREE),
    ):
        both = shadow(network, study.x, study.losses, cases, scales, until[:, None], rtol=study.rtol, degree=degree)
        told = (until > 0).cpu().numpy()
        if name == "permuted":
            told &= study.cases.driven_by_another(cases)
        found[f"deviation_slope_{name}"] = deviation_rate.of_all(last_deviation(*both)[told], deltas)
    return found


def late_norm_ratio(study: Study, delta: float) -> Measurement:
    """Smallest norm over its bound before twice the blow-up time: how little a time beyond T changes.

    Cases of the first loss whose bound leaves room to grow from this delta. Flows are stopped at `LATE` times the bound; 0 where
    they get there too late.
    """
    ends = study.ends
    radius = ends.largest_norm(study.moments[0]) + study.epsilons[0]
    growing = study.growing()
    rows = growing[radius[growing] * delta <= SMALL]
    bound = radius[rows].log()
    until = Event("ten times the bound", lambda now: now.log_growth - bound[now.index] - math.log(LATE))
    problem = Objective(study.network, study.x, study.cases.y[rows], study.losses[0])

    def ratio(rtol: float) -> Float[Tensor, " r"]:
        late = gradient_flow(problem, study.cases.starts[rows], delta, rtol=rtol, until=[until])
        return torch.where(late.time <= 2 * ends.blow_up[rows], (late.log_growth - bound).exp(), 0.0)

    return refined(ratio(LATE_RTOL), ratio(COARSER * LATE_RTOL)).smallest_of_all()
