"""What the statements on flows say of flows with a hypothesis broken: controls, which must fail.

With a tenth of the labels flipped the angle turns at 0.8 of its rate, so lower bounds that are sharp to a fifth must fail. Layers
that are out of balance move the same product faster: the upper bound on the angle and both bounds on the norm must fail.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from flowcheck.measures.refinement import refined
from flowcheck.networks import linear
from flowcheck.papers.spherical_data import (
    broken_flows,
    full_weights,
    lemma_7,
    lemma_8,
    proposition_2,
    proposition_4,
    theorem_1,
    theorem_3,
)
from flowcheck.papers.spherical_data.full_weights import Accuracy, FullFlow
from flowcheck.papers.spherical_data.phases import Phases
from flowcheck.papers.spherical_data.population import Array
from flowcheck.papers.spherical_data.reference_run import CLOCK
from flowcheck.pipeline.evidence import Found, Measurement

WITH_A_TURN, GROWING = (np.array([math.sin(angle), math.cos(angle)]) for angle in (1.5, 0.3))
"""A start whose norm shrinks, turns soon and grows; one whose norm grows at once."""

TIMES = np.concatenate([[0.0], np.geomspace(0.01, 10.0, 120)])
"""Lower bounds are sharpest at the start, and the turn comes at about 1.4."""


def flipped(weights: linear.Weights, resolved_from: float, accuracy: Accuracy) -> Found:
    """Excesses over the lower bounds of Theorem 1 or 3 with a tenth of the labels flipped, N = 1 or N > 2."""
    alone = len(weights) == 1
    theorem, excesses = ("theorem1", theorem_1.excesses) if alone else ("theorem3", theorem_3.excesses)
    columns = {"first_phase": "first", "second_phase": "second"} | (
        {"second_phase_from_start": "second_from_start"} if alone else {}
    )

    def measure(how: Accuracy) -> dict[str, Array]:
        found = excesses(as_phases(broken_flows.flipped(weights, TIMES, how), resolved_from))
        return {f"{theorem}_{bound}_excess_flipped": found[column] for bound, column in columns.items()}

    return {name: each.number() for name, each in refined(measure, accuracy, accuracy.coarser).items()}


def unbalanced_bounds(falling: linear.Weights, growing: linear.Weights, resolved_from: float, accuracy: Accuracy) -> Found:
    """Excess over the upper bound of Theorem 3 and the used shares of Lemma 8, N > 2, layers scaled by 3 and 1/3.

    The lower bound on the norm is asked of the flow that falls first, the upper one of the flow that grows.
    """

    def measure(how: Accuracy) -> dict[str, Array]:
        down, up = (as_phases(broken_flows.unbalanced(weights, TIMES, how), resolved_from) for weights in (falling, growing))
        return {
            "theorem3_upper_excess_unbalanced": theorem_3.excesses(down)["upper"],
            "lemma8_lower_ratio_unbalanced": lemma_8.used_shares(down)["lemma8_lower"],
            "lemma8_upper_ratio_unbalanced": lemma_8.used_shares(up)["lemma8_upper"],
        }

    return {name: each.number() for name, each in refined(measure, accuracy, accuracy.coarser).items()}


def unbalanced_identities(weights: linear.Weights, times: Float[Array, " p"], accuracy: Accuracy) -> Found:
    """Residuals of Eq. (16) and (39), distance to Proposition 4 and, in cosine, to the balanced flow, layers scaled by 3 and 1/3.

    From the paper's own start on the circle, N > 1.
    """
    fine, coarse = (broken_flows.unbalanced(weights, times, how) for how in (accuracy, accuracy.coarser))

    def distances(flow: FullFlow) -> dict[str, float]:
        return {
            "proposition4_unbalanced": proposition_4.distance(flow, CLOCK, flow.law.c0),
            "cosine_gap_unbalanced": full_weights.angle_gap(flow, CLOCK),
        }

    residuals = {f"{name}_unbalanced": each for name, each in lemma_7.residuals([fine], [coarse]).items()}
    found = residuals | refined(distances, fine, coarse)
    return {f"{name}_N{len(weights)}": each.number() for name, each in found.items()}


def only_shrinking(accuracy: Accuracy) -> Found:
    """What becomes of Lemma 1 and of Propositions 2 and 3 where the norm only shrinks, N = 1."""
    fine, coarse = (broken_flows.shrinking(how) for how in (accuracy, accuracy.coarser))
    shrinks = Measurement.count(int(np.diff(fine.norm[broken_flows.LATE])[0] < 0), 1)
    return {"runs_not_growing_flipped": shrinks, **proposition_2.broken(fine, coarse)}


def as_phases(flow: FullFlow, resolved_from: float) -> Phases:
    """The flow as the statements see reduced ones."""
    path = full_weights.as_reduced(flow)
    return Phases(path, np.exp(path.s[:, :1]), resolved_from)
