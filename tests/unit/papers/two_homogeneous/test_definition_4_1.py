"""Definition 4.1: quadratic NCFs, whose flow is linear, attain the bound or stay below it by a known amount."""

import math

import numpy as np
import pytest
import torch

from flowcheck.correlation.ncf import Correlation
from flowcheck.networks import zoo
from flowcheck.papers.two_homogeneous.definition_4_1 import TIMES, definition_41

AXES = torch.eye(3, dtype=torch.float64)


def quadratic(*eigenvalues):
    """N(u) = sum of eigenvalue_i u_i^2; its flow multiplies u_i by e^{2 eigenvalue_i t}."""
    return Correlation(zoo.power_net(1, 3, 2.0, slope=1.0), AXES, torch.tensor(eigenvalues, dtype=torch.float64))


@pytest.mark.parametrize(("axis", "rate"), [(0, 2.0), (1, 0.0), (2, -1.0)])
def test_solutions_that_differ_along_an_eigenvector_separate_at_its_rate(axis, rate):
    ncf = quadratic(1.0, 0.0, -0.5)  # K = 2 (1 + 0.5)
    found = definition_41(ncf, torch.ones(2, 3, dtype=torch.float64), AXES[axis].expand(2, -1))["nonbranching_excess"]
    exact = (rate - 3.0) * TIMES.min()
    assert abs(found.value - exact) <= max(found.error, 1e-6)
    assert found.n == 2


def test_the_bound_is_attained_by_one_eigenvalue():
    found = definition_41(quadratic(1.0, 0.0, 0.0), torch.ones(1, 3, dtype=torch.float64), AXES[:1])["nonbranching_excess"]
    assert abs(found.value) <= max(found.error, 1e-6)


def test_beside_the_branching_point_solutions_separate_at_once():
    found = definition_41(quadratic(1.0, 0.0, 0.0), AXES[:1], AXES[1:2])["nonbranching_excess_branching"]
    # from (1, s/2) and (1, -s/2) the distance is 2 sinh t + s cosh t, to first order
    exact = np.log(2 * math.sinh(TIMES[0]) / 1e-4 + math.cosh(TIMES[0])) - TIMES[0]
    assert found.value == pytest.approx(exact, abs=1e-8)
    assert found.n == 1
