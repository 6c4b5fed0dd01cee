"""Runge-Kutta-Chebyshev: against closed forms and scipy; order, stability and independence of the batch."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from flowcheck import losses
from flowcheck.flows.stabilised import stabilised_flow
from flowcheck.integration.chebyshev import INTERVAL, integrate_stabilised, stages
from flowcheck.networks import zoo
from flowcheck.networks.problem import Objective

RATES = torch.tensor([1000.0, 30.0], dtype=torch.float64)


def stiff(state, index):
    """A slow logistic growth u' = u (1 - u) that two fast variables follow: v_j' = -r_j (v_j - u^2)."""
    slow = state[:, 2:]
    return torch.cat([-RATES * (state[:, :2] - slow**2), slow * (1 - slow)], dim=-1)


def slow_part(time, start=0.01):
    return 1 / (1 + (1 / start - 1) * math.exp(-time))


START = torch.tensor([[1.0, -1.0, 0.01]], dtype=torch.float64)


def amplification(s, z):
    """Of one step of order 2 on y' = (z / h) y."""
    below, state = 1.0, 1.0 + stages(s)[0][3] * z
    for fixed, mu, nu, tilde, gamma in stages(s)[1:]:
        below, state = state, fixed + mu * state + nu * below + tilde * z * state + gamma * z
    return state


@pytest.mark.parametrize("s", [2, 3, 5, 10, 50, 200])
def test_steps_are_consistent_to_order_two_and_three_and_damped_on_their_interval(s):
    def extrapolated(z):
        half = math.ceil(1 + math.sqrt(0.5 * (s - 1) ** 2 + 0.5))
        return (4 * amplification(half, z / 2) ** 2 - amplification(s, z)) / 3

    for z in (1e-3, 1e-2):
        assert amplification(s, z) == pytest.approx(math.exp(z), abs=z**3)
        assert extrapolated(z) == pytest.approx(math.exp(z), abs=5 * z**4)
    interval = -np.linspace(0.1, ((s - 1) ** 2 - 1) / INTERVAL, 5001)
    if s > 2:
        assert np.abs(amplification(s, interval)).max() < 0.99
        assert np.abs(extrapolated(interval)).max() < 0.99


def test_the_error_falls_with_the_tolerance():
    """In proportion to rtol: a step shrinks like rtol^(1/3), and the error is of order three in the step."""
    errors, tolerances = [], [1e-4, 1e-5, 1e-6, 1e-7]
    for rtol in tolerances:
        found = integrate_stabilised(lambda u, _: u * (1 - u), START[:, 2:], 4.0, rtol=rtol).state
        errors.append(abs(float(found) - slow_part(4.0)))
    assert np.polyfit(np.log(tolerances), np.log(errors), 1)[0] == pytest.approx(1.0, abs=0.2)


def test_fast_components_follow_the_slow_one():
    found = integrate_stabilised(stiff, START, 4.0, rtol=1e-7).state[0]
    assert float(found[2]) == pytest.approx(slow_part(4.0), rel=1e-4)
    rates, u = RATES.numpy(), slow_part(4.0)
    drift = 2 * u**2 * (1 - u)  # of u^2, which they follow at a distance of about drift / rate
    assert found[:2].numpy() == pytest.approx(u**2 - drift / rates, rel=0.02)


def test_a_plateau_costs_the_root_of_what_fixed_stages_cost():
    found = integrate_stabilised(stiff, START, 200.0, rtol=1e-5)
    assert found.state[0].numpy() == pytest.approx([1.0, 1.0, 1.0], abs=1e-6)
    assert int(found.evaluations) < 0.2 * 200 * float(RATES[0]) / 2, "a fifth of what Euler needs with steps of 2 / 1000"


def test_a_trajectory_does_not_depend_on_its_batch_and_may_have_a_length_of_its_own():
    starts = torch.tensor([[1.0, 1.0, 0.1], [0.3, -2.0, 0.5], [5.0, 0.0, 2.0]], dtype=torch.float64)
    lengths = torch.tensor([2.0, 0.5, 7.0], dtype=torch.float64)
    together = integrate_stabilised(stiff, starts, lengths, rtol=1e-6)
    for row in range(3):
        alone = integrate_stabilised(stiff, starts[row : row + 1], float(lengths[row]), rtol=1e-6)
        assert torch.allclose(together.state[row], alone.state[0], rtol=1e-4)


def test_the_flow_of_a_network_is_that_of_scipy():
    network = zoo.squared_relu((4, 3), 3)
    rng = np.random.default_rng(1)
    x, y = torch.tensor(rng.standard_normal((12, 3))), torch.tensor(rng.uniform(0.5, 2, 12))
    start = torch.tensor(0.5 * rng.standard_normal((2, network.size)))
    found = stabilised_flow(Objective(network, x, y, losses.HALF_MEAN), start, 20.0, rtol=1e-6).state

    def slope(_, w):
        w = torch.tensor(w)[None]
        return network.pull(w, x, losses.HALF_MEAN.residual(network.forward(w, x), y))[0].numpy()

    for row in range(2):
        reference = solve_ivp(slope, (0, 20.0), start[row].numpy(), method="LSODA", rtol=1e-11, atol=1e-12).y[:, -1]
        assert found[row].numpy() == pytest.approx(reference, abs=1e-4)


def test_a_right_hand_side_that_is_not_finite_is_an_error_that_says_where():
    start = torch.ones((2, 1), dtype=torch.float64)

    def blows_up(state, index):
        return torch.where(index[:, None] == 1, state**2, -state)

    with pytest.raises(RuntimeError, match=r"trajectory 1 at s = 1\.00000"):
        integrate_stabilised(blows_up, start, 2.0, rtol=1e-6, max_steps=3000)
