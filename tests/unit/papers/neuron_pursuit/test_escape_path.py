"""Lemmas 4 and 5 against one product of weights, whose flow is known in closed form."""

import numpy as np
import pytest
import torch

from flowcheck.measures.refinement import Refined
from flowcheck.networks.zoo import deep_linear, deep_power
from flowcheck.papers.neuron_pursuit import lemma_4
from flowcheck.papers.neuron_pursuit.lemma_4 import Escape


@pytest.fixture
def product():
    """The output ab on the input 1 with label 1: from a = b = d / sqrt(2) the product obeys p' = 2p(1 - p)."""
    start = torch.full((1, 2), 0.5, dtype=torch.float64).sqrt()
    one = torch.ones(1, 1, dtype=torch.float64)
    return Escape(deep_linear((1,), 1), one, one, start, start, -start)


def test_the_time_of_the_escape_of_a_product_is_the_stated_one_and_a_constant(product):
    deltas = [1e-2, 1e-4, 1e-6]
    time, weights = product.leave(product.limit, deltas, 1e-11)
    assert product.value.item() == pytest.approx(0.5)
    begin, end = 0.5 * np.square(deltas), 1 - (0.99**0.5) * (1 - 0.5 * np.square(deltas))
    exact = 0.5 * np.log(end * (1 - begin) / (begin * (1 - end)))
    np.testing.assert_allclose(time[0].numpy(), exact, rtol=1e-7)
    np.testing.assert_allclose(weights.prod(dim=-1)[0].numpy(), end, rtol=1e-6)
    rest = time[0].numpy() - product.shift(deltas)[0]
    assert abs(rest[2] - rest[1]) < 1e-5


def test_the_path_of_a_product_ends_at_its_minimum(product):
    _, weights = product.leave(product.limit, [1e-4], 1e-10)
    end, until, rest = lemma_4._end(product, weights[:, 0], 1e-10)
    np.testing.assert_allclose(end.numpy(), np.ones((1, 2)), atol=1e-4)
    assert until.item() > 0
    assert rest.item() < 1e-5


def test_idle_neurons_have_weights_on_both_sides():
    network = deep_power((2,), 2, 2)  # W1 2x2, W2 1x2
    w = torch.tensor([[0.6, 0.0, 0.0, 0.0, 0.8, 0.0]], dtype=torch.float64)
    assert lemma_4._idle(network, w).tolist() == [[False, False, True, True, False, True]]


def test_an_order_is_a_slope_between_the_ends():
    distance = Refined(np.array([[1e-2, 1e-3, 1e-4]]), np.full((1, 3), 1e-9))
    assert lemma_4.orders(distance, [1e-1, 1e-2, 1e-3]).value.item() == pytest.approx(1.0)


def test_flows_of_squares_leave_along_one_path_and_idle_neurons_stay_small():
    network, deltas = deep_power((3,), 3, 2, 1.0), [1e-2, 1e-3, 1e-4]
    escape = lemma_4.draw(network, np.random.default_rng(3), 1)
    studies = {"squares": (escape, deltas, lemma_4.study(escape, deltas))}
    found = lemma_4.readings(studies)
    assert found["lemma4_rate_gap_max"].value < 1e-6
    assert found["lemma4_distance_order_min"].value > 0.3
    assert found["lemma4_distance_order_outside_max"].value < 0.02
    assert found["lemma5_idle_order_min"].value > 0.9
    assert found["lemma5_path_idle_max"].value == 0
    assert lemma_4.curves(studies)["squares_idle"].shape == (1, 3)
