"""Units and saddles: exact quotients against big numbers, the flow against plain coordinates, constants against sampling."""

import dataclasses
import math

import mpmath
import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from flowcheck.errors import HypothesisError
from flowcheck.integration import initial_value
from flowcheck.networks.zoo import deep_linear, power_net, two_layer
from flowcheck.saddles import constants as near_saddles
from flowcheck.saddles import departure
from flowcheck.saddles.saddle import Saddle, by_newton
from flowcheck.saddles.units import Units


def on_sphere(rng, n, d):
    x = rng.standard_normal((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


NETWORKS = {
    "squared ReLU": power_net(3, 3, 2, signs=(1, -1, 2)),
    "ReLU cubed": power_net(2, 3, 3),
    "ReLU to the fourth": power_net(2, 3, 4, signs=(-1, 1)),
    "fourth power": power_net(2, 3, 4, slope=1),
    "two-layer ReLU": two_layer(2, 3),
}
EXACT = pytest.mark.parametrize("name", NETWORKS)


def units_of(name, n=7):
    return Units.of(NETWORKS[name], on_sphere(np.random.default_rng(0), n, 3))


def outputs_in_big_numbers(units, w):
    """Outputs at 60 digits, straight from the definition."""
    width = 3 + (units.signs is None)
    total = [mpmath.mpf(0)] * len(units.x)
    for j in range(len(w) // width):
        row = w[j * width : (j + 1) * width]
        v = row[3] if units.signs is None else mpmath.mpf(float(units.signs[j]))
        for i, x in enumerate(units.x):
            z = sum(r * mpmath.mpf(float(c)) for r, c in zip(row[:3], x, strict=True))
            total[i] += v * (z if units.polynomial or z > 0 else mpmath.mpf(0)) ** units.power
    return total


@EXACT
def test_units_are_the_network(name):
    units, rng = units_of(name), np.random.default_rng(1)
    w, r = rng.standard_normal((4, units.size)), rng.standard_normal((4, 7))
    x, weights = torch.from_numpy(units.x), torch.from_numpy(w)
    assert units.degree == units.network.degree
    assert units.outputs(w) == pytest.approx(units.network.forward(weights, x).numpy(), abs=1e-13)
    assert units.pull(w, r) == pytest.approx(units.network.pull(weights, x, torch.from_numpy(r)).numpy(), abs=1e-12)
    assert units.jacobian(w[0]).T @ r[0] == pytest.approx(units.pull(w[:1], r[:1])[0], abs=1e-12)


@EXACT
def test_curvature_is_the_hessian_by_autograd(name):
    units, rng = units_of(name), np.random.default_rng(2)
    w, r = rng.standard_normal(units.size), rng.standard_normal(7)
    x, z = torch.from_numpy(units.x), torch.from_numpy(r)
    hessian = torch.func.hessian(lambda v: units.network.forward(v[None], x)[0] @ z)(torch.from_numpy(w))
    assert units.curvature(w, r) == pytest.approx(hessian.numpy(), abs=1e-11)


@pytest.mark.parametrize("epsilon", [1.0, 1e-3, 1e-9, 1e-40])
@EXACT
def test_quotients_have_their_digits_at_every_step(name, epsilon):
    units, rng = units_of(name), np.random.default_rng(3)
    w, step, z = rng.standard_normal(units.size), rng.standard_normal(units.size), rng.standard_normal(7)
    found = units.increment(w, step[None], np.array([epsilon]), z)
    with mpmath.workdps(150):
        start = [mpmath.mpf(float(v)) for v in w]
        end = [v + mpmath.mpf(epsilon) * mpmath.mpf(float(s)) for v, s in zip(start, step, strict=True)]
        pairs = zip(outputs_in_big_numbers(units, end), outputs_in_big_numbers(units, start), strict=True)
        exact = np.array([float((a - b) / mpmath.mpf(epsilon)) for a, b in pairs])
    assert found.outputs[0] == pytest.approx(exact, rel=1e-12, abs=1e-13)
    if epsilon == 1e-3:
        plain = (units.pull(w + epsilon * step, z) - units.pull(w, z)) / epsilon
        assert found.pulled[0] == pytest.approx(plain, abs=1e-9)
        assert found.end_outputs[0] == pytest.approx(units.outputs(w + epsilon * step), abs=1e-13)
        assert found.end_pull(z[None])[0] == pytest.approx(units.pull(w + epsilon * step, z), abs=1e-12)


def test_quotient_at_step_zero_is_the_derivative():
    units, rng = units_of("ReLU cubed"), np.random.default_rng(4)
    w, step, z = rng.standard_normal(6), rng.standard_normal(6), rng.standard_normal(7)
    found = units.increment(w, step[None], np.zeros(1), z)
    assert found.outputs[0] == pytest.approx(units.jacobian(w) @ step, abs=1e-12)
    assert found.pulled[0] == pytest.approx(units.curvature(w, z) @ step, abs=1e-12)


@pytest.mark.parametrize("network", [deep_linear([2], 3), power_net(2, 3, 2.5), power_net(2, 3, 2, slope=0.5)])
def test_other_networks_are_not_sums_of_units(network):
    with pytest.raises(ValueError, match="units"):
        Units.of(network, np.eye(3))


def newton_saddle(degree, seed=0):
    def draw(rng):
        x = on_sphere(rng, 30, 3)
        y = Units.of(power_net(3, 3, degree, signs=(1, 1, -1)), x).outputs(rng.standard_normal(9))
        return Units.of(power_net(1, 3, degree), x), Units.of(power_net(3, 3, degree), x), y

    return by_newton(draw, np.random.default_rng(seed))


@pytest.mark.parametrize("degree", [2, 3, 4])
def test_newton_reaches_rounding_and_the_hessian_is_that_of_the_loss(degree):
    saddle = newton_saddle(degree)
    assert saddle.stationarity() <= 1e-13
    x, y = torch.from_numpy(saddle.fitted.x), torch.from_numpy(saddle.residual + saddle.fitted.outputs(saddle.weights))
    network = saddle.fitted.network
    hessian = torch.func.hessian(lambda w: 0.5 * ((network.forward(w[None], x)[0] - y) ** 2).sum())(
        torch.from_numpy(saddle.weights)
    )
    assert saddle.hessian == pytest.approx(hessian.numpy(), rel=1e-10, abs=1e-10)


def test_a_point_beside_the_saddle_is_refused_with_its_gradient():
    saddle = newton_saddle(3)
    beside = dataclasses.replace(saddle, weights=saddle.weights + 0.1)
    with pytest.raises(HypothesisError, match="not a stationary point") as refused:
        beside.stationarity()
    assert refused.value.metric == "stationarity"
    assert refused.value.measured > 0.1


@pytest.mark.parametrize("degree", [2, 3, 4])
def test_flow_near_the_saddle_is_the_flow_of_the_weights(degree):
    saddle, rng, delta = newton_saddle(degree), np.random.default_rng(5), 0.05
    start_n, start_z = on_sphere(rng, 1, 3)[0], on_sphere(rng, 1, 9)[0]
    y, last = saddle.residual + saddle.fitted.outputs(saddle.weights), 0.02
    u = solve_ivp(
        lambda _, v: saddle.idle.pull(v, saddle.residual), (0, last), start_z, "DOP853", dense_output=True, rtol=1e-12, atol=1e-12
    )
    tau = np.linspace(0, last, 5)
    path = departure.depart(saddle, np.array([delta]), start_n, start_z, tau, u.sol)

    def plain(_, w):
        rest = y - saddle.fitted.outputs(w[:3]) - saddle.idle.outputs(w[3:])
        return np.concatenate([saddle.fitted.pull(w[:3], rest), saddle.idle.pull(w[3:], rest)])

    start = np.concatenate([saddle.weights + delta * start_n, delta * start_z])
    times = tau * delta ** (2 - degree)
    exact = solve_ivp(plain, (0, times[-1]), start, "DOP853", t_eval=times, rtol=1e-12, atol=1e-13).y.T
    assert saddle.weights + delta * path.a[0] == pytest.approx(exact[:, :3], abs=1e-7)
    assert delta * path.b[0] == pytest.approx(exact[:, 3:], abs=1e-7)


@pytest.mark.parametrize(("degree", "m"), [(2, 1), (3, 2), (4, 3), (4, 0)])
def test_jacobian_is_the_derivative_of_the_velocity(degree, m):
    saddle, rng, delta = newton_saddle(degree), np.random.default_rng(6), 0.3
    state, u = rng.standard_normal(12), rng.standard_normal(9) * (m > 0)

    def velocity(s):
        return np.concatenate(saddle.velocity(np.array([delta]), m, u, s[None, :3], s[None, 3:]), axis=1)[0]

    steps = 1e-6 * np.eye(12)
    numeric = np.stack([(velocity(state + h) - velocity(state - h)) / 2e-6 for h in steps], axis=1)
    assert saddle.jacobian(delta, m, u, state[:3], state[3:]) == pytest.approx(numeric, rel=1e-5, abs=1e-5)


def test_inward_rate_is_the_product_with_the_gradient():
    saddle, rng = newton_saddle(3), np.random.default_rng(7)
    directions, y = on_sphere(rng, 5, 3), saddle.residual + saddle.fitted.outputs(saddle.weights)
    gradient = [-saddle.fitted.pull(w, y - saddle.fitted.outputs(w)) for w in saddle.weights + 0.1 * directions]
    assert saddle.inward(0.1, directions) == pytest.approx(
        [d @ g / 0.1 for d, g in zip(directions, gradient, strict=True)], rel=1e-9
    )


def test_collapse_is_recognised():
    x = on_sphere(np.random.default_rng(8), 12, 3)
    fitted, weights = Units.of(power_net(1, 3, 4), x), np.array([1.0, 0.0, 0.0])
    residual = np.where(x[:, 0] > 0, 0.0, -1.0)
    even, odd = Units.of(power_net(1, 3, 4, slope=1), x), Units.of(power_net(1, 3, 4), x)
    assert Saddle(fitted, even, weights, residual).collapses
    assert not Saddle(fitted, even, weights, -residual).collapses
    assert not Saddle(fitted, odd, weights, residual).collapses


@EXACT
def test_bounds_are_above_what_sampling_finds(name):
    units, rng = units_of(name), np.random.default_rng(9)
    w = on_sphere(rng, 400, units.size)
    outputs = np.linalg.norm(units.outputs(w), axis=1).max()
    slopes = max(np.linalg.norm(units.jacobian(row), 2) for row in w)
    assert outputs <= near_saddles.output_bound(units) <= 20 * outputs
    assert slopes <= near_saddles.jacobian_bound(units) <= 20 * slopes


@pytest.mark.parametrize("name", ["squared ReLU", "ReLU cubed", "ReLU to the fourth", "fourth power"])
def test_lipschitz_bound_of_the_jacobian(name):
    units, rng, radius = units_of(name), np.random.default_rng(10), 1.7
    pairs = radius * on_sphere(rng, 200, units.size).reshape(100, 2, -1)
    ratios = [np.linalg.norm(units.jacobian(a) - units.jacobian(b), 2) / np.linalg.norm(a - b) for a, b in pairs]
    assert max(ratios) <= near_saddles.jacobian_lipschitz_bound(units, radius)


def test_growth_constants_bound_what_they_stand_for():
    saddle, rng = newton_saddle(2), np.random.default_rng(11)
    constants = near_saddles.growth(saddle)
    near = saddle.weights + constants.radius * on_sphere(rng, 200, 3) * rng.uniform(0, 1, (200, 1))
    rise = np.linalg.norm(saddle.fitted.outputs(near) - saddle.fitted.outputs(saddle.weights), axis=1)
    turn = np.linalg.norm(saddle.fitted.pull(near, np.tile(saddle.residual, (200, 1))), axis=1)
    distance = np.linalg.norm(near - saddle.weights, axis=1)
    assert (rise <= constants.mu1 * distance).all()
    assert (turn <= constants.mu2 * distance + 1e-12).all()
    assert max(np.linalg.norm(saddle.fitted.jacobian(w), 2) for w in near) <= constants.mu3
    with pytest.raises(ValueError, match="degree 2"):
        near_saddles.growth(newton_saddle(3))


def test_corrected_bound_72_at_the_sufficient_delta_is_half_of_epsilon_squared():
    saddle = newton_saddle(3)
    constants = near_saddles.reach(saddle, epsilon=0.1, time=0.05, largest=1.5)
    level = math.log(0.1**2 / 2)
    assert constants.log_deviation(constants.log_delta, 0.05, printed=False) <= level + 1e-9
    assert constants.log_deviation(constants.log_delta_parenthesis, 0.05, printed=True) == pytest.approx(level, abs=1e-9)
    by_hand = 0.1**2 / 2 / (2 * 0.1 * constants.alpha * constants.norm_z**2)
    bracket = constants.k2 * math.sqrt(constants.c) + constants.beta * constants.norm_z**3
    exponent = 2 * 0.05 * constants.k1 * constants.residual
    assert constants.log_delta == pytest.approx(math.log(by_hand / bracket / 0.05) - exponent, rel=1e-9)


@pytest.mark.parametrize("degree", [2, 3])
def test_the_constants_of_the_proof_by_hand(degree):
    r"""$\tilde B$, $\tilde W$, $C_\epsilon$, $K^1$ and $K^2$ of Section C.1, from bounds that are asked for again."""
    saddle, epsilon, time, largest = newton_saddle(degree), 0.2, 0.7, 1.5
    found = near_saddles.reach(saddle, epsilon, time, largest)
    parts = (saddle.fitted, saddle.idle)
    alpha = max(near_saddles.jacobian_bound(part) for part in parts)
    beta = max(near_saddles.output_bound(part) for part in parts)
    norm_z, norm_n = 1.7, math.sqrt(sum(float(w) ** 2 for w in saddle.weights)) + 0.2
    c = 1 + 2 * 0.2 * 0.7 * alpha * beta * norm_n ** (degree - 1) * norm_z**degree
    assert found.norm_z == pytest.approx(norm_z)
    assert found.norm_n == pytest.approx(norm_n)
    assert found.c == pytest.approx(c, rel=1e-12)
    assert found.c > 2, "far from 1, which no constant may be taken for"
    assert found.k2 == pytest.approx(alpha * norm_n ** (degree - 1), rel=1e-12)
    assert found.residual == pytest.approx(math.sqrt(sum(float(r) ** 2 for r in saddle.residual)))


def test_largest_fall_is_what_the_best_length_of_the_idle_weights_takes_from_the_loss():
    units, rng = units_of("squared ReLU"), np.random.default_rng(7)
    residual, w = rng.standard_normal(7), rng.standard_normal(units.size)
    saddle = Saddle(units, units, np.zeros(units.size), residual)
    lengths = np.linspace(-5, 5, 200_001)[:, None]
    losses = ((residual - lengths * units.outputs(w)) ** 2).sum(-1)
    assert departure.largest_fall(saddle, w) == pytest.approx(1 - losses.min() / (residual @ residual), abs=1e-8)


def test_the_printed_delta_of_65_is_the_least_of_its_four_conditions_by_hand():
    constants = near_saddles.reach(newton_saddle(3), epsilon=0.1, time=0.05, largest=1.5)
    growth = math.exp(2 * 0.05 * constants.k1 * constants.residual)
    last = 0.1 / (4 * constants.alpha * constants.norm_z**2)
    last /= constants.k2 * constants.c + constants.beta * constants.norm_z**3 * 0.05 * growth
    expected = min(1.0, 0.1**2, 0.1**2 / (2 * constants.c), last)
    assert last < 0.1**2 / (2 * constants.c), "the last condition is the one that decides here"
    assert constants.log_delta_printed == pytest.approx(0.5 * math.log(expected), rel=1e-12)


@pytest.mark.parametrize("degree", [2, 3])
def test_the_loss_has_fallen_to_a_ratio_where_its_margin_is_zero(degree):
    saddle, delta, rng = newton_saddle(degree), 0.1, np.random.default_rng(11)
    a, b = rng.standard_normal(saddle.fitted.size), rng.standard_normal(saddle.idle.size)
    outputs = saddle.fitted.outputs(saddle.weights + delta * a) - saddle.fitted.outputs(saddle.weights)
    rest = saddle.residual - outputs - saddle.idle.outputs(delta * b)
    ratio = float(rest @ rest) / float(saddle.residual @ saddle.residual)
    assert departure.loss_below(saddle, delta, ratio)(a, b) == pytest.approx(0.0, abs=1e-12)
    assert departure.loss_below(saddle, delta, ratio + 0.25)(a, b) == pytest.approx(0.25, abs=1e-12)


def test_where_one_stiff_solver_gives_up_another_follows_the_same_flow(monkeypatch):
    saddle, rng = newton_saddle(3), np.random.default_rng(3)
    start_n, start_z = (on_sphere(rng, 1, part.size)[0] for part in (saddle.fitted, saddle.idle))
    tau, delta = np.linspace(0.0, 0.05, 7), np.array([1e-2, 1e-5])
    path = solve_ivp(
        lambda _, v: saddle.idle.pull(v, saddle.residual), (0, 0.05), start_z, "DOP853", rtol=1e-12, dense_output=True
    )
    curve = path.sol
    plain = departure.depart(saddle, delta, start_n, start_z, tau, curve)
    asked = []

    def gives_up(rates, end, start, method, *rest, **options):
        asked.append(method)
        if method == "LSODA":
            raise RuntimeError("the flow near the saddle: gives up")
        return initial_value.solve(rates, end, start, method, *rest, **options)

    monkeypatch.setattr(departure, "solve", gives_up)
    other = departure.depart(saddle, delta, start_n, start_z, tau, curve)
    assert asked == ["LSODA", "Radau"] * 2
    assert np.abs(other.a - plain.a).max() < 1e-5
    assert np.abs(other.deviation - plain.deviation).max() < 1e-5
