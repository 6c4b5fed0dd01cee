"""How Figure 1 (spherical_data, Section 5) is read: numbers and yes or no for each run of SGD."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from flowcheck.measures.refinement import Refined
from flowcheck.papers.spherical_data import reduced_flow
from flowcheck.papers.spherical_data.figure_curves import RESTART, Curves, population_flow

Array = np.ndarray


class Tolerances(NamedTuple):
    """What counts as the same in the figure of one network.

    SGD noise of a batch of 1000 over 30,000 steps of 1e-3 moves the cosine by about sqrt(1e-3 t) 1e-2; the deep network
    amplifies it around its escape from the plateau, and its norm is flat where it turns.
    """

    cosine: float
    norm: float
    turning: float
    guard: float


TOLERANCES = {
    1: Tolerances(cosine=0.01, norm=0.01, turning=0.15, guard=0.3),
    4: Tolerances(cosine=0.01, norm=0.10, turning=0.4, guard=1.0),
}
BOUND_TOLERANCE = 0.005
LOSS_ROUNDING = 1e-13
"""Of the loss at norm r, over 1 + r: 320 positive terms that add up to less than that, half a unit in the last place each."""
NORM_ROUNDING = 1e-12
"""Relative, of the bound on the norm: at the start it is an equality."""


def numbers(c: Curves, depth: int) -> dict[str, Refined]:
    """What is read off each run: times and norm of its turn, largest distance to the population flow, loss at the end.

    Errors are the changes from half as many recorded points and a flow at a coarser tolerance.
    """
    times, coarse_flow = c.times[::2], population_flow(c.times[::2], depth, reduced_flow.COARSE_RTOL)
    coarse = distances(times, c.cosine[:, ::2], c.norm[:, ::2], *coarse_flow)
    fine = distances(c.times, c.cosine, c.norm, c.flow_cosine, c.flow_norm)
    found = {name: Refined.of(value, coarse[name]) for name, value in fine.items()}
    return found | {"final_loss": Refined(c.loss[:, -1], LOSS_ROUNDING * (1.0 + c.norm[:, -1]))}


def distances(
    times: Float[Array, " p"],
    cosine: Float[Array, "s p"],
    norm: Float[Array, "s p"],
    flow_cosine: Float[Array, " p"],
    flow_norm: Float[Array, " p"],
) -> dict[str, Float[Array, " s"]]:
    """Time and norm of the turn of each run, its largest distance to the flow in cosine, and in norm relative to it."""
    return {
        "turning_time": times[np.argmin(norm, axis=1)],
        "smallest_norm": norm.min(axis=1),
        "cosine_gap": np.abs(cosine - flow_cosine).max(axis=1),
        "norm_gap": np.abs(norm / flow_norm - 1.0).max(axis=1),
    }


def criteria(c: Curves, depth: int) -> dict[str, Bool[Array, " s"]]:
    """What the figure shows, and controls of it, met or not by each run."""
    read = distances(c.times, c.cosine, c.norm, c.flow_cosine, c.flow_norm)
    same, always = TOLERANCES[depth], np.ones_like(c.times, dtype=bool)
    turn, late, thousand = float(c.transition[0]), c.times > RESTART[depth], grid(c.times, 1.0)
    met = {
        "norm_pattern": falls_then_rises(c.norm, c.times, turn, same.guard),
        # control: the pattern the other way round, on the same curve played backwards in its values
        "norm_pattern_inverted": falls_then_rises(1.0 / c.norm, c.times, turn, same.guard),
        "turning_time": np.abs(read["turning_time"] - turn) <= same.turning,
        "follows_flow": (read["cosine_gap"] <= same.cosine) & (read["norm_gap"] <= same.norm),
        "first_bound": within(c.first_bound, c.cosine, c.times <= turn if depth == 1 else always),
        "second_bound": within(c.second_bound, c.cosine, late),
        "loss_falls": np.all(np.diff(c.loss[:, thousand], axis=1) < 0, axis=1),
    }
    if depth == 1:
        # control: the first bound read beyond T, where it is not claimed, without any tolerance
        return met | {"first_bound_beyond": np.all(c.cosine >= c.first_bound, axis=1)}
    assert c.upper_bound is not None and c.lower_norm is not None
    plateau, escape = (c.times >= 5) & (c.times <= 10), (c.times >= 18) & (c.times <= 22)
    loss, cosine = c.loss[:, plateau], c.cosine[:, plateau]
    stuck = (1.0 - loss[:, -1] / loss[:, 0] <= 0.03) & (cosine[:, -1] - cosine[:, 0] >= 0.4)
    return met | {
        "upper_bound": within(c.cosine, c.upper_bound, always),
        "lower_norm": np.all(c.norm >= c.lower_norm * (1.0 - NORM_ROUNDING), axis=1),
        "plateau": (ratio(c.norm[:, plateau]) <= 1.4) & stuck,
        "plateau_at_escape": ratio(c.norm[:, escape]) <= 1.4,
        "lower_as_upper": within(c.cosine, c.first_bound, always),
    }


def grid(times: Float[Array, " p"], spacing: float) -> Int[Array, " q"]:
    """Places in `times` of 0, spacing, 2 spacing, ..."""
    return np.searchsorted(times, np.arange(0.0, times[-1] + 1e-9, spacing))


def falls_then_rises(norm: Float[Array, "s p"], times: Float[Array, " p"], turn: float, guard: float) -> Bool[Array, " s"]:
    """Whether each run falls and then rises on a grid of 0.25, farther than `guard` from its turn, and ends above its start."""
    coarse = grid(times, 0.25)
    before, after = (coarse[where] for where in (times[coarse] <= turn - guard, times[coarse] >= turn + guard))
    falls, rises = np.all(np.diff(norm[:, before]) < 0, axis=1), np.all(np.diff(norm[:, after]) > 0, axis=1)
    return falls & rises & (norm[:, -1] > norm[:, 0])


def within(lower: Float[Array, "*#s p"], upper: Float[Array, "*#s p"], where: Bool[Array, " p"]) -> Bool[Array, " s"]:
    """Whether `lower` stays below `upper` at the times `where`, up to the tolerance."""
    return np.all(np.where(where, upper - lower + BOUND_TOLERANCE, 1.0) >= 0, axis=1)


def ratio(norm: Float[Array, "s p"]) -> Float[Array, " s"]:
    """Largest over smallest."""
    return norm.max(axis=1) / norm.min(axis=1)
