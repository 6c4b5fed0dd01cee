"""Gradient flow in rescaled time against closed forms, against plain time, and against itself at other scales."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from flowcheck.correlation.ncf import Correlation
from flowcheck.errors import HypothesisError
from flowcheck.flows import flow
from flowcheck.flows.events import (
    angle_within,
    growth_reaches,
    log_norm_above,
    log_norm_below,
    loss_ratio_below,
    norm_reaches,
    tangential_below,
    time_reaches,
)
from flowcheck.losses import HALF_SUM, LOGISTIC, LOGISTIC_DOUBLED
from flowcheck.networks import sums, zoo
from flowcheck.networks.network import Network
from flowcheck.networks.problem import Objective

torch.set_num_threads(1)

ONE = torch.ones(1, dtype=torch.float64)
POINT = torch.tensor([[0.6, 0.0, 0.8]], dtype=torch.float64)
SMOOTH = [
    zoo.power_net(3, 3, 2.0, (1.0, 1.0, -1.0), slope=1.0),
    zoo.deep_linear([4, 3], 3),
    zoo.power_net(2, 3, 4.0, (1.0, -1.0)),
    zoo.squared_relu((4, 4), 3),
]
DEGREES = [zoo.power_net(1, 3, power) for power in (2.5, 3.0, 4.0, 5.0, 7.0)]


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def data(n=12, d=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g, dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True), torch.randn(n, generator=g, dtype=torch.float64)


def directions(size, count, seed=1):
    w = torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return w / w.norm(dim=1, keepdim=True)


class Branching(Network):
    """u1 |u2| times the only input: the branching example of two_homogeneous, Appendix E."""

    name, inputs, size, degree, has_lipschitz_gradient, blocks = "u1|u2|", 1, 2, 2, False, (slice(0, 2),)

    def forward(self, w, x):
        return (w[:, 0] * w[:, 1].abs()).unsqueeze(-1) * x[:, 0]


@pytest.mark.parametrize("loss", [HALF_SUM, LOGISTIC], ids=lambda loss: loss.kind)
@pytest.mark.parametrize("network", SMOOTH, ids=lambda network: network.name)
def test_loss_flow_agrees_with_scipy_in_plain_time(network, loss):
    x, y = data()
    delta, start = 0.3, directions(network.size, 2)
    path = flow.gradient_flow(Objective(network, x, y, loss), start, delta, rtol=1e-8, length=0.7)

    def velocity(_, w):
        w = torch.from_numpy(w)[None]
        return network.forward_and_pull(w, x, lambda h: loss.residual(h, y))[1][0].numpy()

    for row in range(2):
        t = float(path.plain_time()[row])
        solved = solve_ivp(velocity, (0, t), (delta * start[row]).numpy(), method="DOP853", rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(path.weights()[row].numpy(), solved.y[:, -1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("delta", [1e-1, 1e-5])
def test_the_rescaled_flow_solves_equation_8(delta):
    r"""$\dot s=\mathcal J(X;s)^\top(y-\delta^L\mathcal H(X;s))$ (deep_homogeneous, Eq. (8)), in both clocks."""
    network, (x, y) = zoo.squared_relu((4, 4), 3), data()
    start = directions(network.size, 1)
    timed = flow.gradient_flow(Objective(network, x, y, HALF_SUM), start, delta, length=0.3, rtol=1e-8, clock="time")
    arced = flow.gradient_flow(Objective(network, x, y, HALF_SUM), start, delta, until=[time_reaches(0.3)], rtol=1e-8)

    def velocity(_, s):
        s = torch.from_numpy(s)[None]
        return network.forward_and_pull(s, x, lambda h: y - delta**4 * h)[1][0].numpy()

    solved = tensor(solve_ivp(velocity, (0, 0.3), start[0].numpy(), method="DOP853", rtol=1e-9, atol=1e-10).y[:, -1])
    for path in (timed, arced):
        torch.testing.assert_close(path.weights_over_delta()[0], solved, rtol=0, atol=1e-6)
        torch.testing.assert_close(path.time, 0.3 * ONE, rtol=0, atol=1e-12)
    torch.testing.assert_close(timed.arc, arced.arc, rtol=1e-6, atol=0)


@pytest.mark.parametrize("network", DEGREES, ids=lambda network: network.name)
def test_from_a_kkt_point_the_flow_blows_up_along_it(network):
    r"""$u(t)=(1-ct)^{-1/(L-2)}u_0$ with $c=L(L-2)\mathcal N(u_0)$ (deep_homogeneous, Lemma B.2); N = z (x.u)^L, u_0 = x."""
    degree, z = float(network.degree), tensor([0.7])
    c = degree * (degree - 2) * 0.7
    for kwargs in ({"length": 0.9 / c, "clock": "time"}, {"until": [time_reaches(0.9 / c)]}):
        path = flow.gradient_flow(Correlation(network, POINT, z), POINT, rtol=1e-11, **kwargs)
        torch.testing.assert_close(path.weights(), 0.1 ** (-1 / (degree - 2)) * POINT, rtol=1e-8, atol=1e-12)
    far = flow.gradient_flow(Correlation(network, POINT, z), POINT, until=[log_norm_above(60.0)])
    time, error = flow.blow_up_time(far, Correlation(network, POINT, z))
    torch.testing.assert_close(time, ONE / c, rtol=1e-8, atol=0)
    assert float(error) <= 1e-12
    assert torch.isfinite(far.direction).all()


def test_blow_up_time_of_a_flow_that_turns():
    """For one unit and x = e1, a' = z p a^(p-1) and T* = a_0^(2-p) / (z p (p-2)). Stopped early, the bound holds."""
    network, x, z = zoo.power_net(1, 3, 4.0), tensor([[1.0, 0.0, 0.0]]), tensor([0.5])
    start = tensor([[0.3, 0.4, -0.5]])
    exact = ONE / (0.3**2 * 0.5 * 4 * 2)
    for reach, tolerance in ((2.0, 1e-2), (8.0, 1e-6)):
        path = flow.gradient_flow(Correlation(network, x, z), start, until=[log_norm_above(reach)], rtol=1e-11)
        time, error = flow.blow_up_time(path, Correlation(network, x, z))
        assert float((time - exact).abs()) <= float(error) + 1e-9
        assert float(error) < tolerance
    with pytest.raises(ValueError, match="does not blow up"):
        flow.blow_up_time(path, Correlation(zoo.power_net(1, 3, 2.0), x, z))


def test_the_time_clock_does_not_pass_a_blow_up():
    network = zoo.power_net(1, 3, 4.0)
    with pytest.raises(RuntimeError, match=r"trajectory 0 at s = 0\.1250"):
        flow.gradient_flow(Correlation(network, POINT, ONE), POINT, length=1.0, clock="time", rtol=1e-5)


def test_weights_that_leave_float64_are_an_error():
    network = zoo.power_net(1, 3, 4.0)
    path = flow.gradient_flow(Correlation(network, POINT, ONE), POINT, until=[log_norm_above(1000.0)])
    assert float(path.log_norm()) == pytest.approx(1000)
    assert torch.isfinite(path.time).all()
    with pytest.raises(OverflowError, match=r"e\^1000"):
        path.weights()


def test_degree_two_grows_exponentially_from_a_kkt_point():
    network, z = zoo.power_net(1, 3, 2.0), tensor([0.7])
    path = flow.gradient_flow(
        Correlation(network, POINT, z), 3.0 * POINT, length=5.0, rtol=1e-11, save=flow.Save(at=torch.linspace(0, 5, 6).double())
    )
    torch.testing.assert_close(
        path.recorded.log_norm()[0], math.log(3) + 1.4 * torch.linspace(0, 5, 6).double(), rtol=0, atol=1e-8
    )
    torch.testing.assert_close(path.time, path.arc, rtol=1e-12, atol=0)


def test_a_network_of_ones_own_follows_its_closed_form_to_an_event():
    r"""u1 = z1 cosh t + |z2| sinh t, |u2| = z1 sinh t + |z2| cosh t (two_homogeneous, Appendix E), to the norm 4."""
    starts, times = tensor([[0.6, 0.8], [0.6, -0.8]]), np.linspace(0, 3, 3001)
    path = flow.gradient_flow(Correlation(Branching(), ONE[:, None], ONE), starts, until=[norm_reaches(4.0)], rtol=1e-11)
    t = float(path.time[0])
    u = tensor([0.6 * math.cosh(t) + 0.8 * math.sinh(t), 0.6 * math.sinh(t) + 0.8 * math.cosh(t)])
    torch.testing.assert_close(path.weights(), torch.stack([u, u * tensor([1.0, -1.0])]), rtol=0, atol=1e-9)
    torch.testing.assert_close(path.log_norm(), math.log(4) * torch.ones(2).double(), rtol=0, atol=1e-14)
    assert abs(t - np.interp(4, np.sqrt(np.cosh(2 * times) + 0.96 * np.sinh(2 * times)), times)) < 1e-6


@pytest.mark.parametrize("network", SMOOTH[1:], ids=lambda network: network.name)
def test_evaluations_hardly_grow_with_the_smallness_of_the_start(network):
    x, y = data()
    start = directions(network.size, 2, seed=4)
    paths = [
        flow.gradient_flow(
            Objective(network, x, y, HALF_SUM),
            start,
            delta,
            rtol=1e-6,
            until=[norm_reaches(0.5), log_norm_below(-60.0)],
            method=flow.Method(order=5),
        )
        for delta in (1e-2, 1e-6)
    ]
    assert (paths[1].evaluations <= 2.5 * paths[0].evaluations).all()


def test_scales_beyond_float64_powers_are_no_problem():
    """At delta = 1e-80, delta^7 is 0 in float64; direction and rescaled time agree with those at 1e-16."""
    network, (x, y) = zoo.power_net(2, 3, 7.0, (1.0, -1.0)), data()
    start = directions(network.size, 3)
    end = [growth_reaches(50.0), log_norm_below(-1e4)]
    one, other = (
        flow.gradient_flow(Objective(network, x, y, HALF_SUM), start, d, until=end, length=1e4, rtol=1e-7) for d in (1e-16, 1e-80)
    )
    torch.testing.assert_close(one.direction, other.direction, rtol=0, atol=1e-12)
    torch.testing.assert_close(one.time, other.time, rtol=1e-12, atol=0)


def test_a_trajectory_is_the_same_alone_and_in_a_batch_with_data_of_its_own():
    network = zoo.deep_linear([3, 3], 3)
    xs, ys = (torch.stack(part) for part in zip(*(data(seed=seed) for seed in range(3)), strict=True))
    start, deltas = directions(network.size, 3), tensor([1e-1, 1e-3, 1e-6])
    together = flow.gradient_flow(Objective(network, xs, ys, HALF_SUM), start, deltas, length=1.5, rtol=1e-7)
    for row in range(3):
        alone = flow.gradient_flow(
            Objective(network, xs[row], ys[row], HALF_SUM), start[row : row + 1], float(deltas[row]), length=1.5, rtol=1e-7
        )
        torch.testing.assert_close(alone.direction[0], together.direction[row], rtol=0, atol=1e-12)
        assert int(alone.evaluations) == int(together.evaluations[row])


def test_each_event_ends_where_it_says():
    network, (x, y) = zoo.squared_relu((4, 4), 3), data()
    start = directions(network.size, 1)
    far = flow.gradient_flow(Objective(network, x, y, HALF_SUM), start, 0.1, length=6.0, rtol=1e-8)
    target = far.direction[0]
    events = {
        "growth": growth_reaches(1.5),
        "loss": loss_ratio_below(0.999),
        "angle": angle_within(2.0 * target, 0.1),
        "kkt": tangential_below(0.3),
    }
    for name, event in events.items():
        path = flow.gradient_flow(
            Objective(network, x, y, HALF_SUM), start, 0.1, length=6.0, rtol=1e-8, until=[log_norm_above(9.0), event]
        )
        assert path.ended_by.tolist() == [1]
        residual = y - network.forward(path.weights(), x)
        pull = network.pull(path.direction, x, residual)
        radial = (pull * path.direction).sum(dim=-1, keepdim=True) * path.direction
        reached = {
            "growth": math.exp(float(path.log_growth)) - 1.5,
            "loss": float(residual.square().sum() / (y - network.forward(0.1 * start, x)).square().sum()) - 0.999,
            "angle": float(torch.acos(path.direction[0] @ target)) - 0.1,
            "kkt": float((pull - radial).norm() / pull.norm()) - 0.3,
        }[name]
        assert abs(reached) < 1e-9, name
    already = flow.gradient_flow(Objective(network, x, y, HALF_SUM), start, 0.1, until=[angle_within(start[0], 0.1)])
    assert already.ended_by.tolist() == [0]
    assert already.arc.tolist() == [0]


def test_collapse_is_seen_in_the_logarithm_of_the_norm():
    """A single negative label: -u1^2 decays, and the loss flow follows w' = -2 w1 e1."""
    network = zoo.power_net(1, 1, 2.0, slope=1.0)
    path = flow.gradient_flow(Objective(network, ONE[:, None], -ONE, HALF_SUM), ONE[:, None], 1e-3, until=[log_norm_below(-30.0)])
    assert path.ended_by.tolist() == [0]
    torch.testing.assert_close(path.log_growth, path.log_norm() + math.log(1e3), rtol=1e-12, atol=0)
    torch.testing.assert_close(path.time, (30 * ONE + math.log(1e-3)) / 2, rtol=1e-5, atol=0)


def test_recorded_states_agree_with_separate_runs_and_steps_are_kept():
    network, (x, y) = zoo.deep_linear([3, 3], 3), data()
    start, points = directions(network.size, 2), tensor([0.5, 1.0, 2.5])
    path = flow.gradient_flow(
        Objective(network, x, y, LOGISTIC_DOUBLED), start, 0.01, length=tensor([2.0, 3.0]), save=flow.Save(at=points, steps=True)
    )
    alone = flow.gradient_flow(Objective(network, x, y, LOGISTIC_DOUBLED), start, 0.01, length=1.0)
    torch.testing.assert_close(path.recorded.weights()[:, 1], alone.weights(), rtol=1e-7, atol=0)
    assert torch.isnan(path.recorded.arc[0, 2])
    assert torch.isnan(path.recorded.direction[0, 2]).all()
    assert path.recorded.arc[1].tolist() == points.tolist()
    last = path.every_step.log_growth[torch.arange(2), path.steps]
    torch.testing.assert_close(last, path.log_growth, rtol=0, atol=0)
    assert path.every_step.time.shape == path.every_step.arc.shape == (2, int(path.steps.max()) + 1)


@pytest.mark.parametrize("network", [zoo.deep_linear([3, 3], 3), zoo.two_layer(3, 3, slope=0.1)], ids=["smooth", "kinked"])
def test_states_between_the_steps_are_those_that_are_recorded(network):
    x, y = data()
    start, points = directions(network.size, 2), tensor([0.5, 1.0, 2.5])
    path = flow.gradient_flow(
        Objective(network, x, y, HALF_SUM), start, 0.01, length=tensor([2.0, 3.0]), save=flow.Save(at=points, dense=True)
    )
    between = path.between(points.expand(2, -1).flip(0), torch.tensor([1, 0]))
    for name in ("direction", "log_growth", "time", "arc", "log_delta"):
        torch.testing.assert_close(
            getattr(between, name).flip(0), getattr(path.recorded, name), rtol=0, atol=1e-12, equal_nan=True
        )


def test_two_tolerances_in_one_batch_give_an_error_estimate_that_bounds_the_error():
    network, (x, y) = zoo.deep_linear([4, 3], 3), data()
    start = directions(network.size, 1).expand(2, -1)

    def run(rtol):
        return flow.gradient_flow(
            Objective(network, x, y, HALF_SUM), start[: len(rtol)], 0.1, length=2.0, rtol=torch.tensor(rtol, dtype=x.dtype)
        )

    fine, coarse, exact = (path.log_norm() for path in (run([1e-6]), run([1e-4]), run([1e-10])))
    together = run([1e-6, 1e-4]).log_norm()
    torch.testing.assert_close(together, torch.cat([fine, coarse]), rtol=0, atol=1e-12)
    error = (fine - coarse).abs()
    assert ((fine - exact).abs() <= error).all()
    assert 0 < float(error) < 1e-3


def test_the_default_order_is_eight_for_smooth_networks_only():
    orders = [flow.default_order(network) for network in SMOOTH]
    assert orders == [8, 8, 8, 5]
    assert flow.default_order(Branching()) == flow.default_order(zoo.two_layer(2, 2)) == 5


def test_bad_input_names_the_hypothesis_that_fails():
    network, (x, y) = zoo.squared_relu((4, 4), 3), data()
    start = directions(network.size, 1)
    control = sums.Mixture("mixed", ((1.0, zoo.power_net(2, 3, 2.0)), (1.0, zoo.power_net(2, 3, 4.0))), 4.0)
    with pytest.raises(HypothesisError, match="not homogeneous of degree 4"):
        flow.gradient_flow(Objective(control, x, y, HALF_SUM), directions(control.size, 1), 0.1, length=1.0)
    with pytest.raises(HypothesisError, match="scale delta"):
        flow.gradient_flow(Objective(network, x, y, HALF_SUM), start, 0.0, length=1.0)
    with pytest.raises(HypothesisError, match="identically zero"):
        flow.gradient_flow(Correlation(network, x, torch.zeros_like(y)), start, length=1.0)
    with pytest.raises(ValueError, match="finite length or an event"):
        flow.gradient_flow(Objective(network, x, y, HALF_SUM), start, 0.1)
    with pytest.raises(ValueError, match="has no loss"):
        flow.gradient_flow(Correlation(network, x, y), start, until=[loss_ratio_below(0.5)])
    with pytest.raises(ValueError, match="give the time as length"):
        flow.gradient_flow(Correlation(network, x, y), start, clock="time", until=[time_reaches(1.0)])


# ------------------------------------------------------------------------------------------------- brief events, and quiet flows


@pytest.mark.parametrize("rtol", [1e-9, 1e-6, 1e-4])
@pytest.mark.parametrize("order", [5, 8])
def test_a_direction_that_passes_a_saddle_is_seen_to_come_near_it(order, rtol):
    """U' = 2 z u entry by entry: by exp(2 z s) u0 the angle to the second axis is below 0.0048 for s in [7.337, 7.597]."""
    network = zoo.power_net(1, 3, 2.0, slope=1.0)
    correlation = Correlation(network, torch.eye(3, dtype=torch.float64), tensor([1.0, 0.9, 0.0]))
    start = tensor([[1e-6, 1e-3, 1.0]])
    until = [angle_within(tensor([0.0, 1.0, 0.0]), 0.0048)]
    path = flow.gradient_flow(correlation, start, length=60.0, rtol=rtol, until=until, method=flow.Method(order=order))
    assert path.ended_by.tolist() == [0]

    def distance(s):
        u = torch.exp(2 * correlation.z * s) * start
        return 0.0048 - float(torch.atan2(u[:, [0, 2]].norm(), u[:, 1]))

    opens = brentq(distance, 7.2, 7.45, xtol=1e-14)
    assert float(path.arc) == pytest.approx(opens, abs=1e6 * rtol if rtol < 1e-6 else 0.3)


def test_a_flow_that_fits_from_the_start_has_reached_every_share_of_its_loss():
    network, start = zoo.power_net(1, 1, 2.0, slope=1.0), tensor([[1.0]])
    fit = Objective(network, ONE[:, None], ONE, HALF_SUM)
    path = flow.gradient_flow(fit, start, until=[loss_ratio_below(0.01)])
    assert (path.ended_by.tolist(), path.arc.tolist()) == ([0], [0.0])
    still = flow.gradient_flow(fit, start, length=3.0)
    torch.testing.assert_close(still.weights(), start, rtol=0, atol=1e-15)


BAD_STARTS = {
    "the origin": (torch.zeros(1, 2, dtype=torch.float64), "start 0 has no direction: it is the origin"),
    "the origin among others": (tensor([[1.0, 1.0], [0.0, 0.0]]), "start 1 has no direction: it is the origin"),
    "none": (torch.zeros(0, 2, dtype=torch.float64), "there are no starts"),
}


@pytest.mark.parametrize(("starts", "expected"), BAD_STARTS.values(), ids=BAD_STARTS)
def test_starts_without_a_direction_are_refused(starts, expected):
    with pytest.raises(ValueError, match=expected):
        flow.gradient_flow(Objective(zoo.deep_linear([1], 1), ONE[:, None], ONE, HALF_SUM), starts, length=1.0)


@pytest.mark.parametrize("target", [[0.0, 0.0], [math.nan, 1.0], [math.inf, 0.0]])
def test_a_target_without_a_direction_is_refused(target):
    with pytest.raises(ValueError, match="the target of an angle is no direction"):
        angle_within(tensor(target), 0.1)
    with pytest.raises(ValueError, match="the target of an angle is no direction"):
        angle_within(tensor([[1.0, 0.0], target]), 0.1)


def test_a_network_without_closed_form_flows_as_the_same_network_with_one():
    net = zoo.deep_linear([3], 2)
    forward_only = sums.Mixture("the same by autograd", ((1.0, net),), net.degree)
    x, z = torch.eye(2, dtype=torch.float64), torch.tensor([[1.0, 0.5], [0.2, -1.0]], dtype=torch.float64)
    start = torch.linspace(-1, 1, 2 * net.size, dtype=torch.float64).view(2, -1)
    known, found = (
        flow.gradient_flow(Correlation(network, x, z), start, length=1.0, save=flow.Save(dense=True))
        for network in (net, forward_only)
    )
    torch.testing.assert_close(found.direction, known.direction)
    at, index = torch.full((2, 1), 0.3, dtype=torch.float64), torch.arange(2)
    torch.testing.assert_close(found.between(at, index).direction, known.between(at, index).direction)
