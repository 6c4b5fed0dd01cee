"""Tables of runs, and what is read from them."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from flowcheck.measures.refinement import ROUNDING
from flowcheck.measures.table import Table
from flowcheck.papers.two_homogeneous import figure_readings
from flowcheck.papers.two_homogeneous.figure_criteria import Reading
from flowcheck.papers.two_homogeneous.figure_readings import (
    meeting,
    of_correlations,
    of_displayed,
    of_normalisation,
    of_run,
    table,
)
from flowcheck.papers.two_homogeneous.figure_runs import Recorded, Repeated
from flowcheck.papers.two_homogeneous.toy_problem import correlations, labelled
from flowcheck.pipeline.evidence import Measurement


def recorded(ends):
    """Runs whose loss ends at `ends` of 2."""
    runs, size = len(ends), np.ones((len(ends), 2))
    loss = 2.0 * np.stack([np.ones(runs), ends], axis=1)
    return Recorded(np.array([0, 8]), loss, size, size, np.zeros((runs, 2, 20)), np.zeros((runs, 20)), np.full(runs, 8))


THETA = torch.linspace(-3.1, 3.1, 60, dtype=torch.float64)
NCF = correlations(labelled(torch.stack([torch.cos(THETA), torch.sin(THETA)], dim=1)), np.arange(60))


def criterion(path, ncf):
    assert ncf is NCF
    return {"loss_ratio": path.loss_ratio[-1], "escape": float(path.phase_end), "kept": float(path.loss_ratio[-1] > 0.4)}


TABLE = table(
    Repeated(recorded([0.5, 0.75, 0.25]), recorded([0.5, 0.625, 0.25]), recorded([0.5, 0.6875, 0.25])), [NCF] * 3, criterion
)


def test_rounding_is_the_change_from_the_coarse_runs_to_the_disturbed():
    assert TABLE.values["loss_ratio"].tolist() == [0.5, 0.75, 0.25]
    assert TABLE.errors["loss_ratio"].tolist() == [ROUNDING * 0.5, 0.0625, ROUNDING * 0.25]
    assert TABLE.values["step_effect"].tolist() == [0.0, 0.125, 0.0]
    assert TABLE.errors["step_effect"].tolist() == TABLE.errors["loss_ratio"].tolist()


def test_readings_have_the_largest_error_of_all_runs():
    assert TABLE.smallest("loss_ratio") == Measurement(0.25, 0.0625, n=3)
    assert TABLE.largest("loss_ratio") == Measurement(0.75, 0.0625, n=3)
    assert TABLE.median("loss_ratio") == Measurement(0.5, 0.0625, n=3)
    assert TABLE.where(np.array([True, False, True])).largest("loss_ratio") == Measurement(0.5, ROUNDING * 0.5, n=2)
    assert (TABLE.fraction("kept").value, TABLE.count("kept")) == (2 / 3, Measurement.exact(2, n=3))


def made(**columns):
    values = pd.DataFrame(columns)
    return Table(values, 0.0 * values + 0.125, pooled=True)


def test_a_number_of_neurons_is_a_count():
    runs = made(neurons_near=[19.0, 20.0], moved=[0.5, 0.25])
    assert of_run(runs, "neurons_near", 1) == Measurement.exact(20, n=1)
    assert of_run(runs, "moved", 1) == Measurement(0.25, 0.125, n=1)


@pytest.mark.parametrize(("start", "size"), [("origin", "norm"), ("saddle", "distance")])
def test_a_normalisation_is_asked_for_medians_extremes_and_criteria(start, size):
    asked = {name: [1.0, 0.0, 1.0] for name in figure_readings.ASKED[start]}
    table = made(
        loss_ratio=[0.9, 0.8, 0.7], gap_to_maximum=[0.1, 0.2, 0.6], escape=[10.0, 30.0, 20.0], **{size: [1.0, 2.0, 4.0]}, **asked
    )
    found = of_normalisation(start, table, 0.5)
    assert (found[f"{start}_loss_ratio_median"].value, found[f"{start}_loss_ratio_max"].value) == (0.8, 0.9)
    assert (found[f"{start}_{size}_median"].value, found[f"{start}_gap_to_maximum_median"].value) == (2.0, 0.2)
    assert found[f"{start}_escape_time_median"] == Measurement(10.0, 0.5, n=3)
    assert all(found[f"{start}_{name}_fraction"].value == 2 / 3 for name in asked)


SETTINGS = Path(__file__).resolve().parents[4] / "config/experiments/two_homogeneous/toy_descent.yaml"
READING = Reading(**yaml.safe_load(SETTINGS.read_text())["parameters"]["reading"])


def test_a_row_meets_the_captions_if_its_runs_do_everything():
    origin = made(
        neurons_near_kkt=[20, 20, 19, 20, 20], neurons_close_to_maximum=[17, 16, 20, 20, 20], reproduces=[0, 1, 1, 1, 1]
    )
    saddle = made(reproduces=[1, 1, 1, 0, 1])
    assert meeting(origin, saddle, READING).tolist() == [False, False, False, False, True]
    assert not meeting(origin, made(reproduces=[0] * 5), READING).any()


def test_the_displayed_run_is_asked_from_both_starts():
    tables = {
        start: made(**{column: [1.0, 2.0 + place] for place, column in enumerate(columns)})
        for start, columns in figure_readings.DISPLAYED.items()
    }
    found = of_displayed(tables, 1)
    assert len(found) == sum(map(len, figure_readings.DISPLAYED.values()))
    assert found["saddle_distance_displayed"] == Measurement(3.0, 0.125, n=1)
    assert found["origin_neurons_near_maximum_displayed"].error == 0.0


def test_every_data_set_is_asked_from_both_starts():
    names = (*figure_readings.ASKED_AT_ORIGIN, "ncf_drop", "ncf_drop_permuted", "step_effect")
    origin = made(**{name: [0.0, 1.0, 5.0] for name in names})
    names = ("explained_at_start", "explained_by_labels", "explained_permuted", "ncf_drop", "ncf_drop_permuted", "neurons_flat")
    numbers = ("fitted_growth", "last_growth", "flat_moved", "steep_moved", "step_effect")
    found = figure_readings.of_seeds(origin, made(**{name: [0.0, 1.0, 5.0] for name in (*names, *numbers)}))
    assert found["origin_basin_rule_fraction"].value == 2 / 3
    assert (found["origin_ncf_drop_max"].value, found["origin_step_effect_max"].value) == (5.0, 5.0)
    assert (found["saddle_last_growth_min"].value, found["saddle_fitted_growth_max"].value) == (0.0, 5.0)
    assert found["saddle_flat_neurons"] == Measurement.exact(6, n=3)


def test_ncfs_are_read_on_the_circle():
    ncf = NCF
    found = of_correlations([ncf, ncf], 0.05)
    assert found["two_maxima_fraction"].value == 1.0
    fine = np.linspace(-math.pi, math.pi, 20001)
    assert found["kkt_value_min"].value == pytest.approx(ncf.labels.value(fine).min(), abs=1e-3)
    assert (found["residual_ncf_min"].value, found["residual_ncf_min"].error) == (0.0, 0.0)
    share = (ncf.residual.value(fine) <= 0.05 * ncf.residual.value(fine).max()).mean()
    assert found["nearly_flat_share_median"].value == pytest.approx(share, abs=found["nearly_flat_share_median"].error)
    exactly = (ncf.residual.value(fine) == 0).mean()
    assert found["flat_share_median"].value == pytest.approx(exactly, abs=2e-4)
    negative = ncf._replace(labels=ncf.labels.__class__(ncf.labels.x, -ncf.labels.z))
    assert of_correlations([negative], 0.05)["kkt_value_min"].value < 0
