"""Stable sets on the sphere: a quadratic form, where everything is known, and a squared-ReLU neuron, where topology counts."""

import math

import numpy as np
import pytest
import torch

from flowcheck.correlation.ascent import ascend
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.geometry import unit
from flowcheck.networks import zoo
from flowcheck.papers.two_homogeneous import stable_sets

torch.set_num_threads(1)


def quadratic(eigenvalues=(3.0, 1.0, -2.0)):
    """N(u) = sum of eigenvalue_i u_i^2: the polynomial x^2 on the coordinate vectors."""
    z = torch.tensor(eigenvalues, dtype=torch.float64)
    return Correlation(zoo.power_net(1, 3, 2.0, slope=1.0), torch.eye(3, dtype=torch.float64), z)


def neuron(seed=3, n=10):
    rng = np.random.default_rng(seed)
    x, z = synthetic.sphere_inputs(rng, n, 3), synthetic.gaussian(rng, n)
    return Correlation(zoo.power_net(1, 3, 2.0), x, z), rng


def directions(count, seed=0):
    return synthetic.unit_vectors(np.random.default_rng(seed), count, 3)


def test_critical_points_of_a_quadratic_form_are_its_eigenvectors():
    found = stable_sets.critical_points(quadratic(), directions(60))
    assert found.value.tolist() == pytest.approx([3.0, 3.0, 1.0, 1.0, -2.0, -2.0])
    assert found.index.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.points.abs().argmax(dim=1).tolist() == [0, 0, 1, 1, 2, 2]
    # tangential curvatures 2 (eigenvalue_j - eigenvalue_i)
    assert found.curvature[0].tolist() == pytest.approx([-10.0, -4.0])
    assert found.curvature[2].tolist() == pytest.approx([-6.0, 4.0])


def test_hessian_on_the_sphere_agrees_with_the_second_order_test_of_one_point():
    ncf, _ = neuron()
    found = stable_sets.critical_points(ncf, directions(200))
    for u, curvature in zip(found.points, found.curvature, strict=True):
        assert ncf.tangent_curvature(u).tolist() == pytest.approx(curvature.tolist(), abs=1e-9)


def test_maxima_minus_saddles_plus_minima_is_two_and_ascent_finds_the_same_maxima():
    ncf, rng = neuron()
    found = stable_sets.critical_points(ncf, directions(200))
    counts = [len(found.of_index(index)) for index in range(3)]
    assert counts[0] - counts[1] + counts[2] == 2  # the Euler characteristic of the sphere
    ends = ascend(ncf, synthetic.unit_vectors(rng, 200, 3))
    number, distance = stable_sets.nearest(ends.points, found.of_index(0))
    assert float(distance.max()) < 1e-6
    assert len(number.unique()) == counts[0]


def test_directions_end_at_the_top_eigenvector_of_their_side():
    starts = directions(50)
    ends = stable_sets.limits(quadratic(), starts, 5.0)
    assert torch.allclose(ends, starts[:, :1].sign() * torch.eye(3, dtype=torch.float64)[0], atol=1e-6)


def test_directions_go_on_until_they_have_arrived():
    starts = directions(20)
    ends = stable_sets.limits(quadratic(), starts, 0.1)
    assert float(quadratic().kkt_residual(ends).max()) <= stable_sets.ARRIVED
    assert float(quadratic().kkt_residual(stable_sets.limits(quadratic(), starts, 0.1, rounds=1)).max()) > 0.1


def test_the_stable_set_of_the_middle_eigenvector_is_the_great_circle_across_the_top_one():
    saddle = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    for curve in stable_sets.stable_curves(quadratic(), saddle, 5.0):
        assert float(curve[:, 0].abs().max()) < 1e-8
        assert float(curve[-1, 2].abs()) == pytest.approx(1.0, abs=1e-6)


def test_points_beside_a_stable_curve_end_at_different_maxima():
    ncf, _ = neuron()
    found = stable_sets.critical_points(ncf, directions(200))
    maxima = found.of_index(0)
    for curve in stable_sets.stable_curves(ncf, found.of_index(1)[:1], found.relaxation):
        away = int(((curve - curve[0]).norm(dim=1) > 0.1).to(torch.int64).argmax())
        point, ahead = curve[away], curve[away + 1]
        across = torch.linalg.cross(point, unit((ahead - point)[None])[0])
        sides = unit(torch.stack([point + 1e-3 * across, point - 1e-3 * across]))
        number, distance = stable_sets.nearest(stable_sets.limits(ncf, sides, found.relaxation), maxima)
        assert float(distance.max()) < 1e-5
        assert int(number[0]) != int(number[1])


def test_the_stable_set_of_a_maximum_is_no_curve():
    with pytest.raises(ValueError, match="no curve"):
        stable_sets.stable_curves(quadratic(), torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64), 1.0)


def test_newton_that_reaches_nothing_is_an_error():
    with pytest.raises(ValueError, match="no KKT point"):
        stable_sets.critical_points(quadratic(), directions(3), iterations=0)


def test_distance_to_arcs_by_hand():
    curve = torch.eye(3, dtype=torch.float64)  # two quarters of great circles: e_1 to e_2 to e_3
    height = 0.3
    on, over = np.array([0.6, 0.8, 0.0]), np.array([0.6 * math.cos(height), 0.8 * math.cos(height), -math.sin(height)])
    points = torch.tensor(np.stack([on, over, [-1.0, 0.0, 0.0], [0.0, 0.6, 0.8]]))
    expected = [0.0, 2 * math.sin(height / 2), math.sqrt(2.0), 0.0]
    assert stable_sets.distance_to_curve(points, curve).tolist() == pytest.approx(expected, abs=1e-15)


def test_a_row_that_is_repeated_makes_no_arc_and_no_harm():
    curve = torch.eye(3, dtype=torch.float64)[[0, 0, 1]]
    assert stable_sets.distance_to_curve(curve[1:], curve).tolist() == pytest.approx([0.0, 0.0], abs=1e-15)
