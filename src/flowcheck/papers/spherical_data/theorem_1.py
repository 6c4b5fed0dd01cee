"""Theorem 1: two lower bounds on the angle of the linear predictor, before and after the turn T of the norm (N = 1)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from flowcheck.measures import readings
from flowcheck.papers.spherical_data import bounds
from flowcheck.papers.spherical_data.phases import Phases, last_excess, lowest_excess, over_runs
from flowcheck.papers.spherical_data.population import Array
from flowcheck.pipeline.evidence import Found

PRINTED = {"a2": (True, False), "root": (False, True), "a2_root": (True, True)}
"""What is taken as printed: A2 = 4 c0 / sqrt(0.6 π), and C2 outside the root."""


def excesses(phases: Phases) -> dict[str, Float[Array, " s"]]:
    """Smallest growth of the exponent over that of the bound, minus one, of each flow; with `_end` that at the end of its run.

    `first` up to T and `first_beyond` after it, where the bound is not claimed; `second` from T on, and `second_from_start` with
    the same bound from t = 0 on (second remark of A.7).
    """
    path, c0 = phases.path, phases.path.law.c0
    first = bounds.theorem1_first_phase(path.t, phases.q0, phases.norm0, c0) - 2.0 * phases.q0
    second = bounds.theorem1_second_phase(phases.elapsed, phases.q_turn, phases.norm_turn, c0) - 2.0 * phases.q_turn
    from_start = bounds.theorem1_second_phase(path.t, phases.q0, phases.norm0, c0) - 2.0 * phases.q0
    compared = {
        "first": (phases.gain, first, phases.early),
        "second": (phases.gain_late, second, phases.late),
        "second_from_start": (phases.gain, from_start, phases.anywhere),
    }
    return {
        "first_beyond": lowest_excess(phases.gain, first, phases.late),
        **{name: lowest_excess(*each) for name, each in compared.items()},
        **{f"{name}_end": last_excess(*each) for name, each in compared.items()},
    }


def printed_margins(phases: Phases) -> dict[str, Float[Array, " s"]]:
    """Smallest exponent minus the second bound as the text prints it, of each flow, after T; the names are those of `PRINTED`."""
    margins = {}
    for key, (a2, root) in PRINTED.items():
        bound = bounds.theorem1_second_phase_printed(
            phases.elapsed, phases.q_turn, phases.norm_turn, phases.path.law.c0, printed_a2=a2, printed_root=root
        )
        margins[f"printed_{key}"] = np.where(phases.late, 2.0 * phases.path.q - bound, np.inf).min(axis=1)
    return margins


def tightest(runs: pd.DataFrame) -> Found:
    """The flow that comes nearest to each bound, over all flows of depth one, and where the median flow ends."""
    ends = {"first_phase": "first_end", "second_phase": "second_end", "second_phase_from_start": "second_from_start_end"}
    typical = {f"theorem1_{phase}_excess_typical": over_runs(runs, column, readings.median) for phase, column in ends.items()}
    return typical | {
        "theorem1_first_phase_excess_min": over_runs(runs, "first"),
        "theorem1_second_phase_excess_min": over_runs(runs, "second"),
        "theorem1_second_phase_from_start_excess_min": over_runs(runs, "second_from_start"),
        "theorem1_first_phase_excess_beyond_transition": over_runs(runs, "first_beyond"),
        "theorem1_printed_a2_margin_min": over_runs(runs, "printed_a2"),
        "theorem1_printed_root_margin_min": over_runs(runs, "printed_root"),
        "theorem1_printed_margin_min": over_runs(runs, "printed_a2_root"),
    }
