"""Sums of step sizes."""

import math

import numpy as np
import pytest

from flowcheck.papers.spherical_data import bounds, step_sums

ORDERS = step_sums.late_orders()


def test_step_sums_are_the_sums_they_abbreviate():
    eta, norm, c0 = np.array([0.5, 2.0, 0.1]), 1.5, 0.8
    a = (norm / c0) ** 2
    minus = sum(eta[k] / math.sqrt(a + sum(eta[: k + 1] ** 2)) for k in range(3))
    plus = sum(eta[k] / math.sqrt(a + sum(eta[: k + 1] ** 2 + 0.6 / c0**2 * eta[: k + 1])) for k in range(3))
    assert bounds.lemma4_sum(eta, norm, c0)[-1] == pytest.approx(minus)
    assert bounds.lemma5_sum(eta, norm, c0)[-1] == pytest.approx(plus)


def test_continued_step_sums_agree_with_plain_sums():
    n = 3_000_000
    k = np.arange(1.0, n + 1.0)
    plain = np.sum(k**-0.25 / np.sqrt(1.0 + np.cumsum(k**-0.5 + 0.6 * k**-0.25)))
    continued, _ = step_sums.power_slope(-0.25, 0.6, math.log(n))
    assert continued == pytest.approx(plain, rel=1e-4)


def test_sum_of_harmonic_steps_is_that_of_its_integral_in_closed_form():
    first = np.arange(1.0, step_sums.TERMS + 1.0)
    inner = 1.0 + np.cumsum(first**-2 + 0.6 / first)
    # beyond, the squares add less than 1/TERMS: dS/du = 1 / sqrt(a + 0.6 (u - u0))
    a, grown = inner[-1], 0.6 * (1e7 - math.log(step_sums.TERMS))
    expected = np.sum(1 / first / np.sqrt(inner)) + 2 / 0.6 * (math.sqrt(a + grown) - math.sqrt(a))
    total, rate = step_sums.power_slope(-1.0, 0.6, 1e7)
    assert total == pytest.approx(expected, rel=1e-5)
    assert rate == pytest.approx(1 / math.sqrt(a + grown), rel=1e-9)


@pytest.mark.parametrize(("name", "alpha", "log_n"), [("plus_harmonic", -1.0, 1e7), ("plus_-0.25", -0.25, 60 * math.log(10))])
def test_the_error_of_an_order_covers_its_change_on_further_refinement(name, alpha, log_n):
    found = ORDERS[name].measured
    total, rate = step_sums.power_slope(alpha, 0.6, log_n, terms=4 * step_sums.TERMS, points=4 * step_sums.POINTS)
    expected = rate * (log_n if alpha == -1 else 1.0) / total
    assert abs(found.value - expected) <= found.error < 1e-10


def test_orders_are_the_stated_ones_and_those_of_other_steps_are_not():
    found = step_sums.distances(ORDERS, step_sums.broken_orders())
    assert len(ORDERS) == 16
    for kind in ("minus", "plus"):
        each = [found[f"step_sum_slope_gap_{name}"] for name in ORDERS if name.startswith(kind)]
        largest = found[f"step_sum_slope_gap_{kind}_max"]
        assert largest.value == max(gap.value for gap in each) < 1e-3
        assert largest.n == 8
        assert all(gap.error > 0 for gap in each)
        assert found[f"step_sum_slope_gap_{kind}_other_steps_min"].value > 0.07


# as the remarks print them
@pytest.mark.parametrize(
    ("kind", "alpha", "order"),
    [
        *(("minus", 2.0, 0.5), ("minus", -0.25, 0.5), ("minus", -0.75, 0.25), ("minus", -1.0, 1.0), ("minus", -3.0, 0.0)),
        *(("plus", 2.0, 0.5), ("plus", -0.25, 0.375), ("plus", -0.75, 0.125), ("plus", -1.0, 0.5), ("plus", -3.0, 0.0)),
        *(("minus", None, 1.0), ("plus", None, 1.0)),
    ],
)
def test_stated_orders(kind, alpha, order):
    assert step_sums.stated(kind, alpha) == order


def test_sum_of_geometric_steps_is_linear_in_the_end():
    steps = 1.5 ** np.arange(1.0, 201.0)
    sums = np.cumsum(steps / np.sqrt(1.0 + np.cumsum(steps**2)))
    assert step_sums.geometric_slope(1.5, 0.0, 200) == pytest.approx(200 * (sums[-1] - sums[-2]) / sums[-1], rel=1e-12)
