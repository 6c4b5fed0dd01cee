"""Runge-Kutta-Chebyshev: against closed forms and scipy; order, stability and independence of the batch."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from flowcheck import losses
from flowcheck.flows.stabilised import stabilised_flow
from flowcheck.integration.adaptive import integrate
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


# ------------------------------------------------------------------------------------------------------------- quiet problems


def rows(*values):
    return torch.tensor(values, dtype=torch.float64)


def one(state, index):
    return torch.ones_like(state)


def zero(state, index):
    return torch.zeros_like(state)


def decay(state, index):
    return -state


def held(state, index):
    """Moves the odd rows of a batch only."""
    return -3.0 * state * (index % 2)[:, None]


def follower(state, index):
    """U' = 1, and v follows u at rate 1000: at the start f does not change along its own value's second component."""
    return torch.stack([torch.ones_like(state[:, 0]), -1000 * (state[:, 1] - state[:, 0])], dim=-1)


def wall(state, index):
    """Constant, and stiff from 1 on."""
    return torch.where(state < 1, 1.0, 1 - 1000 * (state - 1))


QUIET = {
    "constant": (one, rows([1.0]), 2.0, rows([3.0])),
    "constant from the origin": (one, rows([0.0, 0.0]), 2.0, rows([2.0, 2.0])),
    "constant through the origin": (lambda y, i: -one(y, i), rows([1.0]), 2.0, rows([-1.0])),
    "constant to the origin": (lambda y, i: -one(y, i), rows([1.0]), 1.0, rows([0.0])),
    "constant, alone of three": (
        lambda y, i: torch.where((i == 1)[:, None], 1.0, -y),
        rows([1.0], [1.0], [1.0]),
        2.0,
        rows([math.exp(-2)], [3.0], [math.exp(-2)]),
    ),
    "at rest": (zero, rows([3.0, 0.1], [1e-5, 7.0]), 2.0, rows([3.0, 0.1], [1e-5, 7.0])),
    "at rest in the origin": (decay, rows([0.0, 0.0]), 5.0, rows([0.0, 0.0])),
    "at rest beside one that moves": (held, rows([3.0, 0.1], [1.0, 2.0], [0.0, 0.0]), 1.0, None),
    "at rest where it is unstable": (lambda y, i: y - y**3, rows([0.0], [1.0]), 5.0, rows([0.0], [1.0])),
    "at rest where f jumps": (lambda y, i: (y > 0).to(y), rows([0.0, 0.0], [1.0, 2.0]), 5.0, rows([0.0, 0.0], [6.0, 7.0])),
    "a component that f forgets": (lambda y, i: y * rows(0.0, -5.0), rows([1.0, 0.0]), 1.0, rows([1.0, 0.0])),
    "flat, then stiff": (wall, rows([0.0]), 3.0, rows([1.001])),
    "slow, then followed": (follower, rows([0.0, 0.0]), 2.0, rows([2.0, 1.999])),
    "squares that underflow": (decay, rows([1e-200, -1e-200]), 2.0, math.exp(-2) * rows([1e-200, -1e-200])),
    "no time": (one, rows([1.0]), 0.0, rows([1.0])),
    "no trajectories": (decay, torch.zeros(0, 2, dtype=torch.float64), 2.0, torch.zeros(0, 2, dtype=torch.float64)),
}


@pytest.mark.parametrize(("f", "start", "length", "end"), QUIET.values(), ids=QUIET)
def test_a_quiet_problem_is_integrated(f, start, length, end):
    found = integrate_stabilised(f, start, length, rtol=1e-6, max_steps=2000)
    if end is None:
        end = torch.where((torch.arange(len(start)) % 2 == 1)[:, None], math.exp(-3) * start, start)
    size = float(start.abs().max()) or 1.0 if start.numel() else 1.0
    assert torch.allclose(found.state / size, end / size, rtol=1e-4, atol=1e-14)
    still = f(start, torch.arange(len(start))).abs().amax(dim=-1) == 0
    assert torch.equal(found.state[still], start[still])  # to the last digit


def test_a_quiet_trajectory_is_the_same_alone_and_beside_others():
    starts = rows([0.0, 0.0], [1.0, -1.0], [3.0, 0.5])
    together = integrate_stabilised(held, starts, 1.0)
    for row in (0, 2):
        alone = integrate_stabilised(zero, starts[row : row + 1], 1.0)
        assert torch.equal(together.state[row], alone.state[0])


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (-1.0, "is -1; it must be at least 0"),
        (math.nan, "is nan; it must be"),
        (math.inf, "at least 0 and finite"),
    ],
)
def test_a_length_that_no_run_can_have_is_refused(length, expected):
    with pytest.raises(ValueError, match=expected):
        integrate_stabilised(decay, rows([1.0], [1.0]), torch.tensor([1.0, length], dtype=torch.float64))


def test_a_right_hand_side_that_is_no_number_at_the_start_is_an_error_that_says_where():
    with pytest.raises(RuntimeError, match="trajectory 1 at s = 0: the right-hand side is not finite"):
        integrate_stabilised(lambda y, i: y.sqrt(), rows([1.0], [-1.0]), 1.0)


X = torch.tensor(np.random.default_rng(0).uniform(0.1, 1, (6, 3)))
LABELS = torch.tensor(np.random.default_rng(1).standard_normal(6))


def still_flows():
    """Networks, labels and starts at which the gradient of the loss is zero."""
    exact, dead = zoo.squared_relu((4, 3), 3), zoo.two_layer(2, 3)
    w = torch.tensor(np.random.default_rng(2).standard_normal((1, exact.size)))
    asleep = -torch.ones(1, dead.size, dtype=torch.float64)
    linear = zoo.deep_linear([3, 2], 3)
    return {
        "an exact fit": (exact, exact.forward(w, X)[0], w),
        "dead units": (dead, LABELS, asleep),
        "a deep linear network of zeros": (linear, LABELS, torch.zeros(1, linear.size, dtype=torch.float64)),
        "a deep network of zeros": (exact, LABELS, torch.zeros(1, exact.size, dtype=torch.float64)),
    }


@pytest.mark.parametrize("name", still_flows())
def test_a_network_at_rest_stays_alone_and_in_a_batch(name):
    network, labels, start = still_flows()[name]
    problem = Objective(network, X, labels, losses.HALF_MEAN)
    assert torch.equal(problem.pull(start), torch.zeros_like(start))
    assert torch.equal(stabilised_flow(problem, start, 5.0).state, start)
    moving = torch.tensor(0.3 * np.random.default_rng(3).standard_normal(start.shape))
    together = stabilised_flow(problem, torch.cat([start, moving]), 5.0).state
    assert torch.equal(together[:1], start)
    assert not torch.equal(together[1:], moving)


def test_a_layer_of_zeros_beside_which_the_slope_jumps_costs_one_evaluation():
    network = zoo.deep_relu([2], 3)
    start = torch.zeros(1, network.size, dtype=torch.float64)
    found = stabilised_flow(Objective(network, X, LABELS, losses.HALF_MEAN), start, 5.0)
    assert torch.equal(found.state, start)
    assert (found.evaluations.tolist(), found.steps.tolist()) == ([1], [0])


def sliding_rhs(w, index):
    """The first component falls and rises to 0, where it is at s = 0.5; the second rises."""
    return torch.stack([-torch.sign(w[:, 0]), torch.ones_like(w[:, 0])], dim=-1)


@pytest.mark.parametrize(
    "solve",
    [
        lambda: integrate_stabilised(sliding_rhs, [[0.5, 1.0]], 2.0, max_steps=500),
        lambda: integrate(sliding_rhs, [[0.5, 1.0]], 2.0, atol=1e-6, max_steps=500),
    ],
)
def test_a_solution_that_slides_along_a_kink_ends_in_an_error_that_says_so(solve):
    with pytest.raises(
        RuntimeError, match=r"trajectory 0 at s = 0\.[45]\d*: .*jumps there, as where a solution slides along a kink"
    ):
        solve()


@pytest.mark.parametrize("slope", [0.0, 0.5, 2.0, 10.0])
def test_a_jump_that_no_stage_of_a_step_sees_is_seen_at_its_end(slope):
    """The slope is 1 below y = 1, and `slope` beyond it, from 40 starts: without that look the errors were up to 0.1."""
    start = torch.linspace(0.01, 0.99, 40, dtype=torch.float64).unsqueeze(-1)
    found = integrate_stabilised(lambda y, i: 1 + (slope - 1) * (y >= 1).to(y), start, 2.0, rtol=1e-6)
    exact = 1 + slope * (1 + start)
    assert float((found.state / exact - 1).abs().max()) < 20 * 1e-6


def test_a_stiff_solution_that_is_given_too_few_steps_is_said_to_slide_nowhere():
    with pytest.raises(RuntimeError, match=r"more than 3 steps$"):
        integrate_stabilised(lambda y, i: -1e6 * y, [[1.0, 1.0]], 2.0, max_steps=3)
    with pytest.raises(RuntimeError, match=r"more than 3 steps$"):
        integrate(lambda y, i: -1e6 * y, [[1.0, 1.0]], 2.0, atol=1e-9, max_steps=3)
