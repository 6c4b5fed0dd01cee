"""The flow and descent without rescaling: against an integral, against autograd, and against the rescaled ones."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from flowcheck.alignment.shadow import Cases
from flowcheck.losses import HALF_SUM, LOGISTIC_DOUBLED
from flowcheck.networks.zoo import deep_linear, power_net
from flowcheck.papers.deep_homogeneous import rescaling

LOSSES = (HALF_SUM, LOGISTIC_DOUBLED)
ONE = torch.ones((1, 1), dtype=torch.float64)


def test_the_plain_flow_of_a_cubed_unit_takes_the_time_of_an_integral():
    cases = Cases.of((HALF_SUM,), ONE[None], ONE)
    time = quad(lambda w: 1 / (3 * w**2 * (1 - w**3)), 0.1, 0.6)[0]
    deltas = torch.tensor([0.1], dtype=torch.float64)
    found = rescaling.plain_flow(power_net(1, 1, 3), ONE, (HALF_SUM,), cases, deltas, torch.tensor([time]).to(ONE), rtol=1e-10)
    assert float(found) == pytest.approx(6.0, rel=1e-6)


@pytest.mark.parametrize("network", [power_net(2, 3, 4), deep_linear((2, 2), 3)], ids=lambda network: network.name)
def test_plain_descent_is_that_of_the_gradient(network):
    rng = np.random.default_rng(4)
    x, y = torch.from_numpy(rng.standard_normal((5, 3))), torch.from_numpy(rng.standard_normal((1, 5)))
    start = torch.from_numpy(rng.standard_normal((1, network.size)))
    cases, delta = Cases.of(LOSSES, torch.stack([y, y.sign()]), start), torch.tensor([0.5, 0.5], dtype=torch.float64)
    found = rescaling.descend(network, x, LOSSES, cases, delta, torch.full_like(delta, 0.01), 3, rescaled=False)
    for row, loss in enumerate(LOSSES):
        w = 0.5 * start
        for _ in range(3):
            leaf = w.clone().requires_grad_()
            loss.value(network.forward(leaf, x), cases.y[row]).sum().backward()
            w = w - 0.01 * leaf.grad
        torch.testing.assert_close(found[row], 2 * w[0], rtol=1e-12, atol=1e-14)


def test_the_identities_hold_and_what_breaks_them_does_not(cubic):
    study = cubic.study()
    found = rescaling.gaps(study, [0.1, 0.01], 20, power_net(1, 2, 5))
    assert found.loss.tolist() == [0, 0, 1, 1]
    assert found.flow.max() < 1e-8
    assert found.descent.max() < 1e-13
    for broken in (found.flow_degree_below, found.descent_degree_above, found.mixture):
        assert broken.min() > 1e-3
    numbers = rescaling.readings([found, rescaling.gaps(study, [0.1], 20)])
    assert numbers["flow_rescaling_gap_square"].n == 3
    assert numbers["descent_rescaling_gap_logistic"].value >= found.descent[2:].max()
    assert numbers["rescaling_gap_flow_degree_below"].value == found.flow_degree_below.min()
    assert numbers["rescaling_gap_mixture"].value == np.median(found.mixture)
    error = found.flow.max() * (1 + found.flow_degree_below.min())
    assert numbers["rescaling_gap_flow_degree_below"].error == pytest.approx(error)
    assert 0 < numbers["rescaling_gap_descent_degree_above"].error < 1e-12
    assert 0 < numbers["rescaling_gap_mixture"].error < 1e-12


def test_rounding_of_a_mixture_is_of_the_size_that_the_identity_tells(cubic):
    # the same iteration at weights that differ in their last digits
    study, other = cubic.study(), power_net(1, 2, 5)
    moved = dataclasses.replace(study, cases=dataclasses.replace(study.cases, starts=study.cases.starts * (1 + 2**-52)))
    found, again = (rescaling.gaps(each, [0.1, 0.01], 100, other) for each in (study, moved))
    assert np.abs(found.mixture - again.mixture).max() <= 10 * found.descent.max()


def test_a_gap_that_is_no_number_is_not_passed_over(cubic):
    found = rescaling.gaps(cubic.study(), [0.1], 5, power_net(1, 2, 5))
    found.descent[0] = np.nan
    assert np.isnan(rescaling.readings([found])["descent_rescaling_gap_square"].value)
