"""Descent of the population loss, and stochastic descent on the circle."""

import math

import numpy as np
import pytest
import torch

from flowcheck.networks import linear
from flowcheck.papers.spherical_data import descent, population

CIRCLE = population.law("circle")


def test_population_step_is_a_step_along_the_gradient_of_equation_2():
    v, w, eta = np.array([0.0, 1.0]), np.array([0.7, -1.1]), 3.0
    after = w - eta * population.law_gradient(CIRCLE, w, v)
    along, across = descent.population_step(CIRCLE, np.array([w[1]]), np.array([w[0]]), np.array([eta]))
    assert (across[0], along[0]) == pytest.approx(tuple(after), abs=1e-13)


@pytest.mark.parametrize("eta", [0.0, -1.0])
def test_steps_that_are_not_positive_are_refused(eta):
    with pytest.raises(ValueError, match="positive"):
        descent.population_step(CIRCLE, np.ones(1), np.ones(1), np.array([eta]))


def sgd(weights, seeds, **changes):
    options = {"step_size": 0.05, "batch_size": 50, "steps": 130, "every": 10, "device": torch.device("cpu")} | changes
    return descent.circle_sgd(weights, [np.random.default_rng(s) for s in seeds], **options)


def test_sgd_is_plain_sgd_on_the_network():
    weights = linear.balanced_weights(np.array([0.6, -0.8]), [3], np.random.default_rng(4))
    path = sgd(weights, [9])
    rng, layers = np.random.default_rng(9), [torch.tensor(w, requires_grad=True) for w in weights]
    for _ in range(130):
        angle = torch.tensor(2 * math.pi * rng.random(50))
        x = torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)
        y = torch.where(x[:, 1] >= 0, 1.0, -1.0)
        loss = torch.nn.functional.softplus(-y * (x @ layers[0].T @ layers[1].T)[:, 0]).mean()
        for layer, grad in zip(layers, torch.autograd.grad(loss, layers), strict=True):
            layer.data -= 0.05 * grad
    assert path.w_e[0, -1] == pytest.approx((layers[1] @ layers[0]).detach().numpy()[0], abs=1e-12)


def test_a_seed_gives_the_same_run_in_any_batch():
    weights = linear.balanced_weights(np.array([0.6, -0.8]), [3, 3], np.random.default_rng(5))
    assert np.array_equal(sgd(weights, [1, 2, 3]).w_e[1], sgd(weights, [2]).w_e[0])


@pytest.mark.parametrize("block", [1, 7, 64])
def test_sgd_does_not_depend_on_how_many_steps_are_drawn_at_once(monkeypatch, block):
    weights = linear.balanced_weights(np.array([0.6, -0.8]), [3, 3], np.random.default_rng(5))
    usual = sgd(weights, [1, 2])
    monkeypatch.setattr(descent, "BLOCK", block)
    other = sgd(weights, [1, 2])
    assert np.array_equal(other.w_e, usual.w_e)
    assert np.array_equal(other.batch_loss, usual.batch_loss)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
def test_sgd_on_the_gpu_is_sgd_on_the_cpu():
    weights = linear.balanced_weights(np.array([0.6, -0.8]), [3, 3], np.random.default_rng(5))
    assert sgd(weights, [1, 2], device=torch.device("cuda")).w_e == pytest.approx(sgd(weights, [1, 2]).w_e, abs=1e-10)


@pytest.mark.parametrize(("key", "value"), [("step_size", 0.0), ("batch_size", 0), ("steps", 0), ("every", 0)])
def test_sgd_refuses_sizes_that_are_not_positive(key, value):
    with pytest.raises(ValueError, match="positive"):
        sgd([np.array([[0.6, -0.8]])], [0], **{key: value})
