"""Clarke sets by sign choices against limits of gradients, small cases by hand, and a search for KKT points of a neuron."""

import numpy as np
import pytest
import torch

from flowcheck.correlation import clarke
from flowcheck.correlation.ascent import ascend
from flowcheck.correlation.ncf import Correlation
from flowcheck.networks import zoo

torch.set_num_threads(1)


def data(n=6, d=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    return torch.from_numpy(x / np.linalg.norm(x, axis=1, keepdims=True)), torch.from_numpy(rng.standard_normal(n))


def directions(size, count=400, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((count, size)))


KINKED = [
    zoo.power_net(3, 3, 1.0, (1.0, -1.0, 1.0), slope=0.2),
    zoo.two_layer(2, 3, 0.3),
    zoo.relu_two_trainable((3, 2), 3, (1.0, -1.0)),
]


@pytest.mark.parametrize("network", [*KINKED, zoo.power_net(2, 3, 2.0)], ids=lambda network: network.name)
def test_a_piece_agrees_with_the_network_where_the_signs_are_its_own(network):
    x, z = data()
    w = directions(network.size, 5)
    signs = torch.where(network.preactivations(w, x) > 0, 1.0, -1.0).to(torch.float64)
    assert torch.allclose(clarke.piece_forward(network, w, x, signs), network.forward(w, x), atol=1e-13)
    gradient = clarke.generators(Correlation(network, x, z), w[0], signs[:1])
    assert torch.allclose(gradient, network.pull(w[:1], x, z), atol=1e-12)


def test_a_network_without_linear_pieces_is_refused():
    x, _ = data()
    network = zoo.power_net(2, 3, 1.5)
    with pytest.raises(ValueError, match="no linear pieces"):
        clarke.piece_forward(network, directions(network.size, 1), x, torch.ones(1, 12, dtype=torch.float64))


@pytest.mark.parametrize("network", KINKED, ids=lambda network: network.name)
def test_limits_of_gradients_near_a_kink_are_the_gradients_of_the_pieces(network):
    x, z = data()
    w = directions(network.size, 1, seed=5)[0]
    # turn the first unit until its preactivation of the first input vanishes
    w[:3] -= (w[:3] @ x[0]) * x[0]
    around = directions(network.size)
    signs = clarke.nearby_signs(network, w, x, around)
    pieces = clarke.generators(Correlation(network, x, z), w, signs)
    assert len(signs) == 2
    limits = network.pull(w + 1e-9 * around, x, z)
    gaps = (limits[:, None] - pieces).norm(dim=-1).amin(dim=1)
    assert float(gaps.max()) < 1e-7
    assert sorted(map(tuple, signs.tolist())) == sorted(map(tuple, clarke.all_signs(network, w, x).tolist()))


def test_a_smooth_network_is_one_piece_everywhere():
    x, z = data()
    network, w = zoo.power_net(2, 3, 2.0), directions(6, 1)[0]
    for signs in (clarke.nearby_signs(network, w, x, directions(6)), clarke.all_signs(network, w, x)):
        assert signs.shape == (1, 0)
        assert torch.allclose(clarke.generators(Correlation(network, x, z), w, signs), network.pull(w[None], x, z))


def test_parallel_inputs_make_the_set_of_the_chain_rule_larger_than_the_subdifferential():
    # sigma(t) - sigma(-t) = t for ReLU: the subdifferential at 0 is {1}, the chain rule gives [0, 2]
    network = zoo.power_net(1, 1, 1.0)
    x, z = torch.tensor([[1.0], [-1.0]], dtype=torch.float64), torch.tensor([1.0, -1.0], dtype=torch.float64)
    w, correlation = torch.zeros(1, dtype=torch.float64), Correlation(network, x, z)
    near = clarke.nearby_signs(network, w, x, directions(1))
    assert clarke.generators(correlation, w, near).flatten().tolist() == [1.0, 1.0]
    chain = clarke.generators(correlation, w, clarke.all_signs(network, w, x)).flatten()
    assert sorted(set(chain.tolist())) == [0.0, 1.0, 2.0]


def test_smallest_element_of_a_hull_by_hand():
    assert clarke.min_norm_point(np.array([[1.0, -1.0], [1.0, 3.0]])) == pytest.approx([1.0, 0.0], abs=1e-14)
    assert clarke.min_norm_point(np.array([[2.0, 1.0], [3.0, 5.0]])) == pytest.approx([2.0, 1.0], abs=1e-14)
    assert clarke.min_norm_point(np.array([[1.0, 1.0], [-1.0, 0.0], [1.0, -1.0]])) == pytest.approx([0.0, 0.0], abs=1e-14)
    assert clarke.min_norm_point(np.zeros((2, 3))).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("seed", range(5))
def test_smallest_element_satisfies_the_variational_inequality(seed):
    points = np.random.default_rng(seed).standard_normal((6, 4)) + 0.5
    nearest = clarke.min_norm_point(points)
    assert (points @ nearest).min() >= nearest @ nearest - 1e-12
    assert clarke.hull_distance(nearest[None], points) == pytest.approx([0.0], abs=1e-12)


def test_distance_from_a_hull_by_hand():
    square = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert clarke.hull_distance(np.array([[0.3, 0.4], [2.0, 0.5], [2.0, 2.0]]), square) == pytest.approx([0.0, 1.0, 2**0.5])


@pytest.mark.parametrize("seed", range(5))
def test_the_distance_from_a_cube_is_enclosed(seed):
    cube = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), axis=-1).reshape(-1, 3)
    targets = np.random.default_rng(seed).uniform(-3.0, 3.0, (40, 3))
    exact = np.linalg.norm(targets - targets.clip(-1.0, 1.0), axis=1)
    distance, error = clarke.enclosed_hull_distance(targets, cube)
    assert (np.abs(distance - exact) <= error).all()
    assert error.max() < 1e-12


def test_an_element_that_is_not_the_nearest_has_a_large_error(monkeypatch):
    monkeypatch.setattr(clarke, "min_norm_point", lambda points: points[0])
    distance, error = clarke.enclosed_hull_distance(np.array([[0.0, 0.0]]), np.array([[3.0, 1.0], [-1.0, 1.0]]))
    assert distance[0] - error[0] <= 1.0  # the nearest is (0, 1)


@pytest.mark.parametrize("slope", [0.0, 0.2, -0.5, 2.0])
def test_all_kkt_points_of_a_neuron_have_no_residual_and_contain_those_that_ascent_finds(slope):
    x, z = data(n=7, seed=3)
    network = zoo.power_net(1, 3, 1.0, slope=slope)
    points = torch.from_numpy(clarke.neuron_kkt_points(x.numpy(), z.numpy(), slope))
    correlation = Correlation(network, x, z)
    for u in points:
        assert clarke.clarke_residual(correlation, u, clarke.all_signs(network, u, x)) < 1e-12
    smooth = network.preactivations(points, x).abs().amin(dim=1) > 1e-9
    assert smooth.any()
    assert not smooth.all()
    for sign in (1.0, -1.0):
        found = ascend(Correlation(network, x, sign * z), directions(3, 60), iterations=300)
        for u in found.points[found.distinct()]:
            if network.forward(u[None], x).abs().sum() == 0:
                continue  # a dead neuron: every point of the cell is critical, and none is listed
            assert float((points - u).norm(dim=1).min()) < 1e-8


def test_points_off_the_list_are_not_kkt_points():
    x, z = data(n=7, seed=3)
    network = zoo.power_net(1, 3, 1.0, slope=0.2)
    points = clarke.neuron_kkt_points(x.numpy(), z.numpy(), 0.2)
    # a grid of directions: where the residual is below 0.05, a KKT point is near
    for u in directions(3, 300):
        u = u / u.norm()
        if clarke.clarke_residual(Correlation(network, x, z), u, clarke.all_signs(network, u, x)) < 0.05:
            assert np.linalg.norm(points - u.numpy(), axis=1).min() < 0.2


def test_parallel_inputs_are_refused():
    with pytest.raises(ValueError, match="parallel"):
        clarke.neuron_kkt_points(np.array([[1.0, 0, 0], [2.0, 0, 0], [0, 1.0, 0]]), np.ones(3), 0.0)


def test_the_residual_of_a_smooth_kkt_point_is_known_to_rounding():
    ncf = Correlation(zoo.power_net(1, 3, 1.0, slope=0.3), *(torch.ones(1, 3).double(), torch.ones(1).double()))
    w = torch.tensor([1.0, 1.0, 1.0 + 1e-9], dtype=torch.float64)
    residual, error = clarke.enclosed_clarke_residual(ncf, w, clarke.all_signs(ncf.network, w, ncf.x))
    exact = 1e-9 * (2 / 9) ** 0.5  # the sine of the angle between (1, 1, 1) and w
    assert abs(residual - exact) <= error
    assert error < 1e-14
