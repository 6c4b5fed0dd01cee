"""Controls of Section 5.1: the shadow with the NCF of permuted labels, and degree three in the time of degree two."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool

from flowcheck.alignment.reference import reference
from flowcheck.alignment.shadow import Cases, Shadow, shadow
from flowcheck.alignment.study import Study
from flowcheck.flows.ending import Ending
from flowcheck.networks.network import Network
from flowcheck.papers.homogeneous import deviation_rate
from flowcheck.papers.homogeneous.early_alignment import for_all_cases, from_limit, last_deviation, refined
from flowcheck.papers.homogeneous.theorem_5_1 import margin
from flowcheck.papers.two_homogeneous import bounds
from flowcheck.pipeline.evidence import Found


def permuted(study: Study, wrong: Study, deltas: Sequence[float]) -> Found:
    """At most until the u of permuted labels has grown to 1 / delta: beyond, w trains, and no claim speaks of it.

    Cases whose labels a permutation leaves as they are have nothing wrong, and those in which u is at its end at once nothing to
    compare: they have no say.
    """
    on_plateau = wrong.ends.below(-math.log(max(deltas)))
    until = wrong.ends.at(torch.minimum(wrong.moments[0], on_plateau))[1]
    scales = for_all_cases(deltas, study)
    both = shadow(study.network, study.x, study.losses, wrong.cases, scales, until[:, None], rtol=study.rtol)
    told = study.cases.driven_by_another(wrong.cases) & (until > 0).cpu().numpy()
    return _deviation("permuted", both, deltas, told)


def cubic(study: Study, network: Network, cases: Cases, deltas: Sequence[float]) -> Found:
    """A network of degree three with the data of `study`: growing cases in the time of degree two, and their dichotomy."""
    ends = reference(network, study.x, cases.z, cases.starts, smallest_epsilon=study.epsilons[-1])
    grows = (ends.branch == Ending.GROWS).nonzero()[:, 0]
    until = ends.at(ends.moment(study.epsilons[0]))[1][grows]
    scales = torch.tensor(deltas, dtype=study.x.dtype, device=study.x.device).expand(len(grows), -1)
    both = shadow(network, study.x, study.losses, cases.take(grows), scales, until[:, None], rtol=study.rtol, degree=2.0)
    norm = refined(*(run.s.norm(dim=-1)[:, -1, -1] for run in both))
    apart = refined(*(run.misalignment(ends.limit[grows])[:, -1, -1] for run in both))
    apart = from_limit(apart, ends.limit_error[grows].cpu().numpy())
    eta = 0.5 * ends.norm_floor[grows].cpu().numpy()
    margins = margin(bounds.dichotomy_margin, norm, apart, eta, study.epsilons[-1])
    told = (until > 0).cpu().numpy()
    return {**_deviation("cubic", both, deltas, told), "dichotomy_margin_cubic": margins.smallest_of_all()}


def _deviation(name: str, both: tuple[Shadow, Shadow], deltas: Sequence[float], rows: Bool[np.ndarray, " s"]) -> Found:
    r"""Slope of $\ln\|s-u\|$ on $\ln\delta$, the smallest at the last delta; for a figure all of them, and the size of u."""
    deviation, size = last_deviation(*both)[rows], both[0].u.norm(dim=-1)[:, 0, -1].cpu().numpy()[rows]
    return {
        f"shadowing_slope_{name}": deviation_rate.of_all(deviation, deltas),
        f"deviation_{name}_min": deviation[:, -1].smallest_of_all(),
        f"{name}_deviation": deviation.value,
        f"{name}_size": size,
    }
