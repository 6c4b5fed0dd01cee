"""Theorem 3: two lower bounds on the angle of deep linear networks, before and after the turn T, and an upper bound (N > 2)."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from jaxtyping import Float

from flowcheck.measures import readings
from flowcheck.papers.spherical_data import bounds
from flowcheck.papers.spherical_data.phases import Phases, highest_excess, last_excess, lowest_excess, over_runs
from flowcheck.papers.spherical_data.population import Array
from flowcheck.pipeline.evidence import Found


def excesses(phases: Phases) -> dict[str, Float[Array, " s"]]:
    """Growth of the exponent over that of the bound, minus one, of each flow: smallest for lower bounds, largest for the upper.

    With `_end` that at the end of its run. The `first` bound is compared at all times, which is what Eq. (18) says. Raises
    ValueError if depth <= 2.
    """
    path, c0, depth = phases.path, phases.path.law.c0, phases.path.depth
    first = bounds.theorem3_first_phase(path.t, phases.q0, phases.norm0, c0, depth) - 2.0 * phases.q0
    second = bounds.theorem3_second_phase(phases.elapsed, phases.q_turn, phases.norm_turn, c0, depth) - 2.0 * phases.q_turn
    upper = np.asarray(bounds.theorem3_upper(path.t, phases.norm0, 0.0, c0, depth))
    compared = {
        "first": (phases.gain, first, phases.anywhere),
        "second": (phases.gain_late, second, phases.late),
        "upper": (phases.gain, upper, phases.anywhere),
    }
    tightest = {name: (highest_excess if name == "upper" else lowest_excess)(*each) for name, each in compared.items()}
    return tightest | {f"{name}_end": last_excess(*each) for name, each in compared.items()}


def printed_margin(phases: Phases) -> dict[str, Float[Array, " s"]]:
    """Smallest distance of the exponent to the upper bound with E as the text prints it, of each flow, from t = 0 on."""
    path = phases.path
    angle = math.pi - 2.0 * np.arctan(np.exp(phases.q0))
    start = bounds.theorem3_printed_start_exponent(angle)
    upper = bounds.theorem3_upper(path.t, phases.norm0, start, path.law.c0, path.depth)
    return {"printed_upper": (upper - 2.0 * path.q).min(axis=1)}


def tightest(runs: pd.DataFrame) -> Found:
    """The flow that comes nearest to each bound, over all flows of depth three and more, and where the median flow ends."""
    ends = {"first_phase": "first_end", "second_phase": "second_end", "upper": "upper_end"}
    typical = {f"theorem3_{bound}_excess_typical": over_runs(runs, column, readings.median) for bound, column in ends.items()}
    return typical | {
        "theorem3_first_phase_excess_min": over_runs(runs, "first"),
        "theorem3_second_phase_excess_min": over_runs(runs, "second"),
        "theorem3_upper_excess_max": over_runs(runs, "upper", readings.largest),
        "theorem3_printed_upper_margin_min": over_runs(runs, "printed_upper"),
    }
