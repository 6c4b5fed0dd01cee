"""Euler's identities of homogeneous networks."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from flowcheck.networks import sums, zoo
from flowcheck.papers.deep_homogeneous import euler_identities
from flowcheck.papers.homogeneous.families import draw_family
from flowcheck.papers.homogeneous.kinds import network_of

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


def test_defects_of_families_are_rounding_and_those_of_the_controls_are_not():
    rng = np.random.default_rng(2)
    families = [draw_family(kind, kind, network_of(kind, 3, 3, 2), rng, 2, points=5) for kind in ("power", "linear")]
    found = euler_identities.largest_defects(families, rng, 6)
    assert max(number.value for name, number in found.items() if name.startswith("defect_")) < 1e-13
    assert min(number.value for name, number in found.items() if not name.startswith("defect_")) > 1e-2
    assert all(number.error >= number.value for name, number in found.items() if name.startswith("defect_"))
