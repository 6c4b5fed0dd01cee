"""The six saddles: critical points, with something fitted and something left, and one whose idle unit collapses."""

import numpy as np
import pytest

from flowcheck.papers.homogeneous.near_saddles import labels
from flowcheck.papers.two_homogeneous.kinked_saddle import kinked_relu
from flowcheck.papers.two_homogeneous.saddle_systems import SYSTEMS, collapsing, figure_4, orthogonal_relu, smooth_relu


@pytest.mark.parametrize("build", SYSTEMS, ids=lambda build: build.__name__)
def test_each_is_a_critical_point_of_a_network_of_degree_two(build):
    saddle = build(np.random.default_rng(0))
    assert saddle.degree == 2
    assert saddle.stationarity() < 1e-12
    assert np.linalg.norm(saddle.residual) > 0.1
    assert np.linalg.norm(saddle.fitted.outputs(saddle.weights)) > 0.1
    assert saddle.collapses == (build is collapsing)
    # on one kink of H_n, or away from all
    vanishing = np.abs(saddle.fitted.preactivations(saddle.weights)) <= 1e-4
    assert vanishing.sum() == (build is kinked_relu)


def test_that_of_figure_4_leaves_one_of_the_two_neurons_of_its_target():
    saddle = figure_4(np.random.default_rng(0))
    first = saddle.fitted.x[:, 0]
    assert labels(saddle) == pytest.approx(5 * np.maximum(first, 0) ** 2 + 4 * np.maximum(-first, 0) ** 2)


def test_the_relu_unit_fits_three_of_five_orthonormal_inputs():
    saddle = orthogonal_relu(np.random.default_rng(0))
    assert saddle.fitted.x @ saddle.fitted.x.T == pytest.approx(np.eye(5), abs=1e-14)
    assert saddle.fitted.outputs(saddle.weights) == pytest.approx(np.array([1.0, 1.5, 0.5, 0.0, 0.0]), abs=1e-14)
    assert labels(saddle) == pytest.approx(np.array([1.0, 1.5, 0.5, 2.0, -1.0]))


def test_on_two_cones_one_is_fitted_and_the_other_meets_positive_labels():
    saddle = smooth_relu(np.random.default_rng(0))
    on = saddle.fitted.preactivations(saddle.weights)[0] > 0
    assert on.tolist() == [True] * 6 + [False] * 6
    assert (saddle.residual[~on] > 0.4).all()
    assert not saddle.residual[on].any()
