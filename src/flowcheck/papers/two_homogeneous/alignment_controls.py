"""Controls of Section 5.1: the shadow with the NCF of permuted labels, and degree three in the time of degree two."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from flowcheck.alignment.reference import reference
from flowcheck.alignment.shadow import Cases, Shadow, shadow
from flowcheck.alignment.study import Study
from flowcheck.flows.ending import Ending
from flowcheck.measures.readings import rate, smallest_of_all
from flowcheck.networks.network import Network
from flowcheck.papers.homogeneous.early_alignment import for_all_cases
from flowcheck.papers.two_homogeneous import bounds
from flowcheck.pipeline.evidence import Found


def permuted(study: Study, wrong: Study, deltas: Sequence[float]) -> Found:
    """At most until the u of permuted labels has grown to 1 / delta: beyond, w trains, and no claim speaks of it."""
    on_plateau = wrong.ends.below(-math.log(max(deltas)))
    until = wrong.ends.at(torch.minimum(wrong.moments[0], on_plateau))[1]
    run, _ = shadow(
        study.network, study.x, study.losses, wrong.cases, for_all_cases(deltas, study), until[:, None], rtol=study.rtol
    )
    return _deviation("permuted", run, deltas)


def cubic(study: Study, network: Network, cases: Cases, deltas: Sequence[float]) -> Found:
    """A network of degree three with the data of `study`: growing cases in the time of degree two, and their dichotomy."""
    ends = reference(network, study.x, cases.z, cases.starts, smallest_epsilon=study.epsilons[-1])
    grows = (ends.branch == Ending.GROWS).nonzero()[:, 0]
    until = ends.at(ends.moment(study.epsilons[0]))[1][grows]
    scales = torch.tensor(deltas, dtype=study.x.dtype, device=study.x.device).expand(len(grows), -1)
    run, _ = shadow(network, study.x, study.losses, cases.take(grows), scales, until[:, None], rtol=study.rtol, degree=2.0)
    norm, apart = (part[..., -1].cpu().numpy() for part in (run.s.norm(dim=-1), run.misalignment(ends.limit[grows])))
    eta = 0.5 * ends.norm_floor[grows].cpu().numpy()
    margin = np.asarray(bounds.dichotomy_margin(norm, apart, eta[:, None], study.epsilons[-1]))
    return {**_deviation("cubic", run, deltas), "dichotomy_margin_cubic": smallest_of_all(margin[:, -1], 1e-4)}


def _deviation(name: str, run: Shadow, deltas: Sequence[float]) -> Found:
    r"""Slope of $\ln\|s-u\|$ on $\ln\delta$, the smallest at the last delta; for a figure all of them, and the size of u."""
    deviation, size = run.deviation()[..., -1].cpu().numpy(), run.u.norm(dim=-1)[:, 0, -1].cpu().numpy()
    x = np.broadcast_to(np.log(np.array(deltas)), deviation.shape)
    return {
        f"shadowing_slope_{name}": rate(x, np.log(deviation), np.full(x.shape, 1e-4), x < 0),
        f"deviation_{name}_min": smallest_of_all(deviation[:, -1], 1e-4),
        f"{name}_deviation": deviation,
        f"{name}_size": size,
    }
