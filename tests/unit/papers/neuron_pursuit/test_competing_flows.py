"""Sums of homogeneous functions: closed forms against scipy, networks against closed forms, and who grows first."""

import numpy as np
import pytest
import torch

from flowcheck.integration.initial_value import solve
from flowcheck.networks.zoo import deep_linear, deep_power, power_net
from flowcheck.papers.neuron_pursuit import lemma_10, lemma_11
from flowcheck.papers.neuron_pursuit.lemma_10 import Growth
from flowcheck.papers.neuron_pursuit.summands import NcfFlows, PowerSums, ncf_flows, power_sums


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.mark.parametrize("degree", [2.0, 2.5, 3.0, 5.0])
def test_flows_of_sums_of_powers_are_those_of_scipy(rng, degree):
    flows = power_sums(rng, degree, 3, 2)
    end = np.ones((3, 2)) if degree == 2 else flows.blow_up.value
    left = np.array([0.5, 0.2])
    found = flows.log_norms(end, left).value
    for c, i in np.ndindex(3, 2):
        weights = flows.coefficients[c, i]

        def rates(_, w, weights=weights):
            return degree * weights * np.abs(w) ** (degree - 1) * np.sign(w)

        times = end[c, i] * (1 - left)
        answer = solve(rates, times[-1], flows.starts[c, i], "DOP853", times, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(found[c, i], np.log(np.linalg.norm(answer.y, axis=0)), atol=1e-7)


def test_a_network_of_one_cubed_unit_is_a_sum_of_powers(rng):
    weights, start = torch.tensor([[1.0, 0.6, 0.3]]), torch.tensor([[0.6, 0.64, 0.48]])
    weights, start = weights.double(), start.double() / start.double().norm()
    network = NcfFlows(power_net(1, 3, 3, slope=1.0), torch.eye(3, dtype=torch.float64)[None], weights, start, 1)
    closed = PowerSums(3.0, weights.numpy()[None], start.numpy()[None])
    for name in ("start_value", "limit_value", "blow_up"):
        one, other = getattr(network, name), getattr(closed, name)
        assert abs(one.value - other.value).max() <= 10 * one.error.max() + 1e-12
    end = closed.blow_up.value
    some, others = (flows.log_norms(end, np.array([0.5, 1e-5])) for flows in (network, closed))
    np.testing.assert_allclose(some.value, others.value, atol=1e-4)


def test_a_start_between_three_kkt_points_is_between_its_bounds():
    flows = PowerSums(3.0, np.array([[[1.0, 0.6, 0.3]]]), np.full((1, 1, 3), 3**-0.5))
    upper, lower = lemma_11.over_bounds(flows)
    assert upper.value.item() == pytest.approx(1.9 / 3)
    assert lower.value.item() == pytest.approx(3**0.5)


def test_a_start_at_the_kkt_point_attains_both_bounds(rng):
    assert lemma_11.from_kkt_points([ncf_flows(deep_power((1,), 3, 2, 0.5), rng, 2, 2)]).value < 1e-8


def test_long_starts_miss_both_bounds(rng):
    found = lemma_11.long_starts([ncf_flows(deep_linear((2, 2), 3), rng, 2, 2)])
    assert found["lemma11_time_over_upper_long_starts_max"].value > 1
    assert found["lemma11_time_over_lower_long_starts_min"].value < 1


def test_a_tie_is_made_and_keeps_two_shares(rng):
    flows = lemma_11.tied(power_sums(rng, 4.0, 5, 3))
    race = lemma_11.Race.of(flows)
    assert (race.first.sum(axis=1) >= 2).all()
    assert race.fall().value[race.first].max() < 0.05
    # prefactors are [L (L - 2) G(w*)]^(-1 / (L - 2))
    tied = race.first[0]
    expected = np.log(flows.limit_value.value[0, tied]) / -2
    assert np.ptp(race.log_norm.value[0, tied, -1] - expected) < 1e-3


def test_two_degrees_and_coupled_weights_do_not_keep_the_statement():
    assert lemma_11.of_two_degrees().value == pytest.approx(0.5, abs=1e-3)
    assert lemma_11.coupled().value < 0.1


def test_rows_hold_every_flow(rng):
    flows = power_sums(rng, 3.0, 4, 2)
    table = lemma_11.rows({"some": flows})
    assert len(table) == 8
    assert (3 * table["time"] * table["limit_value"] >= 1).all()


def test_equal_quadratic_forms_share_the_norm_as_their_starts_say(rng):
    coefficients = np.tile([0.9, 0.2, -0.5], (1, 2, 1))
    starts = np.array([[[0.6, 0.8, 0.0], [0.8, 0.0, 0.6]]])
    growth = Growth.of(PowerSums(2.0, coefficients, starts))
    assert growth.dominant.all()
    np.testing.assert_allclose(growth.share().value, [[0.6, 0.8]], rtol=1e-6)


def test_a_rate_that_is_not_the_value_is_seen(rng):
    growth = Growth.of(power_sums(rng, 2.0, 5, 3))
    assert growth.rate_gap().value.max() < 1e-8
    assert lemma_10.turning(rng, 5).value > 0.01


def test_a_network_of_degree_two_grows_at_its_value(rng):
    flows = ncf_flows(deep_power((1,), 3, 1.0, 0.5), rng, 2, 2, copies=2, positive=True)
    assert flows.x.shape[0] == 8
    growth = Growth.of(flows)
    assert growth.prefactor_change().value.max() < 1e-6
    assert lemma_10.second_order([flows]).value < 1e-6


def test_outside_of_its_stable_set_the_largest_value_does_not_win(rng):
    assert lemma_10.outside_stable_sets(power_sums(rng, 2.0, 20, 3)).value > 0.9
    assert lemma_10.degree_three(power_sums(rng, 3.0, 20, 3)).value > 1
