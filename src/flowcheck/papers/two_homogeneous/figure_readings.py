"""What the claims on Figures 1, 3 and 4 (two_homogeneous) ask of many runs: tables of criteria, and readings of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool

from flowcheck.correlation.planar import FLAT, RESOLUTION
from flowcheck.measures import readings
from flowcheck.measures.refinement import ROUNDING, change
from flowcheck.measures.table import Table
from flowcheck.papers.two_homogeneous.figure_criteria import Reading
from flowcheck.papers.two_homogeneous.figure_runs import Path, Recorded, Repeated
from flowcheck.papers.two_homogeneous.toy_problem import UNITS, Correlations, Start
from flowcheck.pipeline.evidence import Found, Measurement

Array = np.ndarray
Criterion = Callable[[Path, Correlations], dict[str, float]]
SCAN = 2000
"""Angles at which an NCF is scanned: the ends of an arc lie anywhere between two of them."""
DISPLAYED: dict[Start, tuple[str, ...]] = {
    "origin": (
        *("loss_ratio", "norm", "moved", "gap_to_maximum", "gap_to_maximum_worst", "neurons_near_maximum", "speed_left"),
        *("neurons_close_to_maximum", "neurons_near_kkt", "kkt_residual", "step_effect"),
    ),
    "saddle": ("loss_ratio", "distance", "neurons_explained", "neurons_at_maximum", "neurons_nearly_flat", "step_effect"),
}
"""What is asked of the runs in the figures, by start."""
ASKED: dict[Start, tuple[str, ...]] = {
    "origin": (
        *("barely_moves", "calm_half_way", "reproduces", "settled", "slowed"),
        *("aligned_in_phase", "turned_in_phase", "calm_when_aligned"),
    ),
    "saddle": ("barely_moves", "calm_half_way", "reproduces", "explained_in_phase", "calm_when_explained"),
}
"""Criteria asked of every normalisation of the loss."""
ASKED_AT_ORIGIN = (
    *("aligned_at_start", "aligned_permuted", "at_kkt_at_start", "at_kkt_in_phase"),
    *("basin_rule", "basin_rule_permuted"),
)
"""Criteria asked of runs from the origin with the normalisation that the figures show."""


def table(runs: Repeated, ncf: Sequence[Correlations], criterion: Criterion) -> Table:
    """What is measured of each run, with the bound of its rounding error, the largest of all runs for a reading.

    Rounding is the change from the coarse runs to the disturbed ones; `step_effect` that of the loss to the coarse.
    """
    fine, coarse, disturbed = (_measured(each, ncf, criterion) for each in runs)
    fine["step_effect"] = (fine["loss_ratio"] - coarse["loss_ratio"]).abs()
    error = pd.DataFrame({name: change(coarse[name].to_numpy(), disturbed[name].to_numpy()) for name in coarse})
    error["step_effect"] = error["loss_ratio"]
    return Table(fine, error, pooled=True)


def _measured(runs: Recorded, ncf: Sequence[Correlations], criterion: Criterion) -> pd.DataFrame:
    return pd.DataFrame([criterion(path, of) for path, of in zip(runs.paths(), ncf, strict=True)])


def of_normalisation(start: Start, runs: Table, step_size: float) -> Found:
    """What is asked of the runs of one normalisation of the loss. A time of escape is known to a step."""
    size = "norm" if start == "origin" else "distance"
    return {
        f"{start}_loss_ratio_median": runs.median("loss_ratio"),
        f"{start}_loss_ratio_max": runs.largest("loss_ratio"),
        f"{start}_{size}_median": runs.median(size),
        f"{start}_gap_to_maximum_median": runs.median("gap_to_maximum"),
        f"{start}_escape_time_median": readings.median(step_size * runs["escape"], step_size),
        **{f"{start}_{name}_fraction": runs.fraction(name) for name in ASKED[start]},
    }


def of_seeds(origin: Table, saddle: Table) -> Found:
    """What is asked of every data set, with the normalisation that the figures show."""
    found: dict[str, Measurement] = {}
    for name in ASKED_AT_ORIGIN:
        found[f"origin_{name}_fraction"] = origin.fraction(name)
    for name in ("explained_at_start", "explained_by_labels", "explained_permuted"):
        found[f"saddle_{name}_fraction"] = saddle.fraction(name)
    for start, table in (("origin", origin), ("saddle", saddle)):
        found[f"{start}_ncf_drop_max"] = table.largest("ncf_drop")
        found[f"{start}_ncf_drop_permuted_median"] = table.median("ncf_drop_permuted")
        found[f"{start}_step_effect_max"] = table.largest("step_effect")
    flat = saddle["neurons_flat"]
    return found | {
        "saddle_fitted_growth_max": saddle.largest("fitted_growth"),
        "saddle_last_growth_min": saddle.smallest("last_growth"),
        "saddle_flat_moved_max": saddle.largest("flat_moved"),
        "saddle_steep_moved_min": saddle.smallest("steep_moved"),
        "saddle_flat_neurons": Measurement.count(int(flat.sum()), len(flat)),
    }


def of_correlations(ncf: Sequence[Correlations], near_flat: float) -> Found:
    """The NCFs of all data sets: their critical points and values, and how much of the circle is flat for the residual.

    A sum of terms of either sign rounds by a share of their sizes, and one of terms that are not negative by a share of itself.
    """
    labels, residual = [one.labels for one in ncf], [one.residual for one in ncf]
    kinds = np.array([(len(z.critical.maxima), len(z.critical.minima)) for z in labels])
    lowest, sizes = np.array([(z.critical.value.min(), np.abs(z.z) @ (z.x**2).sum(axis=1)) for z in labels]).T
    scanned = np.stack([z.value(np.linspace(-np.pi, np.pi, SCAN, endpoint=False)) for z in residual])
    nearly = (scanned <= near_flat * np.array([[z.maximum] for z in residual])).mean(axis=1)
    exactly = np.array([np.ptp(z.critical.flat, axis=1).sum() / (2.0 * np.pi) for z in residual])
    least = scanned.min(axis=1)
    rounded = readings.smallest(least, ROUNDING * np.abs(least)) if least.min() else Measurement.exact(0.0, len(least))
    return {
        "two_maxima_fraction": readings.fraction((kinds == 2).all(axis=1)),
        "kkt_value_min": readings.smallest(lowest, FLAT * sizes),
        "residual_ncf_min": rounded,
        "nearly_flat_share_median": readings.median(nearly, 1.0 / SCAN),
        "flat_share_median": readings.median(exactly, RESOLUTION),
    }


def meeting(origin: Table, saddle: Table, reading: Reading) -> Bool[np.ndarray, " s"]:
    """Rows whose runs do all that the captions of Figures 1, 3 and 4 say at the end. The first of them is displayed."""
    kkt = (origin["neurons_near_kkt"] == UNITS) & (origin["neurons_close_to_maximum"] >= reading.neurons_near)
    return np.asarray((origin["reproduces"] > 0) & kkt & (saddle["reproduces"] > 0))


def of_displayed(tables: Mapping[Start, Table], row: int) -> Found:
    """What is asked of the runs in the figures."""
    names = [(start, column) for start, columns in DISPLAYED.items() for column in columns]
    return {f"{start}_{column}_displayed": of_run(tables[start], column, row) for start, column in names}


def of_run(runs: Table, column: str, row: int) -> Measurement:
    """What is measured of one run."""
    value = float(runs[column][row])
    if column.startswith("neurons_"):
        return Measurement.count(int(value), 1)
    return Measurement(value, runs.errors[column].iloc[row], n=1)
