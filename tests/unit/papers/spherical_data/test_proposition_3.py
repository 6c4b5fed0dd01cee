"""The gradient along v in three forms, of which one is right; its limit far across v; its size far along -v."""

import math

import pytest

from flowcheck.papers.spherical_data import proposition_3
from flowcheck.papers.spherical_data.population import law


@pytest.mark.parametrize("name", ["circle", "sphere_10"])
def test_one_of_three_forms_is_the_gradient_along_v(name):
    found = proposition_3.along_v(law(name))
    assert found["parallel_residual_max"].value < 1e-12
    # at a = -5 the printed sign is off by twice the value, at most 2 · 2 c0/π
    assert 3 < found["parallel_printed_sign_residual_max"].value < 4
    # without the factor it says the value at a = 1 everywhere
    assert 0.5 < found["parallel_printed_exponent_residual_max"].value < 2
    assert all(number.n == 1 for number in found.values())


def test_far_across_v_the_distance_to_the_limit_is_that_of_kappa():
    # -v·∇L = c0/π - κ(R)/R with R² = 1 + β²: relative, π κ/(c0 R), which is 1/β far out
    found = proposition_3.far_across(law("circle"))
    assert found["limit21_gap_max"].value == pytest.approx(math.pi * law("circle").kappa(1e4) / 1e4, rel=1e-7)
    assert found["limit21_slope_max"].value == pytest.approx(-1.0, abs=1e-3)
    assert 0 < found["limit21_slope_max"].error < 1e-7


@pytest.mark.parametrize("name", ["circle", "gaussian_5"])
def test_far_along_minus_v_the_size_is_nearly_two_over_pi(name):
    size = proposition_3.size_far_along(law(name))
    assert size.value == pytest.approx(2 / math.pi, abs=1e-3)
    assert size.value < 2 / math.pi
    assert size.n is None
