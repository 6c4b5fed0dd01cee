"""Which normalisation the loss of the figures has."""

import math

import numpy as np
import pytest
import torch

from flowcheck.networks.zoo import deep_linear
from flowcheck.papers.deep_homogeneous import loss_normalisation
from flowcheck.papers.deep_homogeneous.figure_draws import Audible, Draws
from flowcheck.papers.deep_homogeneous.figure_recipes import Effort, Recipe
from flowcheck.papers.deep_homogeneous.loss_normalisation import PredictedEscapes, PrintedRuns
from flowcheck.papers.deep_homogeneous.plateau import Plateau

PLATEAU = Plateau(deep_linear([1], 1), loss_ratio=0.99, rtol=1e-9)
RECIPE = Recipe(delta=1e-2, step_size=1e-3, iterations=1000, displayed_start=0)


def products(labels):
    """Fit of y by ab from a = b, a label for each run: logit(p / y) grows at the rate 2y."""
    y = torch.tensor(labels, dtype=torch.float64)[:, None]
    w0 = torch.full((len(labels), 2), 0.5**0.5, dtype=torch.float64)
    return Draws(np.arange(len(labels)), torch.ones_like(y)[..., None], y, w0)


def effort(seeds, iterations):
    numbers = dict.fromkeys(("draws", "starts", "displayed_coarsening", "coarsening"), 1)
    return Effort(**numbers, seeds=2, trend_seeds=2, printed_seeds=seeds, printed_iterations=iterations, rtol=1e-9)


def test_a_factor_on_the_loss_divides_the_iterations():
    draws = products([1.0, 2.0, 3.0, 4.0])
    audible = Audible(np.array([1.0, 2.0, 3.0, 4.0, 0.0]), draws, np.array([1, 2, 3]))
    time = np.array([0.1, 0.4, 0.9, 2.1])  # 100, 400, 900 and 2100 printed steps of the half sum
    found = PredictedEscapes(audible, time, 1e-3).numbers(RECIPE, points=4)
    assert [found[f"escape_median_{name}"].value for name in ("half_sum", "mean", "half_mean")] == pytest.approx(
        [900, 1800, 3600]
    )
    assert found["escape_median_mean"].error == pytest.approx(1.8)
    assert [found[f"plateau_at_end_fraction_{name}"].value for name in ("half_sum", "mean")] == pytest.approx([1 / 3, 2 / 3])
    assert found["within_two_fraction_half_sum"].value == pytest.approx(1 / 3)
    assert found["within_two_fraction_any_label"].value == pytest.approx(1 / 5)
    assert found["within_two_fraction_any_label"].n == 5


def test_descent_as_printed_escapes_where_the_flow_says_and_not_where_it_would_under_the_mean():
    draws = products([1.0, 3.0, 2.0])
    times = PLATEAU.escape_times(draws, RECIPE.delta)
    runs = PrintedRuns.trained(PLATEAU, draws, times, RECIPE, effort(2, 4000))
    assert runs.rows.tolist() == [1, 2]
    for row, crossing in zip(runs.rows, runs.crossing, strict=True):
        y, start = float(draws.y[row]), 0.5e-4
        end = y - math.sqrt(0.99) * (y - start)
        assert crossing == pytest.approx(0.5 / y * math.log(end / (y - end) * (y - start) / start) / 1e-3, rel=5e-3)
    found = runs.numbers(points=100, error=1e-4)
    assert found["printed_prediction_gap"].value < 5e-3
    assert found["printed_prediction_gap"].error == pytest.approx(1e-4, rel=1e-2)
    assert found["printed_prediction_gap_as_mean"].value == pytest.approx(0.98, abs=1e-3)
    assert found["printed_prediction_gap_as_mean"].error == pytest.approx(2e-6, rel=1e-2)
    assert found["printed_diverged_fraction"].value == 0
    assert (runs.loss < 1e-3).all()


def test_runs_that_do_not_escape_say_nothing():
    draws = products([1.0, 2.0])
    runs = PrintedRuns.trained(PLATEAU, draws, PLATEAU.escape_times(draws, RECIPE.delta), RECIPE, effort(2, 10))
    found = runs.numbers(points=100, error=1e-4)
    assert runs.crossing.tolist() == [-1, -1]
    assert all(np.isnan(number.value) for number in found.values())
    assert all(number.n == 0 for number in found.values())


def test_step_sizes_that_make_up_for_the_factor_give_the_same_weights_and_others_do_not(monkeypatch):
    draws = products([1.0, 2.0])
    times = PLATEAU.escape_times(draws, RECIPE.delta)
    distance = loss_normalisation.distances(PLATEAU, draws, RECIPE.delta, times, 200)
    assert distance.shape == (3, 2)
    assert (distance[0] == 0).all()
    assert loss_normalisation.largest_distance(distance).value < 1e-12
    monkeypatch.setattr("flowcheck.papers.deep_homogeneous.plateau.rate", lambda loss, points: loss.factor(points) ** 1.01)
    apart = loss_normalisation.distances(PLATEAU, draws, RECIPE.delta, times, 200)
    assert loss_normalisation.largest_distance(apart).value > 1e-6


def test_a_run_that_never_escaped_is_infinitely_far_away():
    found = loss_normalisation.largest_distance(np.array([[0.0, 0.0], [1e-15, np.nan]]))
    assert found.value == math.inf
