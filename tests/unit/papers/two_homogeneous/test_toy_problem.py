"""The problem of Figures 1, 3 and 4."""

import math

import numpy as np
import pytest
import torch

from flowcheck.errors import HypothesisError
from flowcheck.papers.two_homogeneous import toy_problem
from flowcheck.papers.two_homogeneous.toy_problem import NETWORK, SADDLE, angles, correlations, labelled, presupposed, residual


def circle(points, shift=0.1):
    theta = torch.arange(points, dtype=torch.float64) * (2 * math.pi / points) + shift
    return torch.stack([torch.cos(theta), torch.sin(theta)], dim=1)


DATA = labelled(circle(30))


def test_the_target_is_five_times_the_square_on_the_right_and_four_times_on_the_left():
    first = DATA.x[:, 0].numpy()
    assert DATA.y.numpy() == pytest.approx(np.where(first > 0, 5.0, 4.0) * first**2, rel=1e-14)


def test_the_residual_is_what_the_saddle_leaves_of_the_labels():
    assert residual(DATA).numpy() == pytest.approx((DATA.y - NETWORK.forward(SADDLE, DATA.x)[0]).numpy(), abs=1e-14)
    assert (residual(DATA)[DATA.x[:, 0] > 0] == 0).all()


def test_correlations_are_of_labels_residual_and_labels_in_another_order():
    order = np.random.default_rng(0).permutation(30)
    found, w = correlations(DATA, order), 0.7  # rad
    along = np.maximum(DATA.x.numpy() @ [math.cos(w), math.sin(w)], 0.0) ** 2
    for ncf, z in zip(found, (DATA.y, residual(DATA), DATA.y[order]), strict=True):
        assert ncf.value(np.array([w])) == pytest.approx([along @ z.numpy()], rel=1e-13)


def test_angles_are_those_of_the_neurons_whatever_their_norm():
    theta = torch.linspace(-3.0, 3.0, 20, dtype=torch.float64)
    w = torch.stack([torch.cos(theta), torch.sin(theta)], dim=1) * torch.logspace(-3, 3, 20, dtype=torch.float64)[:, None]
    assert angles(w.view(1, 1, 40)).squeeze().numpy() == pytest.approx(theta.numpy(), abs=1e-14)


def test_what_is_presupposed_holds_and_is_measured():
    found = presupposed([DATA, labelled(circle(30, shift=0.7))], 1e-5)
    assert found["degree_defect"].value < 1e-14
    assert (found["scale_min"].value, found["scale_min"].n) == (1e-5, 2)
    assert found["stationarity"].value < 1e-14
    assert found["saddle_residual_gap"].value < 1e-14
    # a neuron at rest that moves by h against the residual takes 2 h^2 sum z x1^2 off n times the loss, of sum z^2
    z, first = residual(DATA).numpy(), DATA.x[:, 0].numpy()
    fall = (2e-6 * (z * first**2).sum() - 1e-12 * (first[first < 0] ** 4).sum()) / (z**2).sum()
    assert found["saddle_loss_fall_min"].value == pytest.approx(fall, rel=0.05)
    assert found["saddle_loss_rise_min"].value > 1e-6


def test_a_start_without_a_scale_is_no_start():
    with pytest.raises(HypothesisError, match="scale"):
        presupposed([DATA], 0.0)


def test_labels_without_a_signal_are_refused():
    with pytest.raises(HypothesisError, match="identically zero"):
        presupposed([DATA._replace(y=torch.zeros(30, dtype=torch.float64))], 1e-5)


def test_a_point_beside_the_saddle_is_not_stationary(monkeypatch):
    monkeypatch.setattr(toy_problem, "SADDLE", 1.1 * SADDLE)
    with pytest.raises(HypothesisError, match="stationary"):
        presupposed([DATA], 1e-5)


def test_initial_norm_is_compared_with_that_of_forty_weights():
    found = toy_problem.start_norm_ratio(np.array([3e-5, 6e-5]), 1e-5)
    assert found["start_norm_ratio_min"].value == pytest.approx(3.0 / math.sqrt(40.0))
    assert found["start_norm_ratio_max"].value == pytest.approx(6.0 / math.sqrt(40.0))
    assert 0 < found["start_norm_ratio_max"].error < 1e-14
