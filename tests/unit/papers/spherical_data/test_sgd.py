"""Stochastic descent on the circle."""

import math

import numpy as np
import pytest
import torch

from flowcheck.networks import linear
from flowcheck.papers.spherical_data import sgd as sgd_module
from flowcheck.papers.spherical_data.sgd import circle_sgd


def sgd(weights, seeds, **changes):
    options = {"step_size": 0.05, "batch_size": 50, "steps": 130, "every": 10, "device": torch.device("cpu")} | changes
    return circle_sgd(weights, [np.random.default_rng(s) for s in seeds], **options)


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
    monkeypatch.setattr(sgd_module, "BLOCK", block)
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


def test_sgd_makes_no_tensor_without_saying_where():
    weights = linear.balanced_weights(np.array([0.6, -0.8]), [3, 3], np.random.default_rng(5))
    with torch.device("meta"):  # tensors that are made without saying where hold nothing
        path = sgd(weights, [1, 2])
    assert np.array_equal(path.w_e, sgd(weights, [1, 2]).w_e)


def test_batch_loss_is_that_of_the_weights_before_the_step():
    path = sgd([np.array([[0.6, -0.8]])], [3], steps=1, every=1)
    rng, losses = np.random.default_rng(3), []
    for w in path.w_e[0]:
        angle = 2 * math.pi * rng.random(50)
        margin = np.sign(np.sin(angle)) * (np.cos(angle) * w[0] + np.sin(angle) * w[1])
        losses.append(np.log1p(np.exp(-margin)).mean())
    assert path.batch_loss[0] == pytest.approx(losses, rel=1e-12)
