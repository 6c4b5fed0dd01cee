"""Runs of gradient descent on the population loss, a row each, and what is read from all (spherical_data, Section 3.4)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from flowcheck.measures import readings
from flowcheck.papers.spherical_data import lemma_4, lemma_5, proposition_2, theorem_2
from flowcheck.papers.spherical_data.descent import PopulationPath
from flowcheck.papers.spherical_data.excess import Excess
from flowcheck.pipeline.evidence import Found, Measurement

Array = np.ndarray

LATE_SUM = 1e5
"""Sum of steps from which late growth is read: norms are then 30 and more, and the next order 24/‖w‖² is below 3 %."""
LATE_ROUNDING = 10.0
"""Rounding of late growth over that of a run: cubes, their difference, and a last tenth of the way that grows by nine tenths."""


def table(path: PopulationPath) -> dict[str, Float[Array, " s"]]:
    """Columns of the table of runs: landmarks, and each run against Lemma 4, Lemma 5 and Theorem 2."""
    delta = lemma_5.condition(path).min(axis=1)
    return {
        "n0": theorem_2.half_space_entry(path),
        "n1": theorem_2.radius_entry(path).astype(float),
        "late_gap": np.where(path.step_sizes.sum(axis=1) >= LATE_SUM, proposition_2.late_descent_gap(path), np.nan),
        "final_gap": path.one_minus_cos[:, -1],
        "progress_min": path.least_progress()[0],
        "along_final_over_start": path.along[:, -1] / path.norm[:, 0],
        **_columns("lemma4", lemma_4.against_bound(path)),
        "delta": delta,
        **_columns("lemma5", lemma_5.against_bound(path, delta)),
        **_columns("theorem2", theorem_2.against_bound(path)),
    }


def _columns(name: str, excess: Excess) -> dict[str, Float[Array, " s"]]:
    return {f"{name}_excess": excess.value, f"{name}_error": excess.error, f"{name}_steps": excess.steps}


def readings_of(path: PopulationPath, runs: dict[str, Float[Array, " s"]]) -> Found:
    """What the claims ask of all runs of a `table`."""
    found: dict[str, Measurement] = {}
    for bound in ("theorem2", "lemma4", "lemma5"):
        excess, error = runs[f"{bound}_excess"], runs[f"{bound}_error"]
        found[f"{bound}_excess_min"] = readings.smallest(excess, error)
        found[f"{bound}_excess_median"] = readings.median(excess, error)
    return found | {
        "theorem2_runs_without_n0": readings.count(np.isnan(runs["n0"])[path.along[:, 0] < 0]),
        "theorem2_runs_without_n1": readings.count(runs["n1"] < 0),
        "theorem2_final_gap_max": readings.largest(runs["final_gap"], path.final_rounding()),
        "lemma5_runs_with_condition": readings.count(runs["delta"] > 0),
        "descent_late_gap_max": readings.largest(runs["late_gap"], LATE_ROUNDING * path.rounding.sum(axis=1)),
        "descent_progress_along_v_min": readings.smallest(*path.least_progress()),
    }


def half_space_order(step_size: Float[Array, " s"], n0: Float[Array, " s"], where: Bool[Array, " s"]) -> Found:
    """Steps n0 to the half-space of v: from each constant step size to the next larger one, do they grow?

    Of the runs `where`. A run that never gets there makes no pair.
    """
    change = np.diff(n0[where][np.argsort(step_size[where])])
    change = change[~np.isnan(change)]
    return {
        "halfspace_steps_order_violations": readings.count(change > 0),
        "halfspace_steps_order_violations_reversed": readings.count(change < 0),
    }
