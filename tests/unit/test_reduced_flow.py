"""The exact two-variable reduction against brute force, a second integration, published reference values and exact symmetries."""

import math

import numpy as np
import pytest

from flowcheck import linear, population, reduced_flow

CIRCLE = population.law("circle")
START = float(reduced_flow.clock(2 * math.atan(3.0)))  # w(0) = (0.6, -0.8), v = (0, 1)
ADVANCES = np.linspace(0.0, 20.0, 201)


def reference_path(depth, law=CIRCLE, s0=0.0):
    return reduced_flow.integrate(law, depth, np.array([START]), np.array([s0]), ADVANCES)


@pytest.mark.parametrize("name", ["circle", "sphere_3", "gaussian_5"])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_reduction_is_the_flow_of_the_full_weights(depth, name):
    law, times = population.law(name), np.linspace(0.0, 6.0, 7)
    v, w0 = np.zeros(law.dimension), np.zeros(law.dimension)
    v[-1], w0[0], w0[-1] = 1.0, 0.6, -0.8
    weights = linear.balanced_weights(w0, [3] * (depth - 1), np.random.default_rng(0))
    states = linear.flow(weights, lambda w: population.law_gradient(law, w, v), times, rtol=1e-10)
    w_e = np.array([linear.end_to_end(state) for state in states])
    q, s = reduced_flow.integrate_in_time(law, depth, START, 0.0, times)
    assert w_e @ v / np.linalg.norm(w_e, axis=1) == pytest.approx(np.tanh(q), abs=1e-8)
    assert np.log(np.linalg.norm(w_e, axis=1)) == pytest.approx(s, abs=1e-8)


@pytest.mark.parametrize("depth", [1, 2, 4, 6])
def test_both_clocks_agree(depth):
    path = reference_path(depth)
    q, s = reduced_flow.integrate_in_time(CIRCLE, depth, START, 0.0, path.t[0])
    assert q == pytest.approx(path.q[0], abs=1e-8)
    assert s == pytest.approx(path.s[0], abs=1e-8)


# Transition data of the start of Figure 1, from an independent integration in plain time with an event (LSODA, rtol 1e-12).
@pytest.mark.parametrize(
    ("depth", "time", "norm"), [(1, 2.44867, 0.452471), (2, 3.75249, 0.244220), (4, 8.66329, 0.0829385), (6, 20.24162, 0.029868)]
)
def test_transition_of_the_paper_s_start(depth, time, norm):
    transition = reference_path(depth).transition
    assert transition.t[0] == pytest.approx(time, abs=6e-6)
    assert math.exp(transition.s[0]) == pytest.approx(norm, abs=6e-7)


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_the_norm_is_stationary_at_the_transition(depth):
    tr = reference_path(depth).transition
    assert reduced_flow.norm_growth(CIRCLE, tr.q, tr.s) == pytest.approx(0.0, abs=1e-14)


def test_a_start_that_grows_at_once_has_transition_time_zero():
    path = reduced_flow.integrate(CIRCLE, 1, reduced_flow.clock(np.array([0.3])), np.array([0.0]), ADVANCES)
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
    together = reduced_flow.integrate(CIRCLE, 4, q0, s0, ADVANCES)
    alone = reduced_flow.integrate(CIRCLE, 4, q0[1:2], s0[1:2], ADVANCES)
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
        reduced_flow.integrate(CIRCLE, 4, np.array([START]), np.zeros(1), np.linspace(0.0, 0.5, 5))


def test_depth_zero_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        reduced_flow.integrate(CIRCLE, 0, np.array([START]), np.zeros(1), ADVANCES)
