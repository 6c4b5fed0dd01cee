"""Gronwall's inequality against a known solution, and Euler's identities where they hold and where they do not."""

import math
from dataclasses import asdict

import numpy as np
import pytest
import torch

from flowcheck.networks import sums, zoo
from flowcheck.papers.deep_homogeneous import euler_identities, gronwall


def constant(value):
    return lambda t: np.full(1, value)


def test_gronwall_is_an_equality_without_slack():
    found = gronwall.excess(constant(1.0), constant(1.0), constant(0.0), 0.0, 1.0, 400)
    assert abs(found.general[0]) < 1e-10 and abs(found.monotone[0]) < 1e-10


def test_second_part_of_gronwall_fails_for_a_decreasing_alpha():
    found = gronwall.excess(lambda t: np.full(1, 1.0 - t), constant(1.0), constant(0.0), 0.0, 1.0, 400)
    # u = e^t - 1 + ... : u(1) = int_0^1 r e^r dr = 1, and the largest |bound| is that of the first part, e - 1 - ... = 1
    assert found.monotone[0] == pytest.approx(1.0, abs=1e-8)
    assert abs(found.general[0]) < 1e-10


def test_first_part_of_gronwall_fails_with_the_printed_lower_limit():
    found = gronwall.excess(constant(1.0), constant(1.0), constant(0.0), -1.0, 1.0, 400)
    assert found.from_zero[0] == pytest.approx((math.e**2 - math.e) / math.e**2, abs=1e-8)


@pytest.mark.parametrize("increasing", [False, True])
def test_gronwall_holds_on_random_functions(increasing):
    found = gronwall.random_excess(np.random.default_rng(0), 50, 200, increasing=increasing)
    assert found.general.max() < 0
    assert not increasing or found.monotone.max() < 0


NETWORKS = [
    zoo.power_net(3, 3, 3),
    zoo.power_net(2, 3, 4, slope=1.0),
    zoo.squared_relu((3, 3), 3),
    zoo.deep_linear((2, 2, 2), 3),
    zoo.two_layer(2, 3, slope=0.2),
]


def sample(network, seed=0):
    g = torch.Generator().manual_seed(seed)
    x, z, w = (torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((6, 3), (6,), (10, network.size)))
    return x, z, w, torch.logspace(-3, 3, 10, dtype=torch.float64)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_homogeneous_networks_have_no_defect(network):
    assert max(asdict(euler_identities.defects(network, *sample(network))).values()) < 1e-12


def test_a_wrong_degree_and_mixed_degrees_show():
    three, four = (zoo.power_net(2, 3, degree) for degree in (3, 4))
    assert euler_identities.defects(four, *sample(four), degree=3).normalised_projection > 1e-2
    mixture = sums.Mixture("mixture", ((1.0, three), (0.5, four)), 3)
    found = euler_identities.defects(mixture, *sample(mixture))
    assert min(found.gradient_scaling, found.gradient_euler, found.jacobian_scaling, found.jacobian_euler) > 1e-2
