"""The exact two-variable reduction against brute force, a second integration, published reference values and exact symmetries."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from flowcheck.networks import linear
from flowcheck.papers.spherical_data import population, reduced_flow

CIRCLE = population.law("circle")
START = float(reduced_flow.clock(2 * math.atan(3.0)))  # w(0) = (0.6, -0.8), v = (0, 1)
ADVANCES = np.linspace(0.0, 20.0, 201)


def reference_path(depth, law=CIRCLE, s0=0.0):
    return reduced_flow.reduced_flow(law, depth, np.array([START]), np.array([s0]), ADVANCES)


@pytest.mark.parametrize("name", ["circle", "sphere_3", "gaussian_5"])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_reduction_is_the_flow_of_the_full_weights(depth, name):
    law, times = population.law(name), np.linspace(0.0, 6.0, 7)
    v, w0 = np.zeros(law.dimension), np.zeros(law.dimension)
    v[-1], w0[0], w0[-1] = 1.0, 0.6, -0.8
    weights = linear.balanced_weights(w0, [3] * (depth - 1), np.random.default_rng(0))
    states = linear.layer_flow(weights, lambda w: population.law_gradient(law, w, v), times, rtol=1e-10)
    w_e = np.array([linear.end_to_end(state) for state in states])
    q, s = reduced_flow.in_time(law, depth, np.array([START]), np.zeros(1), times)
    assert w_e @ v / np.linalg.norm(w_e, axis=1) == pytest.approx(np.tanh(q[0]), abs=1e-8)
    assert np.log(np.linalg.norm(w_e, axis=1)) == pytest.approx(s[0], abs=1e-8)


@pytest.mark.parametrize("depth", [1, 2, 4, 6])
def test_both_clocks_agree(depth):
    path = reference_path(depth)
    q, s = reduced_flow.in_time(CIRCLE, depth, np.array([START]), np.zeros(1), path.t[0])
    assert q[0] == pytest.approx(path.q[0], abs=1e-8)
    assert s[0] == pytest.approx(path.s[0], abs=1e-8)


def test_a_batch_in_time_is_its_flows():
    q0, s0, times = np.array([-2.0, 0.5, 1.0]), np.array([0.3, -1.0, 2.0]), np.array([0.0, 1.0, 30.0])
    together = reduced_flow.in_time(CIRCLE, 3, q0, s0, times)
    for row in range(3):
        alone = reduced_flow.in_time(CIRCLE, 3, q0[[row]], s0[[row]], times)
        assert np.stack(together)[:, row] == pytest.approx(np.stack(alone)[:, 0], rel=1e-9)


def test_one_minus_the_cosine_underflows_quietly():
    assert reduced_flow.one_minus_cos(np.array([0.0, 3.0, 1e5])) == pytest.approx([1.0, 2 / (np.exp(6) + 1), 0.0])


def cartesian(depth):
    """Right side of Eq. (14) and g on the circle in Cartesian coordinates, with a trapezoid rule of its own for kappa."""
    cosines = np.cos(2 * math.pi * (np.arange(240) + 0.5) / 240)

    def kappa(r):
        return np.mean(cosines * np.tanh(r * cosines / 2)) / 2

    def field(_, w):
        r = math.hypot(*w)
        gradient = -np.array([0.0, 1.0]) / math.pi + kappa(r) * w / r
        return -(r ** (2 - 2 / depth)) * (gradient + (depth - 1) * (w @ gradient) * w / r**2)

    def growth(_, w):
        return w[1] / math.pi - math.hypot(*w) * kappa(math.hypot(*w))

    growth.direction = 1
    return field, growth


# Times at which 1 - cos θ is compared; the values are those of the pipeline's promised metrics.
@pytest.mark.parametrize(("depth", "at"), [(1, 10.0), (2, 10.0), (4, 20.0)])
def test_transition_and_angle_agree_with_an_implicit_multistep_method_in_cartesian_coordinates(depth, at):
    field, growth = cartesian(depth)
    solved = solve_ivp(field, (0.0, at), [0.6, -0.8], "LSODA", events=growth, rtol=1e-13, atol=1e-16)
    transition = reference_path(depth).transition
    # the event sits on the solver's dense output, good to about 1e-8
    assert solved.t_events[0][0] == pytest.approx(transition.t[0], rel=1e-6)
    assert math.hypot(*solved.y_events[0][0]) == pytest.approx(math.exp(transition.s[0]), rel=1e-6)
    gap = 2 * math.sin(0.5 * math.atan2(solved.y[0, -1], solved.y[1, -1])) ** 2
    q, _ = reduced_flow.in_time(CIRCLE, depth, np.array([START]), np.zeros(1), np.array([0.0, at]), rtol=1e-13)
    assert reduced_flow.one_minus_cos(q[0, -1]) == pytest.approx(gap, rel=1e-9)
    # T itself, to ten digits: the norm is stationary where the solver is stopped at it
    stopped = solve_ivp(field, (0.0, transition.t[0]), [0.6, -0.8], "LSODA", rtol=1e-13, atol=1e-16).y[:, -1]
    assert math.hypot(*stopped) == pytest.approx(math.exp(transition.s[0]), rel=1e-9)
    assert growth(0.0, stopped) == pytest.approx(0.0, abs=1e-10)


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_the_norm_is_stationary_at_the_transition(depth):
    tr = reference_path(depth).transition
    assert reduced_flow.norm_growth(CIRCLE, tr.q, tr.s) == pytest.approx(0.0, abs=1e-14)


def test_a_start_that_grows_at_once_has_transition_time_zero():
    path = reduced_flow.reduced_flow(CIRCLE, 1, reduced_flow.clock(np.array([0.3])), np.array([0.0]), ADVANCES)
    assert path.transition.t[0] == 0.0


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_scaling_the_data_scales_time(depth):
    # u = s w_e follows the unscaled flow with time multiplied by s^(2/N)
    scale = 3.0
    scaled = reference_path(depth, population.sphere(2, radius=scale), -math.log(scale))
    plain = reference_path(depth)
    assert scaled.t[0] * scale ** (2 / depth) == pytest.approx(plain.t[0], rel=1e-9)
    assert scaled.s[0] + math.log(scale) == pytest.approx(plain.s[0], abs=1e-9)


def test_flows_do_not_depend_on_the_batch_they_are_in():
    q0, s0 = reduced_flow.clock(np.array([0.5, 2.0, 3.0])), np.log([0.1, 1.0, 5.0])
    together = reduced_flow.reduced_flow(CIRCLE, 4, q0, s0, ADVANCES)
    alone = reduced_flow.reduced_flow(CIRCLE, 4, q0[1:2], s0[1:2], ADVANCES)
    assert together.t[1] == pytest.approx(alone.t[0], rel=1e-9)


def test_clock_keeps_its_precision_near_the_opposite_direction():
    assert reduced_flow.clock_of_gap(1e-9) == pytest.approx(math.log(0.5e-9), rel=1e-14)
    assert reduced_flow.one_minus_cos(50.0) == pytest.approx(2 * math.exp(-100.0), rel=1e-12)


@pytest.mark.parametrize("angle", [0.0, math.pi, -1.0])
def test_parallel_starts_are_refused(angle):
    with pytest.raises(ValueError, match="strictly between"):
        reduced_flow.clock(angle)


def test_a_path_that_ends_before_the_transition_says_so():
    with pytest.raises(RuntimeError, match="record further"):
        reduced_flow.reduced_flow(CIRCLE, 4, np.array([START]), np.zeros(1), np.linspace(0.0, 0.5, 5))


def test_depth_zero_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        reduced_flow.reduced_flow(CIRCLE, 0, np.array([START]), np.zeros(1), ADVANCES)
