"""Lemma 1 (N = 1, again as Lemma 9) and Lemma 6 (deep networks): the norm falls up to a finite T, and rises after it."""

from __future__ import annotations

import pandas as pd
from jaxtyping import Bool, Float, Int

from flowcheck.measures import readings
from flowcheck.papers.spherical_data.phases import over_runs
from flowcheck.papers.spherical_data.population import Array
from flowcheck.papers.spherical_data.reduced_flow import ReducedPath
from flowcheck.pipeline.evidence import Found, Measurement


def transition(path: ReducedPath) -> dict[str, Float[Array, " s"]]:
    """Time, clock and log norm at T, and how long each flow was followed."""
    turn = path.transition
    return {"T": turn.t, "qT": turn.q, "sT": turn.s, "t_end": path.t[:, -1]}


def turns(path: ReducedPath) -> dict[str, Int[Array, " s"] | Bool[Array, " s"]]:
    """How often g changes its sign between recorded points, and whether the norm grows at the last one."""
    growing = path.growth >= 0
    return {"sign_changes": (growing[:, 1:] != growing[:, :-1]).sum(axis=1), "ends_growing": growing[:, -1]}


def over_flows(runs: pd.DataFrame) -> Found:
    """What the lemma says of all flows: one change of sign at most, all grow in the end, and the largest T."""
    return {
        "sign_changes_max": Measurement.count(runs.sign_changes.max(), len(runs)),
        "runs_not_growing_at_end": readings.count(~runs.ends_growing.to_numpy(dtype=bool)),
        "transition_time_max": over_runs(runs, "T", readings.largest),
    }
