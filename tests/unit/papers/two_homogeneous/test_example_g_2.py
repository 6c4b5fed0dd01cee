"""Example G.2: the bilinear form, its KKT points by hand, and its flow by the matrix exponential."""

import math

import numpy as np
import pytest
from scipy.linalg import expm

from flowcheck.data import synthetic
from flowcheck.papers.two_homogeneous import example_g_2
from flowcheck.papers.two_homogeneous.example_g_2 import Example


@pytest.fixture
def example(rng):
    return Example(synthetic.sphere_inputs(rng, 5, 3), synthetic.gaussian(rng, 5), 0.3)


def test_the_ncf_is_bilinear_for_odd_labels(example, rng):
    w = synthetic.gaussian(rng, 4, 4)
    exact = 1.3 * w[:, 3] * (w[:, :3] @ (example.y @ example.x))
    assert example.correlation.value(w).tolist() == pytest.approx(exact.tolist())


def test_the_corners_are_kkt_points_and_the_printed_ones_are_not(example):
    corners, printed = example_g_2.corners(example.direction), example_g_2.printed_corners(example.direction)
    assert float(example.correlation.kkt_residual(corners).max()) < 1e-14
    assert float(example.correlation.kkt_residual(printed).min()) > 0.1
    assert (printed[:, 3] ** 2).tolist() == pytest.approx([math.sqrt(0.5)] * 4)
    assert printed.norm(dim=1).tolist() == pytest.approx([1.0] * 4)


def test_the_rotation_is_the_matrix_exponential(example, rng):
    starts, direction = synthetic.unit_vectors(rng, 3, 4), example.direction.numpy()
    generator = np.zeros((4, 4))
    generator[:3, 3] = generator[3, :3] = direction
    exact = starts.numpy() @ expm(example_g_2.E_FOLDINGS * generator).T
    assert example_g_2.rotated(starts, example.direction).numpy() == pytest.approx(exact, rel=1e-10)


def test_flows_are_the_rotation_and_end_at_one_pair(example, rng):
    starts = synthetic.unit_vectors(rng, 3, 4)
    found = example.flow(starts, 1e-9)
    assert found["gap"].max() < 1e-7
    assert found["angle"].max() < 1e-2


def test_the_example_holds_and_its_controls_fail(rng):
    found = example_g_2.example_g2(synthetic.sphere_inputs(rng, 5, 3), synthetic.gaussian(rng, 5), rng, 1)
    assert found["g2_kkt_residual"].value < 1e-12
    assert found["g2_kkt_residual"].n == 4 * (4 + 1)
    assert found["g2_kkt_residual_printed_square"].value > 0.01
    assert found["g2_value_gap"].value < 1e-12
    assert found["g2_square_gap"].value < 1e-8
    assert found["g2_square_gap_printed"].value == pytest.approx(math.sqrt(0.5) - 0.5)
    assert found["h1_balance_gap_zero_points"].value == pytest.approx(math.sqrt(0.5))
