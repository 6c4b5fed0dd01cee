"""Levenberg-Marquardt as the inner solver: its Jacobian, its minimum, and the pursuit with it against descent."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from flowcheck.networks.activation import RELU, Activation
from flowcheck.pursuit.candidates import Ascent
from flowcheck.pursuit.descent import Descent, mean_square
from flowcheck.pursuit.estimator import NeuronPursuitRegressor
from flowcheck.pursuit.grown import Grown
from flowcheck.pursuit.levenberg_marquardt import LevenbergMarquardt, solve
from flowcheck.pursuit.pursue import Plan, pursue


def gaussian(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng([seed, *shape]).standard_normal(shape))


def grown(activation, *sizes, seed=0):
    shapes = zip(sizes[1:], sizes, strict=False)
    return Grown(activation, tuple(gaussian(*shape, seed=seed + j) / shape[1] ** 0.5 for j, shape in enumerate(shapes)))


@pytest.mark.parametrize("activation", [RELU, Activation(0.5), Activation(1.0, 2.0), Activation(0.0, 2.0)], ids=str)
@pytest.mark.parametrize("sizes", [(3, 2, 1), (4, 3, 2, 2), (3, 2, 3, 2, 1)], ids=str)
def test_the_jacobian_is_that_of_autograd(activation, sizes):
    network, x = grown(activation, *sizes), gaussian(9, sizes[0])
    expected = torch.autograd.functional.jacobian(lambda w: network.network.forward(w[None], x)[0], network.weights)
    assert torch.allclose(network.jacobian(x), expected, rtol=1e-12, atol=1e-12)


def test_a_network_moved_by_a_step_has_its_weights():
    network, step = grown(RELU, 4, 3, 2, 1), gaussian(20)
    assert torch.equal(network.moved(step).weights, network.weights + step)


def test_the_minimum_is_that_of_scipy():
    """A smooth activation and labels that no such network fits: both find the same positive loss."""
    begin, x, y = grown(Activation(1.0, 2.0), 3, 2, 1), gaussian(40, 3), gaussian(40, 1, seed=1)
    found = solve(begin, x, y, LevenbergMarquardt(decrease=1e-14))
    peer = least_squares(
        lambda step: (begin.moved(torch.from_numpy(step)).predict(x) - y).flatten().numpy(), np.zeros(8), xtol=1e-14
    )
    assert found.loss == pytest.approx(2 * peer.cost / 40, rel=1e-8)
    assert 0.1 < found.loss < mean_square(begin, x, y)
    slope = found.grown.jacobian(x).mT @ (y - found.grown.predict(x))
    assert slope.norm() < 1e-5 * (begin.jacobian(x).mT @ (y - begin.predict(x))).norm()


@pytest.mark.parametrize("steps", [1, 3, 30])
def test_the_loss_never_rises_and_steps_are_counted(steps):
    begin, x, y = grown(RELU, 4, 3, 2, 1), gaussian(30, 4), gaussian(30, 1, seed=1)
    end = solve(begin, x, y, LevenbergMarquardt(steps))
    assert end.steps <= steps
    assert end.loss == mean_square(end.grown, x, y) <= mean_square(begin, x, y)
    assert (end.step_size, end.halvings) == (1.0, 0)


@pytest.mark.parametrize("scale", [0.0, 1e200])
def test_a_start_without_slope_or_with_one_that_overflows_stays(scale):
    flat = Grown(RELU, tuple(scale * layer for layer in grown(RELU, 3, 2, 1).layers))
    end = solve(flat, gaussian(10, 3), gaussian(10, 1), LevenbergMarquardt(50))
    assert torch.equal(end.grown.weights, flat.weights)


def target():
    x = torch.from_numpy(np.random.default_rng(0).choice([-1.0, 1.0], (300, 8)))
    return x, torch.relu(torch.relu(2 * x[:, 0] + x[:, 2]) - torch.relu(x[:, 2] - x[:, 1]))


def test_a_pursuit_chooses_the_neurons_of_descent():
    x, y = target()
    slow = Plan(ascent=Ascent(starts=5, iterations=400), inner=Descent(steps=20_000))
    quick = dataclasses.replace(slow, inner=LevenbergMarquardt())
    one, other = (pursue(x, y, plan=plan, iterations=4, seed=2) for plan in (slow, quick))
    assert one.stopped == other.stopped == "error"
    assert [step.point.layer for step in one.history] == [step.point.layer for step in other.history]
    assert sum(step.steps for step in other.history) < 0.02 * sum(step.steps for step in one.history)


def test_a_run_that_was_killed_goes_on_to_the_same_bit(tmp_path):
    x, y = target()
    settings = {"plan": Plan(inner=LevenbergMarquardt(20), ascent=Ascent(starts=3, iterations=100)), "tolerance": 0.0}
    pursue(x, y, iterations=1, checkpoint=tmp_path, **settings)
    resumed = pursue(x, y, iterations=3, checkpoint=tmp_path, **settings)
    assert torch.equal(resumed.grown.weights, pursue(x, y, iterations=3, **settings).grown.weights)


@pytest.mark.parametrize(("settings", "said"), [({"steps": 0}, "steps must be"), ({"decrease": -1.0}, "decrease must")])
def test_settings_outside_of_the_class_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        LevenbergMarquardt(**settings)


def test_the_estimator_takes_it():
    x = np.linspace(-1.0, 1.0, 41)[:, None]
    model = NeuronPursuitRegressor(inner="levenberg-marquardt", random_state=0).fit(x, np.abs(x[:, 0]))
    assert model.score(x, np.abs(x[:, 0])) > 0.999999
    with pytest.raises(ValueError, match="inner must be one of 'descent', 'levenberg-marquardt'"):
        NeuronPursuitRegressor(inner="newton").fit(x, x[:, 0])
