"""The gradient at the start, of one unit in closed form."""

import numpy as np
import pytest
import torch

from flowcheck.alignment.shadow import Cases
from flowcheck.losses import HALF_SUM, LOGISTIC_DOUBLED
from flowcheck.networks.sums import Mixture
from flowcheck.networks.zoo import power_net
from flowcheck.papers.deep_homogeneous import starting_gradient
from flowcheck.papers.deep_homogeneous.alignment_cases import Drawn

DELTAS = [1e-1, 1e-2, 1e-3, 1e-4]
ONE = torch.ones((1, 1), dtype=torch.float64)


def unit(degree):
    return Drawn(power_net(1, 1, degree), ONE, Cases.of((HALF_SUM, LOGISTIC_DOUBLED), torch.stack([ONE, ONE]), ONE))


def test_the_norm_is_that_of_the_derivative_for_the_square_loss():
    found = starting_gradient.norms(unit(3).network, unit(3), DELTAS)
    delta = np.array(DELTAS)
    exact = 3 * delta**2 * (1 - delta**3)
    assert (np.abs(found.value - exact) <= found.error).all()
    np.testing.assert_allclose(found.error, [1e-13 * 3 * delta**2 * (1 + delta**3)])


def test_slopes_are_one_below_the_degree_and_that_of_a_mixture_is_not():
    mixture = Mixture("two and three", ((1.0, power_net(1, 1, 3)), (1.0, power_net(1, 1, 2))), 3.0)
    found = starting_gradient.slope_gaps({"L3": unit(3), "L5": unit(5)}, mixture, unit(3), DELTAS)
    assert found["gradient_slope_gap_max"].value < 1e-6  # of order delta^3 at 1e-2
    assert found["gradient_slope_gap_max"].n == 9
    assert 0 < found["gradient_slope_gap_max"].error < 1e-12
    assert found["gradient_slope_gap_mixture"].value == pytest.approx(1, abs=0.02)
