"""Kinds of networks: each has its degree, and the function of its unit up to a factor."""

from typing import get_args

import numpy as np
import pytest
import torch

from flowcheck.data.synthetic import sphere_inputs, unit_vectors
from flowcheck.papers.homogeneous.kinds import KINDS, Kind, network_of

DEGREES = {"power": 3, "polynomial": 4, "squared": 4, "linear": 3, "two_relu": 2, "two_layer": 2}


def test_every_kind_that_a_configuration_may_name_is_there():
    assert set(KINDS) == set(get_args(Kind)) == set(DEGREES)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lifted_unit_is_a_unit_vector_with_the_function_of_the_unit(kind):
    rng = np.random.default_rng(0)
    network, x = network_of(kind, DEGREES[kind], 3, 2), sphere_inputs(rng, 7, 3)
    unit = KINDS[kind].unit(network)
    points = unit_vectors(rng, 5, unit.size)
    if kind == "two_relu":  # lifted with v > 0, and with |u| = v as at its KKT points
        points = torch.cat([points[:, :-1] / points[:, :-1].norm(dim=1, keepdim=True), torch.ones(5, 1)], dim=1) / 2**0.5
    lifted = KINDS[kind].lift(network, points)
    assert lifted.shape == (5, network.size)
    assert lifted.norm(dim=1).tolist() == pytest.approx([1.0] * 5)
    alone, whole = unit.forward(points, x), network.forward(lifted, x)
    factor = (alone * whole).sum(dim=1, keepdim=True) / alone.square().sum(dim=1, keepdim=True)
    assert bool((factor > 0).all())
    torch.testing.assert_close(whole, factor * alone)


def test_a_degree_that_a_kind_does_not_have_is_refused():
    with pytest.raises(ValueError, match="a squared network has degree 4, not 3"):
        network_of("squared", 3, 3, 2)
