"""Two-layer ReLU units in closed form: against u1|u2|, against the adaptive integrator, against their own velocity."""

import math

import numpy as np
import pytest
import torch

from flowcheck.correlation.clarke import neuron_kkt_points
from flowcheck.correlation.ncf import Correlation
from flowcheck.flows import flow
from flowcheck.flows.two_layer_unit import chain_rule_gap, follow_unit, kkt_residual
from flowcheck.networks import zoo

torch.set_num_threads(1)
ONE = np.ones((1, 1))
SLIDING = [(0, 0.0), (1, 0.2), (2, -0.5), (4, -0.5)]
"""Problems and slopes at which the unit slides along one kink, and at last along two (2, -0.5)."""


def problem(seed, n=8, d=3):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    start = rng.standard_normal(d + 1)
    return x / np.linalg.norm(x, axis=1, keepdims=True), rng.standard_normal(n), start / np.linalg.norm(start)


def state_at(path, t):
    return path.at(np.array([t]), np.zeros(1))[0]


def modulus(u, v):
    """The flow of v|u|, which is u1|u2| of two_homogeneous, Appendix E, with u1 = v."""
    return follow_unit(ONE, np.ones(1), -1.0, np.array([u]), v)


def test_unit_comes_to_rest_on_the_kink_at_the_time_of_lemma_e2():
    path = modulus(0.5, -1.0)
    assert len(path.pieces) == 2
    assert path.pieces[1].begin == pytest.approx(math.atanh(0.5), rel=1e-15)
    assert state_at(path, 7.0) == pytest.approx([0.0, -math.sqrt(0.75)], abs=1e-15)


@pytest.mark.parametrize(("z1", "z2"), [(1.0, 0.3), (-0.2, 0.7), (-0.7, 0.7)], ids=["away", "turning", "decaying"])
def test_unit_follows_cosh_and_sinh_off_the_kink(z1, z2):
    u2, u1 = state_at(modulus(z2, z1), 1.3)
    assert u1 == pytest.approx(z1 * math.cosh(1.3) + z2 * math.sinh(1.3), rel=1e-13)
    assert u2 == pytest.approx(z1 * math.sinh(1.3) + z2 * math.cosh(1.3), rel=1e-13)


@pytest.mark.parametrize(("seed", "slope"), SLIDING)
def test_unit_agrees_with_the_adaptive_integrator_slides_included(seed, slope):
    x, z, start = problem(seed)
    path = follow_unit(x, z, slope, start[:-1], start[-1])
    end = 1.5 * path.begins[-1] + 0.5
    network = zoo.two_layer(1, 3, slope=slope)
    numbers = [torch.from_numpy(part) for part in (x, z, start[None])]
    x, z, start = numbers
    run = flow.gradient_flow(Correlation(network, x, z), start, rtol=1e-9, length=end)
    assert np.allclose(
        run.weights()[0].numpy(), state_at(path, end), rtol=0, atol=1e-6 * np.exp(path.most_growth(np.array([end])))
    )


def test_these_units_slide_along_one_kink_or_two():
    most = []
    for seed, slope in SLIDING:
        x, z, start = problem(seed)
        most.append(max(int(piece.on_kink.sum()) for piece in follow_unit(x, z, slope, start[:-1], start[-1]).pieces))
    assert most == [1, 1, 2, 1]


@pytest.mark.parametrize("seed", range(6))
def test_velocity_is_the_derivative_of_the_state(seed):
    x, z, start = problem(seed)
    path = follow_unit(x, z, 0.2, start[:-1], start[-1])
    t, h = np.linspace(0.01, 1.0 + path.begins[-1], 23), 1e-6
    away = np.abs(t[:, None] - path.begins).min(axis=1) > 1e-5
    zero = np.zeros_like(t)
    difference = (path.at(t + h, zero) - path.at(t - h, zero)) / (2 * h)
    assert np.allclose(path.velocity_at(t, zero)[away], difference[away], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("seed", range(20))
def test_limits_are_kkt_points_of_the_complete_list(seed):
    x, z, start = problem(seed)
    path = follow_unit(x, z, 0.2, start[:-1], start[-1])
    t = np.array([path.begins[-1] + 40.0 / np.linalg.norm(path.pieces[-1].g)])
    unit = path.at(t, path.most_growth(t))[0]
    unit /= np.linalg.norm(unit)
    u = unit[:-1] / np.linalg.norm(unit[:-1])
    assert np.linalg.norm(neuron_kkt_points(x, z, 0.2) - u, axis=1).min() < 1e-10
    a = x @ unit[:-1]
    multiplier = 2 * unit[-1] * float(z @ np.maximum(a, 0.2 * a))
    assert kkt_residual(x, z, 0.2, unit, multiplier) < 1e-10
    assert kkt_residual(x, z, 0.2, start, multiplier) > 1e-3


def test_chain_rule_holds_for_every_subgradient_while_sliding_and_not_for_a_one_sided_velocity():
    gaps = []
    for x, z, start in map(problem, range(20)):
        path = follow_unit(x, z, 0.2, start[:-1], start[-1])
        gaps.append([chain_rule_gap(path, x, z, 0.2, one_sided=side) for side in (False, True)])
    true, wrong = np.array(gaps).T
    assert np.nanmax(true) < 1e-12
    assert np.nanmin(wrong) > 1e-4


def test_a_unit_that_passes_through_the_origin_of_u_leaves_along_a_kkt_point():
    x, z, start = problem(517)
    z = -np.abs(z)
    path = follow_unit(x, z, 0.2, start[:-1], start[-1])
    last = path.pieces[-1]
    assert np.linalg.norm(last.u) < 1e-12
    t = np.array([last.begin + 1.0])
    u = path.at(t, np.zeros(1))[0, :-1]
    assert np.linalg.norm(neuron_kkt_points(x, z, 0.2) - u / np.linalg.norm(u), axis=1).min() < 1e-10
    values = [v * float(z @ np.maximum(x @ u, 0.2 * x @ u)) for *u, v in path.at(np.linspace(0, t[0], 50), np.zeros(50))]
    assert (np.diff(values) > -1e-12).all()


def test_a_unit_on_a_kink_that_repels_may_stay_there():
    assert np.array_equal(state_at(modulus(0.0, 1.0), 3.0), [0.0, 1.0])


def test_follow_unit_refuses_a_slope_of_one():
    with pytest.raises(ValueError, match="slope below 1"):
        follow_unit(ONE, np.ones(1), 1.0, np.ones(1), 1.0)


def test_exponents_keep_late_times_within_float64():
    path = modulus(0.3, 1.0)
    t = np.array([5000.0])
    assert np.allclose(path.at(t, path.most_growth(t)), 0.65)
