"""Flows of piecewise-linear networks: frozen patterns, located kinks, and solutions that slide along kinks."""

import math

import numpy as np
import pytest
import torch

from flowcheck.correlation.ncf import Correlation
from flowcheck.flows.events import growth_reaches, tangential_below
from flowcheck.flows.flow import Method, Save, gradient_flow
from flowcheck.flows.sliding import Patterns, has_patterns
from flowcheck.losses import HALF_SUM
from flowcheck.networks import zoo
from flowcheck.networks.problem import Objective

torch.set_num_threads(1)

KINKED = [
    zoo.two_layer(3, 3),
    zoo.two_layer(3, 3, slope=0.3),
    zoo.relu_two_trainable((4, 3), 3, (1.0, -1.0, 1.0)),
    zoo.deep_relu((3, 3), 3),
]


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def data(n=6, seed=3):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=g, dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True), torch.randn(n, generator=g, dtype=torch.float64)


def directions(size, count, seed=1):
    w = torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return w / w.norm(dim=1, keepdim=True)


def patterns(network, x, z):
    return Patterns(network, lambda index: x, lambda state, index: lambda outputs: z)


@pytest.mark.parametrize("network", KINKED, ids=lambda network: network.name)
def test_the_pull_of_its_own_pattern_is_the_networks(network):
    x, z = data()
    w, index = directions(network.size, 4), torch.arange(4)
    pieces = patterns(network, x, z)
    torch.testing.assert_close(pieces.pull(w, pieces.begin(w, index), index), network.pull(w, x, z), rtol=0, atol=1e-15)


@pytest.mark.parametrize("network", KINKED, ids=lambda network: network.name)
def test_the_pull_of_any_pattern_agrees_with_autograd(network):
    x, z = data()
    w = directions(network.size, 4)
    pieces = patterns(network, x, z)
    branch = torch.randn(
        4, pieces.begin(w, torch.arange(4)).shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    frozen = pieces._frozen(w, branch)
    torch.testing.assert_close(frozen.pull(x, lambda _: z), frozen.pull_and_upstream(x, lambda _: z)[0], rtol=0, atol=1e-13)


def test_which_networks_have_patterns():
    smooth = [zoo.squared_relu((3, 3), 3), zoo.deep_linear([3], 3), zoo.power_net(2, 3, 1.5)]
    assert all(has_patterns(network) for network in KINKED)
    assert not any(has_patterns(network) for network in smooth)


def test_without_locating_kinks_the_order_is_lost():
    """At a tolerance of 1e-4; at tighter ones an unaware method takes thousands of steps about the kinks."""
    network, (x, y) = KINKED[1], data()
    start = directions(network.size, 2)

    def run(rtol, locate):
        return gradient_flow(
            Objective(network, x, y, HALF_SUM), start, 0.3, length=1.5, rtol=rtol, method=Method(locate_kinks=locate)
        ).weights()

    exact = run(1e-7, True)
    located, unaware = ((run(1e-4, locate) - exact).norm(dim=-1).max() for locate in (True, False))
    assert 30 * float(located) < float(unaware)


@pytest.mark.parametrize("network", KINKED[:2], ids=lambda network: network.name)
def test_the_error_follows_the_tolerance_through_kinks_and_slides(network):
    """Fifth order through some tens of kinks: the error is proportional to the tolerance, and few steps are taken."""
    x, y = data()
    start = directions(network.size, 2)

    def run(rtol):
        return gradient_flow(Objective(network, x, y, HALF_SUM), start, 0.3, length=1.5, rtol=rtol, method=Method(order=5))

    exact, tolerances, errors = run(1e-8), (1e-4, 1e-5, 1e-6), []
    assert int(exact.kinks.min()) >= 1
    for rtol in tolerances:
        path = run(rtol)
        assert path.kinks.tolist() == exact.kinks.tolist()
        errors.append(float((path.weights() - exact.weights()).norm(dim=-1).max()))
    assert np.polyfit(np.log(tolerances), np.log(errors), 1)[0] == pytest.approx(1, abs=0.35)
    assert errors[-1] < 1e-5
    assert int(path.steps.max()) < 100


def test_balance_and_energy_hold_through_kinks_and_slides():
    r"""Of each unit v^2 - |u|^2 is constant; $\mathcal N$ grows by the integral of the squared speed (two_homogeneous, A.1)."""
    network, (x, z) = zoo.two_layer(3, 3), data()
    start = directions(network.size, 4)
    grid = torch.linspace(0, 1.5, 3001, dtype=torch.float64)
    path = gradient_flow(Correlation(network, x, z), start, length=1.5, rtol=1e-7, save=Save(at=grid))
    assert int(path.kinks.min()) >= 1
    assert int(path.slides.max()) >= 1
    u = path.recorded.weights_over_delta()
    balance = [(w[..., 3] ** 2 - w[..., :3].square().sum(dim=-1)) for w in u.view(4, -1, 3, 4).unbind(dim=2)]
    for unit in balance:
        torch.testing.assert_close(unit, unit[:, :1].expand_as(unit), rtol=0, atol=1e-6)
    value = (network.forward(u.view(-1, network.size), x) @ z).view(4, -1)
    speed = ((u[:, 1:] - u[:, :-1]).norm(dim=-1) / grid.diff()) ** 2
    torch.testing.assert_close((speed * grid.diff()).sum(dim=-1), value[:, -1] - value[:, 0], rtol=3e-4, atol=0)


def sliding_exactly(start, x, z, t):
    """The flow of v (z1 relu(x1 u) + z2 relu(x2 u)) with x1 = (1, 0), z1 = -1, x2 = (c, s), z2 = 1: to u1 = 0, then along it."""
    c, s = x[1].tolist()
    linear = np.array([[0, 0, c - 1], [0, 0, s], [c - 1, s, 0]])
    values, vectors = np.linalg.eigh(linear)

    def before(time):
        return vectors @ (np.exp(values * time) * (vectors.T @ start))

    low, high = 0.0, t
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if before(middle)[0] > 0 else (low, middle)
    _, u, v = before(low)
    rest = s * (t - low)
    return np.array([0, u * math.cosh(rest) + v * math.sinh(rest), u * math.sinh(rest) + v * math.cosh(rest)])


def test_a_solution_slides_along_a_kink_as_the_inclusion_says():
    network, x, z = zoo.two_layer(1, 2), tensor([[1.0, 0.0], [0.6, 0.8]]), tensor([-1.0, 1.0])
    start = np.array([0.3, 0.5, 0.7])
    path = gradient_flow(Correlation(network, x, z), tensor(start)[None], length=2.5, rtol=1e-9)
    np.testing.assert_allclose(path.weights()[0].numpy(), sliding_exactly(start, x, z, 2.5), rtol=0, atol=1e-7)
    assert path.kinks.tolist() == [1]
    assert path.slides.tolist() == [1]


def test_a_slide_ends_at_a_kkt_point_on_the_kink():
    network, x, z = zoo.two_layer(1, 2), tensor([[1.0, 0.0], [0.6, 0.8]]), tensor([-1.0, 1.0])
    path = gradient_flow(Correlation(network, x, z), tensor([[0.3, 0.5, 0.7]]), until=[tangential_below(1e-4)], rtol=1e-6)
    assert path.ended_by.tolist() == [0]
    torch.testing.assert_close(path.direction, tensor([[0.0, math.sqrt(0.5), math.sqrt(0.5)]]), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("network", "mirrored"),
    [(KINKED[0], False), (KINKED[3], False), (KINKED[0], True), (KINKED[1], True)],
    ids=["two-layer", "deep", "two-layer, symmetric inputs", "leaky, symmetric inputs"],
)
def test_explicit_euler_converges_to_it(network, mirrored):
    """Euler steps zigzag about a kink on which the solution slides, within their size; errors of first order all along."""
    x, z = data(n=12, seed=5)
    if mirrored:
        x = torch.cat([x[:6], -x[:6]])
    start, errors = directions(network.size, 3, seed=2), []
    path = gradient_flow(Correlation(network, x, z), start, length=1.0, rtol=1e-5, clock="time")
    assert int(path.kinks.min()) >= 4
    assert int(path.slides.max()) >= 2
    for count in (150, 600):
        u = start.clone()
        for _ in range(count):
            u = torch.add(u, network.pull(u, x, z), alpha=1 / count)
        errors.append((path.weights() - u).norm(dim=-1) / u.norm(dim=-1))
    ratio = errors[0] / errors[1]
    assert float(errors[1].max()) < 0.05
    assert float(ratio.min()) > 2.5
    assert float(ratio.max()) < 6


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["parallel", "opposite"])
def test_parallel_inputs_share_a_kink(sign):
    """A sample split into two of half its weight, or joined by its mirror image with no label, slides as before."""
    network, x, z = zoo.two_layer(1, 2), tensor([[1.0, 0.0], [0.6, 0.8]]), tensor([-1.0, 1.0])
    doubled = torch.cat([x, 2 * sign * x[:1]]), tensor([-0.5, 1.0, -0.25]) if sign > 0 else tensor([-1.0, 1.0, -0.1])
    start = np.array([0.3, 0.5, 0.7])
    path = gradient_flow(Correlation(network, *doubled), tensor(start)[None], length=2.5, rtol=1e-9)
    assert path.slides.tolist() == [2]
    if sign > 0:
        np.testing.assert_allclose(path.weights()[0].numpy(), sliding_exactly(start, x, z, 2.5), rtol=0, atol=1e-7)


def test_small_scales_and_growth_with_kinks():
    network, (x, y) = zoo.two_layer(3, 3), data()
    start = directions(network.size, 3)
    coarse, fine = (
        gradient_flow(Objective(network, x, y, HALF_SUM), start, delta, until=[growth_reaches(3.0)], length=8.0, rtol=1e-5)
        for delta in (1e-6, 1e-12)
    )
    torch.testing.assert_close(coarse.direction, fine.direction, rtol=0, atol=1e-4)
