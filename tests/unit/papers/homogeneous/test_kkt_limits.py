"""Residual and value at limits: rounding against more digits, rest and kinks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from flowcheck.alignment.reference import reference
from flowcheck.flows.ending import Ending
from flowcheck.measures.refinement import Refined
from flowcheck.networks.zoo import power_net
from flowcheck.papers.homogeneous.kkt_limits import Limits, largest_residual, smallest_value


@pytest.fixture(scope="module")
def flows():
    torch.set_num_threads(1)
    rng = np.random.default_rng(2)
    network = power_net(3, 3, 3)
    x, z, starts = (torch.from_numpy(rng.standard_normal(shape)) for shape in ((9, 3), (4, 9), (4, 9)))
    starts = starts / starts.norm(dim=-1, keepdim=True)
    return network, x, z, reference(network, x, z, starts, smallest_epsilon=0.1)


def exactly(x, z, u):
    """Value and sine of one flow, in extended precision."""
    x, z, u = (part.numpy().astype(np.longdouble) for part in (x, z, u))
    active = np.maximum(x @ u.reshape(3, 3).T, 0)
    gradient = (3 * (z[:, None] * active**2).T @ x).ravel()
    along = gradient @ u
    return z @ (active**3).sum(axis=1), np.linalg.norm(gradient - along * u) / np.linalg.norm(gradient)


def test_value_and_residual_are_known_to_their_errors_and_these_are_small(flows):
    network, x, z, ends = flows
    found = Limits.of(network, x, z, ends)
    grows = np.flatnonzero(found.branch == Ending.GROWS)
    assert len(grows)
    for row in grows:
        value, residual = exactly(x, z[row], ends.limit[row])
        assert abs(found.value.value[row] - value) <= found.value.error[row] < 1e-10
        assert abs(found.residual.value[row] - residual) <= found.residual.error[row] < 1e-11


def test_a_residual_on_a_kink_has_the_error_of_the_program_that_found_it(flows):
    network, x, z, ends = flows
    error = torch.zeros_like(ends.residual)
    error[1] = 3e-9
    found = Limits.of(network, x, z, replace(ends, kink_error=error))
    assert found.residual.error[1] == 3e-9
    assert (found.residual.error[[0, 2, 3]] < 1e-11).all()


def test_at_rest_the_gradient_is_held_against_z():
    x, z = torch.tensor([[1.0, 0.0], [0.6, 0.8]]).double(), torch.tensor([[3.0, 4.0]]).double()
    ends = reference(power_net(1, 2, 4), x, z, torch.tensor([[-0.6, -0.8]]).double(), smallest_epsilon=0.1)
    assert ends.branch.tolist() == [Ending.RESTS]
    found = Limits.of(power_net(1, 2, 4), x, z, ends)
    # sizes of terms: 4 z_i |x_i u|^3 |x_i|, all inputs and weights taken positive
    terms = 4 * (3 * 0.6**3 * np.array([1.0, 0.0]) + 4 * 1.0**3 * np.array([0.6, 0.8]))
    assert found.residual.error[0] == pytest.approx(2e-13 * np.linalg.norm(terms) / 5)


def test_flows_that_vanish_have_no_say_in_the_smallest_value():
    some = Refined(np.array([-3.0, 0.5]), np.array([1.0, 0.1]))
    parts = [Limits(np.array([Ending.VANISHES, Ending.GROWS]), some, some)] * 2
    assert (smallest_value(parts).value, smallest_value(parts).error, smallest_value(parts).n) == (0.5, 0.1, 2)
    assert (largest_residual(parts).value, largest_residual(parts).n) == (0.5, 4)
