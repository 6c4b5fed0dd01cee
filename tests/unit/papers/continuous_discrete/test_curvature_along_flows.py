"""Curvature along flows: bounds by hand, points on flows with exact solutions, what is conserved, and where kinks are."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from flowcheck.losses import HALF_SUM
from flowcheck.networks.tied import TiedNetwork
from flowcheck.papers.continuous_discrete import along_flows, balance_laws, curvature_flows, flow_bounds, rough_convexity
from flowcheck.papers.continuous_discrete.training_loss import TrainingLoss


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def chain(depth, below=1.0, target=2.0):
    """One weight a layer, one sample x = 1."""
    network = TiedNetwork.fully_connected([1] * (depth + 1), 1.0, below)
    return TrainingLoss(network, torch.ones(1, 1).double(), torch.tensor([target]).double(), HALF_SUM)


def test_the_bound_of_proposition_8_is_what_is_printed():
    problem, w, epsilon = chain(3), torch.tensor([0.5, 2.0, 1.5]).double(), 0.1
    product, gradient, largest = 1.5, 0.5, 2.0
    c = 4 * 3 * 2 / 12 ** (2 / 3) * gradient * largest**2
    expected = 2 * gradient * product ** (1 / 3) + c * epsilon ** (1 / 3)
    assert float(flow_bounds.proposition_8(problem, w, epsilon)) == pytest.approx(expected, rel=1e-14)


def test_the_bound_of_proposition_12_is_what_is_printed():
    problem, w = chain(4, below=-1.5), torch.tensor([0.5, 2.0, 1.5, 0.25]).double()
    assert float(flow_bounds.proposition_12(problem, w, 0.1)) == pytest.approx(1.5**3 * 3 * abs(0.375 - 2) * 0.35**2, rel=1e-14)


def test_the_operator_norms_are_a_factor_of_proposition_24(rng):
    (problem, _) = list(along_flows.tied(rng, 1, ("relu",)))[-1]
    w = torch.as_tensor(rng.standard_normal(problem.network.size))
    with_norms, without = (flow_bounds.proposition_24(problem, w, 0.1, operator_norms=norms) for norms in (True, False))
    assert float(with_norms / without) == pytest.approx(3.0)  # two layers whose weights stand in three rows


@pytest.mark.parametrize("name", sorted(along_flows.BELOW))
def test_the_network_whose_kinks_are_located_is_the_tied_one(rng, name):
    widths = (3, 2, 4, 2)
    network = TiedNetwork.fully_connected(widths, 1.0, along_flows.BELOW[name])
    w, x = torch.as_tensor(rng.standard_normal((2, network.size))), torch.as_tensor(rng.standard_normal((5, 3)))
    torch.testing.assert_close(curvature_flows.flow_network(network, widths).forward(w, x), network.forward(w, x))


def test_a_network_of_other_layers_is_refused():
    with pytest.raises(ValueError, match="no network of layers"):
        curvature_flows.flow_network(TiedNetwork.fully_connected([2, 2, 1]), (2, 3, 1))


def test_points_of_a_balanced_chain_are_those_of_its_exact_flow():
    # three equal weights a: da/dt = -(a^3 - 2) a^2 by hand, so that dt = da / ((2 - a^3) a^2)
    (flow,) = curvature_flows.follow(chain(3), (1, 1, 1, 1), np.full((1, 3), 0.1), 60, ratio=1e-6, length=50.0)
    assert flow.epsilon == pytest.approx(0.1 * math.sqrt(3))
    a = flow.fine[:, 0].numpy()
    assert np.ptp(flow.fine.numpy(), axis=1).max() < 1e-9
    kept = slice(5, 40)
    speed = np.gradient(a[kept], flow.time[kept])
    assert np.allclose(speed, ((2 - a**3) * a**2)[kept], rtol=0.1)
    assert flow.loss_ratio[0] == pytest.approx(1.0)
    assert flow.loss_ratio[-1] == pytest.approx(1e-6, rel=1e-3)
    assert balance_laws.drift(flow, balance_laws.balance)[0] < 1e-9


def test_along_a_balanced_chain_the_bound_is_nearly_met_and_half_of_it_fails():
    (flow,) = curvature_flows.follow(chain(3), (1, 1, 1, 1), np.full((1, 3), 1e-7), 200, ratio=1e-6, length=200.0)
    ends = tuple(curvature_flows.spectrum_ends(flow.problem, points) for points in (flow.fine, flow.coarse))
    ratio = curvature_flows.ratios(flow, lambda w: flow_bounds.proposition_8(flow.problem, w, flow.epsilon), ends)
    assert 0.7 < ratio.value.max() < 1 - 10 * ratio.error.max()


def test_rescaled_points_have_the_same_outputs_and_far_deeper_eigenvalues(rng):
    problem, _ = next(along_flows.dense(rng, (3,), 1, ("linear",)))
    w = torch.as_tensor(rng.standard_normal((2, problem.network.size)))
    moved = rough_convexity.rescaled(problem, w, 1000.0)
    torch.testing.assert_close(problem.network.forward(moved, problem.x), problem.network.forward(w, problem.x))
    lowest, before = (curvature_flows.spectrum_ends(problem, points)[0] for points in (moved, w))
    assert (lowest < 50 * before).all()


def test_points_on_a_kink_are_found_and_units_without_inputs_are_none():
    problem = chain(3, below=0.0)
    points = torch.tensor([[1.0, 1.0, 1.0], [1e-9, 1.0, 1.0], [-1.0, 1.0, 1.0]]).double()
    apart = points.clone()
    flow = curvature_flows.Followed(problem, 1.0, points, apart, *np.ones((3, 3)))
    assert curvature_flows.on_kinks(flow).tolist() == [False, False, False]  # scales do not matter, and a dead unit is none
    apart[0, 0] = -1.0
    assert curvature_flows.on_kinks(flow).tolist() == [True, False, False]
    network = TiedNetwork.fully_connected([2, 1, 1], 1.0, 0.0)
    flat = TrainingLoss(network, torch.tensor([[1.0, 1.0]]).double(), problem.y, HALF_SUM)
    near = torch.tensor([[1.0, -1.0 + 1e-9, 1.0], [1.0, -0.9, 1.0]]).double()
    flow = curvature_flows.Followed(flat, 1.0, near, near, *np.ones((3, 2)))
    assert curvature_flows.on_kinks(flow).tolist() == [True, False]


def test_steps_of_fixed_length_follow_the_same_flow(rng):
    problem, widths = next(along_flows.dense(rng, (3,), 1, ("linear",)))
    start = 0.3 * rng.standard_normal((1, problem.network.size))
    begin = torch.as_tensor(start)
    objective = curvature_flows.Objective(
        curvature_flows.flow_network(problem.network, widths), problem.x, problem.y, curvature_flows.mean_loss(problem.loss)
    )
    exact = curvature_flows._adaptive(objective, begin, 1e-9, 2.0)
    stepped = curvature_flows._stepped(objective, begin, 1e-9, 2.0)
    at = torch.tensor([[0.4, 1.2]]).double()
    torch.testing.assert_close(stepped.at(at)[0].weights(), exact.at(at)[0].weights(), rtol=1e-5, atol=1e-7)


def test_biases_break_the_balance_and_pooling_keeps_it(rng):
    found = balance_laws.with_biases_and_pooling(rng, 2)
    assert found["drift_biases_median"].value > 2e-3
    assert found["drift_plain_max"].value < 1e-6
    assert max(found["rate_plain_max"].value, found["rate_pooling_max"].value) < 1e-12
    assert found["rate_biases_median"].value > 1e-3


def test_on_whitened_inputs_the_loss_is_the_distance_of_the_end_to_end_vector(rng):
    (problem, widths), _ = along_flows.whitened(rng, (3,), 2)
    w = torch.as_tensor(rng.standard_normal(problem.network.size))
    first, second, last = problem.network.matrices(w)
    target = problem.y / widths[0] ** 0.5
    assert torch.linalg.norm(target) == pytest.approx(1)
    vector = (last @ second @ first)[0]
    assert float(problem.at(w)) == pytest.approx(float(((vector - target) ** 2).sum() / 2), rel=1e-12)


def test_flows_on_whitened_inputs_converge_and_their_curvature_with_them(rng):
    pairs = list(along_flows.whitened(rng, (3,), 2))
    flows = along_flows.seen(rng, pairs, (0.01,), 20, 1e-7, (60.0, 20.0))
    found = rough_convexity.at_the_end(rng, flows)
    assert (found["converged_flows"].value, found["converged_flows"].n) == (2, 2)
    assert found["end_over_lowest_max"].value < 1e-3
    early = [replace(one, ends=(one.ends[0][:, :11], one.ends[1][:, :11])) for one in flows]
    assert rough_convexity.at_the_end(rng, early)["end_over_lowest_max"].value > 0.1


def test_the_last_layer_of_a_short_start_is_a_million_times_shorter(rng):
    pairs = list(along_flows.dense(rng, (4,), 1, ("linear",)))[:1]
    (one,) = along_flows.short_last(rng, pairs, 20, 5.0)
    norms = torch.stack([torch.linalg.norm(part) for part in one.flow.problem.network.parts(one.flow.fine[0])])
    assert one.flow.epsilon == pytest.approx(along_flows.SHORT * (3 / 4) ** 0.5, rel=1e-9)
    assert (norms[-1] / norms[:-1]).numpy() == pytest.approx(along_flows.SHORTER, rel=1e-9)
    without = one.ratio(lambda problem, w, epsilon: flow_bounds.proposition_8(problem, w, epsilon, rest=0.0))
    assert one.ratio(flow_bounds.proposition_8).value.max() < 1 < without.value[0]
