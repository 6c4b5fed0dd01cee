"""Bounds of third derivatives against directional derivatives, runs against their flows, the calibration against counting."""

import itertools

import numpy as np
import pytest
import torch

from flowcheck.curvature.certificate import certify
from flowcheck.errors import HypothesisError
from flowcheck.papers.continuous_discrete import calibrated_gap, certified_runs
from flowcheck.papers.continuous_discrete.certified_networks import ACTIVATIONS, Layered, TwoLayer, deep_linear_third
from flowcheck.papers.continuous_discrete.near_the_flow import DeepLinear
from flowcheck.papers.continuous_discrete.theorem_2 import POINTS, VALUES, smooth_network


def along(loss, w, direction):
    """The third derivative along a direction, by forward differentiation three times."""
    value = loss
    for _ in range(3):
        value = (lambda inner: lambda point: torch.func.jvp(inner, (point,), (direction,))[1])(value)
    return float(value(w))


def steepest(loss, w, reach, rng, tries=12):
    """The largest that ascent finds of the third derivative along unit vectors, within the distance of w."""
    found = 0.0
    for _ in range(tries):
        d, shift = (torch.as_tensor(rng.standard_normal(len(w))) for _ in range(2))
        point = w + reach * shift / torch.linalg.norm(shift)
        for _ in range(4):  # power iteration of the form
            d = d / torch.linalg.norm(d)
            found = max(found, abs(along(loss, point, d)))
            d = torch.func.grad(
                lambda v, point=point: torch.func.jvp(
                    lambda p: torch.func.jvp(torch.func.grad(loss), (p,), (v,))[1] @ v, (point,), (v,)
                )[1]
            )(d)
    return found


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_bounds_of_an_activation_are_those_of_its_derivatives(name):
    act, z = ACTIVATIONS[name], torch.linspace(-8, 8, 4001, dtype=torch.float64)
    orders = [act.function]
    for _ in range(3):
        orders.append(torch.func.grad(orders[-1]))
    largest = [float(torch.func.vmap(order)(z).abs().max()) for order in orders]
    for found, bound in zip(largest[1:], (act.slope, act.bend, act.twist), strict=True):
        assert 0.999 * bound <= found <= bound * (1 + 1e-9)
    assert float(act.function(torch.zeros(()))) == pytest.approx(act.at_zero)
    assert largest[0] <= act.ceiling


@pytest.mark.parametrize(("name", "reach"), [*itertools.product(ACTIVATIONS, (0.0, 0.3))])
def test_the_third_derivative_of_two_layers_stays_below_its_bound(name, reach):
    rng = np.random.default_rng(4)
    network = TwoLayer(3, ACTIVATIONS[name], *certified_runs.random_data(rng))
    w = torch.as_tensor(rng.standard_normal(12))
    found, bound = steepest(network.loss, w, reach, rng), network.third(w, reach)
    assert found <= bound <= 40 * found


@pytest.mark.parametrize(("depth", "reach"), [*itertools.product((2, 3, 4), (0.0, 0.2))])
def test_the_third_derivative_of_deep_linear_networks_stays_below_its_bound(depth, reach):
    rng = np.random.default_rng(5)
    network = DeepLinear(depth, 2, 2, torch.tensor([0.6, 0.8], dtype=torch.float64))
    w = 0.7 * torch.as_tensor(rng.standard_normal(sum(a * b for a, b in network.shapes)))
    found, bound = steepest(network.loss, w, reach, rng), deep_linear_third(network, w, reach)
    assert found <= bound <= 40 * found


def test_the_bound_of_two_linear_factors_is_met_where_it_is_sharp():
    """F = (ab - 1)^2 / 2 from a = b: along (1, 1) / sqrt(2) its third derivative is 3 a sqrt(2), which is the bound."""
    network = DeepLinear(2, 1, 1, torch.ones(1, dtype=torch.float64))
    w, d = torch.full((2,), 0.7, dtype=torch.float64), torch.full((2,), 0.5**0.5, dtype=torch.float64)
    assert along(network.loss, w, d) == pytest.approx(3 * 0.7 * 2**0.5)
    assert deep_linear_third(network, w, 0.0) == pytest.approx(3 * 0.7 * 2**0.5)


def test_two_tanh_units_are_those_whose_constants_are_enclosed():
    w = torch.as_tensor(np.random.default_rng(6).standard_normal(6))
    points, values = (torch.tensor(given, dtype=torch.float64) for given in (POINTS, VALUES))
    assert float(TwoLayer(2, ACTIVATIONS["tanh"], points, values).loss(w)) == pytest.approx(float(smooth_network(w)))


def test_layers_are_those_of_a_module():
    rng = np.random.default_rng(7)
    network = Layered((3, 5, 4, 1), torch.tanh, *certified_runs.random_data(rng))
    w = network.start(rng, 1.0)
    module = torch.nn.Sequential(*[torch.nn.Linear(b, a, bias=False, dtype=torch.float64) for a, b in network.shapes])
    torch.nn.utils.vector_to_parameters(torch.as_tensor(w), module.parameters())
    units = network.x
    for layer in module[:-1]:
        units = torch.tanh(layer(units))
    expected = ((module[-1](units)[:, 0] - network.y) ** 2).mean() / 2
    assert float(network.loss(torch.as_tensor(w))) == pytest.approx(expected.item())


def test_balanced_runs_are_the_instances_of_theorem_3():
    (run,) = certified_runs.balanced(np.random.default_rng(8), [3], [-0.5])
    one = certified_runs.held(run, 0.02, (1,), True)[0]
    network = DeepLinear(3, 3, 3, torch.eye(3, dtype=torch.float64)[0])
    length = float(torch.linalg.norm(network.end_to_end(one.found.iterates[-1])))
    states = run.theorem_3.flow(np.array([0.0, run.end]))
    assert length == pytest.approx(np.linalg.norm(states[-1, 1:]) * (states[-1, 0] / 2**0.5) ** 2, abs=1e-2)
    assert one.deviation.error.max() < 1e-7
    assert one.tube_ratio().value <= 1
    assert one.tube_ratio(defect=0.5).value > 1
    assert one.last_ratio(float(one.right_side()[1][-1])).value > 1000


def test_a_tube_that_ends_early_makes_the_bound_infinite_and_the_ratio_is_of_the_rest():
    (run,) = certified_runs.balanced(np.random.default_rng(8), [2], [0.5])
    broken = certified_runs.Run(run.name, run.loss, lambda w, reach: 2e4 * reach**0.5, run.start, run.end)
    one = certified_runs.held(broken, 0.05, (1,), True)[0]
    assert np.isinf(one.upper_ratio().value)
    assert one.tube_ratio().value <= 1


def test_relu_flows_in_a_batch_are_those_of_their_losses():
    rng = np.random.default_rng(9)
    networks = [Layered((3, 4, 1), torch.relu, *certified_runs.random_data(rng)) for _ in range(2)]
    starts = np.stack([one.start(rng, 0.7) for one in networks])
    fine, coarse = calibrated_gap._flows(networks, starts, np.linspace(0, 0.5, 6))
    assert np.abs(fine - coarse).max() < 1e-6
    for network, start, flow in zip(networks, starts, fine, strict=True):
        slope, w = torch.func.grad(network.loss), torch.as_tensor(start)
        for _ in range(1000):
            w = w - 5e-4 * slope(w)
        assert np.linalg.norm(w.numpy() - flow[-1]) < 3e-3
        assert flow[0] == pytest.approx(start)


def test_a_certificate_of_a_relu_network_is_refused():
    rng = np.random.default_rng(10)
    network = Layered((3, 8, 1), torch.relu, *certified_runs.random_data(rng))
    with pytest.raises(HypothesisError, match="gradient jumps"):
        certify(network.loss, network.start(rng, 1.0), 0.02, 150)


def test_the_conformal_factor_covers_its_share():
    rng = np.random.default_rng(11)
    covered = []
    for _ in range(2000):
        scores = rng.lognormal(size=20)
        covered.append(scores[-1] <= calibrated_gap.conformal_factor(scores[:-1], 0.9))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.03)
    with pytest.raises(ValueError, match="18 scores tell no factor"):
        calibrated_gap.conformal_factor(np.ones(18), 0.95)
