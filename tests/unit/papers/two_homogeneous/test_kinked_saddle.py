"""The saddle on a kink: Clarke's set, Eq. (15), and flows that fall onto the kink and slide, against Euler's method."""

import dataclasses

import numpy as np
import pytest
import torch

from flowcheck.data.synthetic import unit_vectors
from flowcheck.errors import HypothesisError
from flowcheck.papers.homogeneous.near_saddles import labels, velocity_gaps
from flowcheck.papers.two_homogeneous import kinked_saddle
from flowcheck.papers.two_homogeneous.kinked_saddle import kinked_relu, pushed_away, required_kappa
from flowcheck.saddles.departure import draw_starts

torch.set_num_threads(1)
EPSILONS = np.array([0.1])


@pytest.fixture(scope="module")
def saddle():
    return kinked_relu(np.random.default_rng(0))


def directions(count=2000):
    return unit_vectors(np.random.default_rng(1), count, 4).numpy()


def test_it_is_critical_in_the_sense_of_clarke_and_no_gradient_there_is_small(saddle):
    assert saddle.stationarity() < 1e-14
    assert abs(saddle.fitted.preactivations(saddle.weights)[0, 0]) < 1e-15
    generators = saddle.generators(saddle.weights)
    assert len(generators) == 2
    assert np.linalg.norm(generators, axis=1).min() > 0.1
    # the share of the gradient of the side that sees the first input
    np.testing.assert_allclose(generators.sum(axis=0), 0.0, atol=1e-14)  # a half of each


def test_a_residual_that_pushes_away_makes_it_no_saddle(saddle):
    with pytest.raises(HypothesisError, match="not a stationary point"):
        pushed_away(saddle).stationarity()


@pytest.mark.parametrize("seed", range(5))
def test_the_kappa_of_the_derivation_is_enough_and_without_attraction_none_is(seed):
    saddle = kinked_relu(np.random.default_rng(seed))
    radii = saddle.gamma * np.geomspace(1e-6, 1.0, 7)
    assert max(required_kappa(saddle, directions(), r) for r in radii) <= saddle.kappa
    assert required_kappa(pushed_away(saddle), directions(), 1e-6) > 1e3


def test_the_kappa_is_needed_in_the_whole_ball_and_not_only_at_samples(saddle):
    """Next to the directions along which v and u change together, where the product is most negative."""
    x = saddle.fitted.x * saddle.sees[:, None]
    along = np.linalg.svd(x)[2][0]
    for sign in (1.0, -1.0):
        for height in np.linspace(-1, 1, 41):
            step = np.append(sign * along * np.sqrt(1 - height**2), height)
            for r in saddle.gamma * np.array([0.3, 1.0]):
                assert required_kappa(saddle, step[None], float(r)) <= saddle.kappa


def euler(saddle, start_n, start_z, delta, end, steps):
    """Subgradient descent in plain variables, the ReLU's derivative at 0 as autograd has it; it chatters along the kink."""
    y, w = labels(saddle), np.concatenate([saddle.weights + delta * start_n, delta * start_z])
    split, h = saddle.fitted.size, end / steps
    for _ in range(steps):
        rest = y - saddle.fitted.outputs(w[:split]) - saddle.idle.outputs(w[split:])
        w = w + h * np.concatenate([saddle.fitted.pull(w[:split], rest), saddle.idle.pull(w[split:], rest)])
    return (w[:split] - saddle.weights) / delta, w[split:] / delta


@pytest.mark.parametrize("seed", [0, 3])
def test_a_flow_is_that_of_the_inclusion(seed):
    rng = np.random.default_rng(seed)
    saddle = kinked_relu(rng)
    (start,) = draw_starts(saddle, 1, EPSILONS, 100.0, rng).starts
    end, delta = float(start.u.times[-1]), 1e-2
    path = saddle.depart(np.array([delta]), start.n, start.z, np.array([0.0, end]), start.u.curve)
    errors = []
    for steps in (3_000, 12_000):
        a, b = euler(saddle, start.n, start.z, delta, end, steps)
        errors.append(np.linalg.norm(path.a[0, -1] - a) + np.linalg.norm(path.b[0, -1] - b))
    assert errors[1] < 5e-3
    assert errors[1] < 0.5 * errors[0]  # of first order in the step


def test_a_sliding_unit_stays_on_its_kink_and_one_that_starts_there_never_leaves(saddle):
    rng = np.random.default_rng(2)
    (start,) = draw_starts(saddle, 1, EPSILONS, 100.0, rng).starts
    first = saddle.fitted.x[0]
    on_kink = start.n.copy()
    on_kink[:-1] -= (on_kink[:-1] @ first) / (first @ first) * first
    for begin in (start.n, on_kink / np.linalg.norm(on_kink)):
        path = saddle.depart(np.array([1e-3, 1e-6]), begin, start.z, np.linspace(0.0, start.u.times[-1], 9), start.u.curve)
        assert np.abs(path.a[:, 1:, :-1] @ first).max() < 1e-12


def test_the_deviation_is_of_order_delta_where_the_unit_slides(saddle):
    rng = np.random.default_rng(4)
    (start,) = draw_starts(saddle, 1, EPSILONS, 100.0, rng).starts
    path = saddle.depart(np.array([1e-4, 1e-6]), start.n, start.z, np.linspace(0.0, start.u.times[-1], 9), start.u.curve)
    assert path.deviation[0].max() / path.deviation[1].max() == pytest.approx(100, rel=0.05)


def test_the_rates_are_those_of_the_loss_off_the_kink(saddle):
    found = velocity_gaps(saddle, np.random.default_rng(3))
    assert max(found[f"velocity_m{m}"].value for m in (0, 1)) < 1e-12
    assert min(found[f"velocity_halved_m{m}"].value for m in (0, 1)) > 0.9


def test_from_too_far_the_unit_meets_other_kinks(saddle):
    rng = np.random.default_rng(2)
    (start,) = draw_starts(saddle, 1, EPSILONS, 100.0, rng).starts
    back = np.append(-saddle.weights[:-1], 0.0)  # through the origin
    with pytest.raises(RuntimeError, match="meets another kink"):
        saddle.depart(np.array([1.5]), back, start.z, np.array([0.0, float(start.u.times[-1])]), start.u.curve)


def test_a_rate_of_the_constants_bounds_the_growth(saddle):
    """Z <= 2 delta^2 e^(2 M2 t), with the kappa of Eq. (15) in M2."""
    rng = np.random.default_rng(5)
    (start,) = draw_starts(saddle, 1, EPSILONS, 100.0, rng).starts
    tau = np.linspace(0.0, start.u.times[-1], 9)
    path = saddle.depart(np.array([1e-8]), start.n, start.z, tau, start.u.curve)
    growth = path.a_norm[0] ** 2 + path.b_norm[0] ** 2
    assert (np.log(growth / 2) <= 2 * saddle.growth.m2 * tau + 1e-9).all()
    assert saddle.growth.radius == saddle.gamma <= 0.5


def test_readings_hold_and_those_of_the_broken_saddle_do_not():
    saddles = [kinked_relu(np.random.default_rng(seed)) for seed in range(2)]
    found = kinked_saddle.readings_of(saddles, directions(200), np.geomspace(1e-6, 1.0, 4))
    assert found["clarke_gradient_max"].value < 1e-12 < 0.05 < found["one_gradient_min"].value
    assert found["clarke_beside_min"].value > 0.05
    assert found["kinked_kappa_excess_max"].value < 0 < 1e3 < found["kinked_kappa_excess_flipped"].value
    assert all(number.n == 2 for number in found.values())


def test_a_displaced_saddle_is_refused(saddle):
    with pytest.raises(HypothesisError):
        dataclasses.replace(saddle, weights=saddle.weights + 0.01).stationarity()
