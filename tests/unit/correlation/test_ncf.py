"""The NCF, its KKT points and their search; hypotheses and their errors."""

import math

import numpy as np
import pytest
import torch

from flowcheck.correlation.ascent import ascend, largest_jacobian, largest_output
from flowcheck.correlation.clarke import clarke_residual
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.errors import HypothesisError
from flowcheck.geometry import angle, unit
from flowcheck.networks import sums, zoo
from flowcheck.networks.hypotheses import require_degree, require_scale, require_signal, require_stationary


def problem(network, seed=0, positive=False, n=12):
    rng = np.random.default_rng(seed)
    z = synthetic.gaussian(rng, n)
    return Correlation(network, synthetic.sphere_inputs(rng, n, network.inputs), z.abs() if positive else z), rng


SMOOTH = {
    "relu^2": zoo.power_net(1, 3, 2),
    "relu^3": zoo.power_net(3, 3, 3, [1, -1, 1]),
    "polynomial^4": zoo.power_net(1, 3, 4, slope=1),
    "linear^3": zoo.deep_linear([3, 3], 3),
    "squared ReLU": zoo.squared_relu([3, 4], 3),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_ascent_ends_at_certified_kkt_points(name):
    ncf, rng = problem(SMOOTH[name], positive=True)
    found = ascend(ncf, synthetic.unit_vectors(rng, 16, ncf.network.size))
    assert found.converged.all()
    gradient = ncf.gradient(found.points)
    multiplier = ncf.network.degree * found.value  # Lemma B.3 (deep_homogeneous), Lemma C.5 (two_homogeneous)
    assert torch.allclose(gradient, multiplier[:, None] * found.points, atol=1e-8 * float(gradient.norm(dim=-1).max()))
    assert torch.allclose(ncf.cosine(found.points), torch.ones(16, dtype=torch.float64), atol=1e-12)
    assert (found.value <= ncf.upper_bound).all()


@pytest.mark.parametrize("name", SMOOTH)
def test_a_random_unit_vector_is_no_kkt_point(name):
    ncf, rng = problem(SMOOTH[name])
    assert ncf.kkt_residual(synthetic.unit_vectors(rng, 16, ncf.network.size)).min() > 1e-3


def test_ascent_finds_the_top_eigenvector_of_a_quadratic():
    ncf, rng = problem(zoo.power_net(1, 4, 2, slope=1))
    matrix = (ncf.x.mT * ncf.z) @ ncf.x
    values, vectors = torch.linalg.eigh(matrix)
    found = ascend(ncf, synthetic.unit_vectors(rng, 8, 4))
    assert torch.allclose(found.value, values[-1].expand(8), rtol=1e-10)
    assert torch.minimum(angle(found.points, vectors[:, -1][None]), angle(-found.points, vectors[:, -1][None])).max() < 1e-8


def test_ascent_agrees_with_a_scan_of_the_circle():
    ncf, rng = problem(zoo.power_net(1, 2, 2), positive=True)
    theta = torch.linspace(-math.pi, math.pi, 20_001, dtype=torch.float64)
    scan = ncf.value(torch.stack([theta.cos(), theta.sin()], dim=-1))
    found = ascend(ncf, synthetic.unit_vectors(rng, 32, 2))
    assert float(found.value.max()) == pytest.approx(float(scan.max()), rel=1e-7)


def test_ascent_with_labels_of_both_signs_never_goes_down():
    ncf, rng = problem(zoo.power_net(4, 3, 3, [1, -1, 1, -1]), seed=5)
    starts = synthetic.unit_vectors(rng, 32, ncf.network.size)
    for iterations in (1, 5, 50):
        assert (ascend(ncf, starts, iterations=iterations).value >= ncf.value(starts) - 1e-12).all()


def test_ascent_with_labels_of_both_signs_does_not_stall_where_values_differ_by_rounding():
    # the curvature at these maxima is more than twice the gradient: a full step overshoots, and values cannot tell
    rng = np.random.default_rng(4)
    x, z = synthetic.sphere_inputs(rng, 12, 3), synthetic.gaussian(rng, 12)
    found = ascend(Correlation(zoo.power_net(1, 3, 2), x, z), synthetic.unit_vectors(rng, 200, 3), iterations=400)
    assert found.converged.all()
    assert len(found.distinct()) == 3


def test_distinct_points_are_kept_once():
    ncf, rng = problem(zoo.power_net(1, 2, 4, slope=1), positive=True)
    found = ascend(ncf, synthetic.unit_vectors(rng, 32, 2))
    kept = found.points[found.distinct()]
    assert len(kept) in (2, 4)  # even power: each maximum comes with its opposite
    assert all(float((a - b).norm()) > 1e-4 for i, a in enumerate(kept) for b in kept[:i])


def test_the_tangential_part_is_the_gradient_of_the_normalised_ncf():
    ncf, rng = problem(SMOOTH["relu^3"])
    u = synthetic.gaussian(rng, 3, ncf.network.size).requires_grad_(True)
    (gradient,) = torch.autograd.grad(ncf.normalised(u).sum(), u)
    assert torch.allclose(gradient * u.norm(dim=-1, keepdim=True), ncf.tangential(u.detach()), rtol=1e-10, atol=1e-12)


def test_the_second_order_test_tells_maxima_from_minima():
    ncf, _ = problem(zoo.power_net(1, 3, 2, slope=1))
    values, vectors = torch.linalg.eigh((ncf.x.mT * ncf.z) @ ncf.x)
    assert ncf.tangent_curvature(vectors[:, -1]).max() < 0 < ncf.tangent_curvature(vectors[:, 0]).min()
    middle = ncf.tangent_curvature(vectors[:, 1])
    assert torch.allclose(middle, 2 * (values[[0, 2]] - values[1]), rtol=1e-10)


def test_lower_bounds_stay_below_the_closed_upper_bounds():
    for network in SMOOTH.values():
        ncf, rng = problem(network)
        starts = synthetic.unit_vectors(rng, 16, network.size)
        low, high = largest_output(network, ncf.x, starts), network.output_bound(ncf.x)
        assert 0.05 * high < low <= high
        assert network.degree * low * (1 - 1e-6) <= largest_jacobian(network, ncf.x, starts) <= network.jacobian_bound(ncf.x)


def test_small_angles_keep_their_digits():
    u = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    for theta in (1e-12, 1e-3, 1.0, math.pi - 1e-9):
        v = torch.tensor([[math.cos(theta), math.sin(theta)]], dtype=torch.float64)
        assert float(angle(u, 3.0 * v)) == pytest.approx(theta, rel=1e-9, abs=1e-15)
    assert torch.allclose(unit(3.0 * u), u)


def test_a_network_of_another_degree_is_refused_with_the_measured_defect():
    mixture = sums.Mixture("mixture", ((1.0, zoo.power_net(2, 3, 3)), (0.5, zoo.power_net(2, 3, 2))), 3)
    x = synthetic.sphere_inputs(np.random.default_rng(0), 5, 3)
    with pytest.raises(HypothesisError, match=r"mixture: .* not homogeneous of degree 3 \(degree_defect = 0\.") as caught:
        require_degree(mixture, x)
    assert caught.value.metric == "degree_defect"
    assert 0.01 < caught.value.measured < 10
    assert require_degree(zoo.power_net(2, 3, 3), x) < 1e-12
    with pytest.raises(HypothesisError, match="degree 2"):
        require_degree(zoo.power_net(2, 3, 3), x, 2)


def test_a_scale_that_is_not_positive_is_refused():
    assert require_scale([0.1, 1e-12]) == 1e-12
    for bad in (0.0, -1e-3):
        with pytest.raises(HypothesisError, match="delta"):
            require_scale([bad])
    for bad in (math.nan, math.inf):  # no scale at all, which says nothing of a hypothesis
        with pytest.raises(ValueError, match="delta must be finite, got"):
            require_scale([0.1, bad])


def test_data_without_signal_are_refused():
    network = zoo.two_layer(2, 3)
    x = synthetic.sphere_inputs(np.random.default_rng(0), 5, 3)
    with pytest.raises(HypothesisError, match="identically zero"):
        require_signal(network, x, torch.zeros(5, dtype=torch.float64))
    opposite = torch.cat([x, x])
    with pytest.raises(HypothesisError, match="signal"):
        require_signal(network, opposite, torch.cat([torch.ones(5), -torch.ones(5)]).double())
    assert require_signal(network, x, torch.ones(5, dtype=torch.float64)) > 0


def test_a_point_that_is_not_stationary_is_refused():
    residual = torch.ones(4, dtype=torch.float64)
    assert require_stationary(torch.full((2,), 1e-14, dtype=torch.float64), residual) < 1e-13
    with pytest.raises(HypothesisError, match="stationary"):
        require_stationary(torch.full((2,), 1e-3, dtype=torch.float64), residual)


@pytest.mark.parametrize("network", [*SMOOTH.values(), zoo.two_layer(2, 3, slope=0.1)], ids=lambda network: network.name)
def test_value_and_gradient_in_one_pass_are_those_of_two(network):
    ncf, rng = problem(network)
    w = synthetic.gaussian(rng, 6, network.size)
    value, gradient = ncf.value_and_gradient(w)
    assert torch.equal(value, ncf.value(w))
    assert torch.equal(gradient, ncf.gradient(w))


def test_what_is_no_number_is_no_kkt_point():
    """NaN is not above any threshold, so it must be asked whether the gradient is below it: NaN was certified with residual 0."""
    ncf, _ = problem(zoo.power_net(1, 3, 2, slope=1))
    u = torch.full((1, 3), math.nan, dtype=torch.float64)
    assert torch.isnan(ncf.kkt_residual(u)).all()
    with pytest.raises(ValueError, match="not finite"):
        ascend(ncf, u)


def test_the_origin_has_no_direction_and_no_number_of_one():
    ncf, _ = problem(zoo.power_net(1, 3, 2, slope=1))
    u = torch.tensor([[1.0, 0.0, 0.0], [0.0, -0.0, 0.0]], dtype=torch.float64)
    signs = torch.ones((1, 2), dtype=torch.float64)
    for call in (ncf.normalised, ncf.tangential, ncf.kkt_residual, ncf.cosine):
        with pytest.raises(ValueError, match="w 1 has no direction: it is the origin"):
            call(u)
    for call in (ncf.tangent_curvature, lambda w: clarke_residual(ncf, w, signs)):
        with pytest.raises(ValueError, match="w 0 has no direction: it is the origin"):
            call(u[1])
    with pytest.raises(ValueError, match="start 1 has no direction: it is the origin"):
        ascend(ncf, u)
    assert ncf.value(u)[1] == 0, "what asks for no direction is defined there"


def test_where_no_input_activates_a_unit_the_residual_is_zero_and_the_cosine_none():
    ncf = Correlation(zoo.power_net(1, 2, 2), [[1.0, 0.0]], [1.0])
    u = torch.tensor([[-1.0, 0.5], [1.0, 0.0]], dtype=torch.float64)
    assert ncf.kkt_residual(u).tolist() == [0.0, 0.0]
    assert [math.isnan(cosine) for cosine in ncf.cosine(u).tolist()] == [True, False]


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_an_ascent_starts_in_the_direction_of_its_start_whatever_its_length(size):
    ncf, rng = problem(zoo.power_net(1, 3, 2, slope=1))
    starts = synthetic.unit_vectors(rng, 4, 3)
    torch.testing.assert_close(ascend(ncf, size * starts).points, ascend(ncf, starts).points, rtol=0, atol=1e-9)
    torch.testing.assert_close(ncf.kkt_residual(size * starts), ncf.kkt_residual(starts), rtol=1e-12, atol=0)
