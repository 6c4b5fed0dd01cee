"""The run that the figures display, and everything that is trained with it, on the device of the draw."""

import numpy as np
import pytest
import torch

from flowcheck.networks.zoo import squared_relu
from flowcheck.papers.deep_homogeneous import displayed_run
from flowcheck.papers.deep_homogeneous.displayed_run import DisplayedRun, Stream
from flowcheck.papers.deep_homogeneous.figure_draws import Pair, draw
from flowcheck.papers.deep_homogeneous.figure_recipes import LOSSES, Effort, Recipe, rate
from flowcheck.papers.deep_homogeneous.figure_seeds import Seeds
from flowcheck.papers.deep_homogeneous.loss_normalisation import PrintedRuns, distances
from flowcheck.papers.deep_homogeneous.plateau import Plateau
from flowcheck.papers.deep_homogeneous.scale_trend import ScaleTrend

PLATEAU = Plateau(squared_relu([4, 4], 3), loss_ratio=0.99, rtol=1e-6)
POINTS = 10
EFFORT = Effort(
    seeds=2,
    draws=1,
    starts=1,
    displayed_coarsening=2,
    coarsening=1,
    printed_seeds=1,
    printed_iterations=1,
    trend_seeds=2,
    rtol=1e-6,
)


@pytest.fixture(scope="module")
def one():
    pair = Pair(PLATEAU.network, squared_relu([2, 3], 3))
    return draw(pair, [np.random.default_rng(3)], POINTS)


@pytest.fixture(scope="module")
def recipe(one):
    """Printed iterations that end just before the escape under the mean."""
    time = float(PLATEAU.escape_times(one, 0.1)[0])
    step_size = time / rate(LOSSES["mean"], POINTS) / 2010
    return Recipe(delta=0.1, step_size=step_size, iterations=2000, displayed_start=0)


@pytest.fixture(scope="module")
def run(one, recipe):
    return DisplayedRun.trained(PLATEAU, one, recipe, EFFORT, np.random.default_rng(0))


def test_the_run_ends_before_its_escape_under_the_mean_and_long_after_it_under_the_half_sum(run):
    found = run.numbers()
    assert run.steps == 1000
    assert {name: found[f"displayed_plateau_{name}"].value for name in LOSSES} == {"half_sum": 0, "half_mean": 1, "mean": 1}
    assert found["displayed_escape"].value == pytest.approx(1.005, abs=0.01)
    assert run.crossing[0] == pytest.approx(run.crossing[2] * rate(LOSSES["mean"], POINTS), rel=0.05)
    assert 0.98 < found["displayed_loss_ratio"].value < 1
    assert found["displayed_norm"].value == pytest.approx(0.1 * found["displayed_growth"].value)
    assert all(number.n == 1 for number in found.values())


def test_arrays_hold_the_losses_and_not_the_disturbed_copy(run, one):
    arrays = run.arrays()
    assert arrays["displayed_loss"].shape == arrays["displayed_path_cosine"].shape == (3, len(arrays["displayed_iterations"]))
    assert arrays["displayed_crossing"].shape == arrays["displayed_diverged"].shape == (3,)
    assert arrays["displayed_iterations"][arrays["displayed_end"]] == 1000
    assert arrays["displayed_weights"][0] == pytest.approx(0.1 * one.w0[0].numpy(), rel=1e-15)
    assert np.linalg.norm(arrays["displayed_weights"][1]) == pytest.approx(arrays["displayed_norm"][0])
    assert arrays["displayed_start_norm"] == pytest.approx(0.1)


def test_errors_are_what_rounding_changes(run, one, recipe, monkeypatch):
    errors = {name: number.error for name, number in run.numbers().items()}
    assert 1e-14 < errors["displayed_growth"] < 1e-7
    again = DisplayedRun.trained(PLATEAU, one, recipe, EFFORT, np.random.default_rng(1))
    assert again.arrays()["displayed_weights"].tolist() == run.arrays()["displayed_weights"].tolist()
    monkeypatch.setattr(displayed_run, "EPS", 1e3 * displayed_run.EPS)
    larger = DisplayedRun.trained(PLATEAU, one, recipe, EFFORT, np.random.default_rng(0)).numbers()
    assert larger["displayed_growth"].error == pytest.approx(1e3 * errors["displayed_growth"], rel=0.2)


def test_the_first_in_its_window_is_displayed_and_the_nearest_if_none_is():
    number, time = np.array([0, 1, 4, 6]), 3.0 * np.array([0.3, 1.1, 0.9, 2.0])
    assert Stream(number, time).selected(3.0, (0.8, 1.25)) == (1, True)
    assert Stream(number, time).selected(3.0, (0.8, 1.05)) == (4, True)
    assert Stream(number, time).selected(3.0, (1.0, 1.001)) == (1, False)  # ln 1.1 < -ln 0.9
    assert Stream(number[:1], time[:1]).selected(3.0, (0.8, 1.25)) == (0, False)


@pytest.fixture
def no_default_device():
    """Tensors that are made without saying where hold nothing."""
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


def test_no_tensor_is_made_without_saying_where(one, recipe, no_default_device):
    short = recipe.model_copy(update={"iterations": 40, "step_size": 50 * recipe.step_size})
    times = PLATEAU.escape_times(one, 0.1)
    found = [
        DisplayedRun.trained(PLATEAU, one, short, EFFORT, np.random.default_rng(0)).arrays(),
        PrintedRuns.trained(PLATEAU, one, times, short, EFFORT).arrays(),
        Seeds.trained(PLATEAU, one, 0.1, times, 400).arrays(),
        {"distances": distances(PLATEAU, one, 0.1, times, 100)},
        ScaleTrend.followed(PLATEAU, one, [0.3, 0.1]).arrays(),
    ]
    assert all(isinstance(array, np.ndarray) for arrays in found for array in arrays.values())
