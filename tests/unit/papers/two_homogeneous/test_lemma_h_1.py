"""Lemma H.1: points that are balanced and one that is not, and the ratio of the layers along flows."""

import math

import pytest
import torch

from flowcheck.data import synthetic
from flowcheck.papers.two_homogeneous import lemma_h_1
from flowcheck.papers.two_homogeneous.neuron_points import Neurons


def test_points_that_ascents_find_are_balanced_and_tilted_ones_are_no_kkt_points(rng, neurons):
    found = lemma_h_1.lemma_h1(neurons, rng)
    assert found["h1_balance_gap"].value < 1e-7
    assert found["h1_residual_of_direction"].value < 1e-7
    assert found["h1_value_gap"].value < 1e-12
    assert found["h1_residual_unbalanced"].value == pytest.approx(7 / 24)


def test_a_point_that_is_not_balanced_and_no_kkt_point_is_seen(rng):
    x, z = synthetic.sphere_inputs(rng, 6, 3), synthetic.gaussian(rng, 6)
    point = torch.tensor([0.6, 0.0, 0.0, 0.8], dtype=torch.float64)
    found = lemma_h_1.lemma_h1(Neurons(x, z, {0.2: [point]}, {0.2: []}), rng)
    assert found["h1_balance_gap"].value == pytest.approx(0.8 - math.sqrt(0.5))
    assert found["h1_residual_of_direction"].value > 0.01
    assert found["h1_kink_points"].value == 0
    assert found["h1_kink_points"].n == 1


def test_the_ratio_of_the_layers_goes_to_one_along_flows(rng):
    x, z = synthetic.sphere_inputs(rng, 5, 3), synthetic.gaussian(rng, 5).abs()
    found = lemma_h_1.balance_along_flows(x, z, rng, 3)
    ratio = found["h1_flow_ratio_gap"]
    # |v^2 - |u|^2| is kept, at most 1, while the square of the norm grows to 1e8
    assert ratio.value < 1e-7
    assert ratio.error < 1e-8
    assert ratio.n == 3
    assert found["h1_flow_ratio_gap_start"].value > 0.05


def test_flows_that_may_slide_are_refused(rng):
    with pytest.raises(ValueError, match="slide"):
        lemma_h_1.balance_along_flows(torch.eye(3, dtype=torch.float64), torch.tensor([1.0, 1.0, -1.0]).double(), rng, 3)
