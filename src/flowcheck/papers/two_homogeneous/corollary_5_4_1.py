"""Corollary 5.4.1 of two_homogeneous: in a separable network every block aligns, or shrinks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from flowcheck.alignment.reference import reference
from flowcheck.alignment.shadow import shadow
from flowcheck.alignment.study import Study
from flowcheck.flows.ending import Ending
from flowcheck.geometry import misalignment
from flowcheck.measures.readings import count
from flowcheck.measures.refinement import Refined
from flowcheck.networks.network import Network
from flowcheck.papers.homogeneous.early_alignment import for_all_cases, from_limit, refined
from flowcheck.papers.homogeneous.kkt_limits import Limits, largest_residual, smallest_value
from flowcheck.papers.homogeneous.theorem_5_1 import from_here_on, margin
from flowcheck.papers.two_homogeneous import bounds
from flowcheck.papers.two_homogeneous.theorem_5_1 import largest_epsilon
from flowcheck.pipeline.evidence import Found, Measurement


@dataclass(frozen=True)
class Blocks:
    r"""Every block of $w/\delta$ at the T at which the last of them is within epsilon of its own end.

    Attributes:
        epsilon: [E], decreasing.
        eta: of each case [S].
        norm, misalignment: at the deltas [S, D, E, H].
        large_norm, large_misalignment: at a large delta [S, E, H].
        start_norm, start_misalignment: at time 0 [S, H].
        limits: of the NCF flow of every block.
    """

    epsilon: Float[np.ndarray, " e"]
    eta: Float[np.ndarray, " s"]
    norm: Refined
    misalignment: Refined
    large_norm: Refined
    large_misalignment: Refined
    start_norm: Refined
    start_misalignment: Refined
    limits: Limits

    @classmethod
    def of(cls, study: Study, unit: Network, epsilons: Sequence[float], deltas: Sequence[float], large: float) -> Blocks:
        """The NCF flow of a block is that of its `unit`, from a unit vector, with the vector z of its case."""
        epsilon, cases, count = sorted(epsilons, reverse=True), study.cases, len(study.network.blocks)
        parts = cases.starts.view(len(cases.starts), count, unit.size)
        norms = parts.norm(dim=-1)
        z, starts = cases.z.repeat_interleave(count, dim=0), (parts / norms.unsqueeze(-1)).flatten(0, 1)
        ends = reference(unit, study.x, z, starts, smallest_epsilon=epsilon[-1])
        floor = torch.where(ends.branch == Ending.VANISHES, torch.inf, ends.norm_floor).view(norms.shape) * norms
        times = torch.stack([ends.at(ends.moment(each))[1].view(norms.shape).amax(dim=1) for each in epsilon], dim=1)
        scales, limit = for_all_cases([*deltas, large], study), ends.limit.view(len(parts), 1, 1, count, unit.size)
        both = shadow(study.network, study.x, study.losses, cases, scales, times, rtol=study.rtol)
        blocks = [run.s.view(*run.s.shape[:-1], count, unit.size) for run in both]
        norm = refined(*(s.norm(dim=-1) for s in blocks))
        at_start = misalignment(parts, limit[:, 0, 0])  # no flow lies between, so that no tolerance moves it
        known_to = ends.limit_error.view(norms.shape).cpu().numpy()
        apart = from_limit(refined(*(misalignment(s, limit) for s in blocks)), known_to[:, None, None])
        return cls(
            epsilon=np.array(epsilon),
            eta=0.5 * floor.amin(dim=1).clamp_max(2.0).cpu().numpy(),
            norm=norm[:, :-1],
            misalignment=apart[:, :-1],
            large_norm=norm[:, -1],
            large_misalignment=apart[:, -1],
            start_norm=refined(norms, norms),
            start_misalignment=from_limit(refined(at_start, at_start), known_to),
            limits=Limits.of(unit, study.x, z, ends),
        )


def readings(found: Mapping[str, Blocks]) -> Found:
    """The smallest margin of any block at the smallest delta; cases in which not all blocks have one from some delta on.

    As controls the margin at time 0, and from a large delta. How the NCF flows of the blocks of each network end.
    """
    at_smallest, at_large, at_start, asked, answered = [], [], [], [], []
    numbers: dict[str, Measurement] = {}
    for name, blocks in found.items():
        eta, epsilon = blocks.eta[:, None, None], blocks.epsilon[:, None]
        valid = blocks.epsilon < largest_epsilon(blocks.eta)[:, None]
        margins = margin(bounds.dichotomy_margin, blocks.norm, blocks.misalignment, eta[..., None], epsilon)
        asked.append(valid)
        answered.append((valid[:, None] & from_here_on(np.all(margins.value >= 0, axis=-1))).any(axis=1))
        at_smallest.append(margins[:, -1][valid])
        large = margin(bounds.dichotomy_margin, blocks.large_norm, blocks.large_misalignment, eta, epsilon)
        at_large.append(large[valid])
        start = margin(bounds.dichotomy_margin, blocks.start_norm[:, None], blocks.start_misalignment[:, None], eta, epsilon)
        at_start.append(start[valid])
        grows = blocks.limits.branch == Ending.GROWS
        numbers |= {f"blocks_direction_{name}": count(grows), f"blocks_elsewhere_{name}": count(~grows)}
    missing = sum(int((valid & ~there).sum()) for valid, there in zip(asked, answered, strict=True))
    return numbers | {
        "block_margin_start": Refined.joined([part.flat() for part in at_start]).smallest_of_all(),
        "block_margin_min": Refined.joined([part.flat() for part in at_smallest]).smallest_of_all(),
        "block_margin_large_delta": Refined.joined([part.flat() for part in at_large]).smallest_of_all(),
        "block_cases_without_delta_bar": Measurement.count(missing, sum(int(valid.sum()) for valid in asked)),
        "block_residual_max": largest_residual([blocks.limits for blocks in found.values()]),
        "block_value_min": smallest_value([blocks.limits for blocks in found.values()]),
    }
