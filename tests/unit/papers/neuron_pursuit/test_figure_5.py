"""The worked example of Figure 5, against its truth table and by hand."""

import itertools

import numpy as np
import pytest
import torch

from flowcheck.networks.activation import RELU
from flowcheck.papers.neuron_pursuit import figure_5
from flowcheck.pursuit.grown import Grown


def exact():
    first = torch.zeros(2, 20, dtype=torch.float64)
    first[0, 0], first[0, 2] = 2.0, 1.0
    first[1, 2], first[1, 1] = 1.0, -1.0
    return Grown(RELU, (first, torch.tensor([[1.0, -1.0]], dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)))


def test_vertices_are_those_of_itertools():
    assert figure_5.vertices(0, 16, 4).tolist() == [list(map(float, row)) for row in itertools.product((1, -1), repeat=4)]


def test_the_target_has_its_truth_table():
    x = figure_5.vertices(0, 8, 3)
    assert figure_5.target(x).tolist() == [3.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_the_exact_network_has_no_error_and_the_zero_network_all():
    grown = exact()
    assert figure_5.cube_error(grown) < 1e-14
    zero = Grown(RELU, tuple(0 * layer for layer in grown.layers))
    assert figure_5.cube_error(zero) == pytest.approx(1.0)


def test_weights_on_other_coordinates_are_measured():
    rows = np.zeros((2, 20))
    rows[0, :3], rows[1, 5] = (1.0, 2.0, 2.0), 0.5
    assert figure_5.stage(rows) == pytest.approx((0.5, 0.5 / 3.0))


def test_one_iteration_is_short_of_the_target():
    found = figure_5.run(np.random.default_rng(3), 0, 1, 2000, 0.005)
    assert found.grown.widths == [1, 1]
    assert 0.05 < figure_5.cube_error(found.grown) < 0.9
