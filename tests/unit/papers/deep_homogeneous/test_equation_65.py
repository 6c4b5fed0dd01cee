"""Eq. (65) against big numbers: with constants of the size of the experiment, whose exponents reach 1e5."""

import mpmath
import pytest

from flowcheck.papers.deep_homogeneous import equation_65
from flowcheck.saddles.constants import Reach


def constants(time=0.3, residual=5.0, epsilon=0.1):
    return Reach(epsilon, time, 3, 12.0, 3.0, 2.5, 1.8, 150.0, 70.0, 40.0, residual)


def excess_in_big_numbers(c):
    """Logarithm of the corrected (72) at half of the corrected delta-bar over epsilon^2 / 2."""
    m = {name: mpmath.mpf(float(value)) for name, value in vars(c).items()}
    growth = m["time"] * mpmath.exp(2 * m["time"] * m["k1"] * m["residual"])
    front = 2 * m["alpha"] * m["epsilon"] * m["norm_z"] ** 2 * growth
    step, feedback = m["k2"] * mpmath.sqrt(m["c"]), m["beta"] * m["norm_z"] ** 3
    level = m["epsilon"] ** 2 / 2
    delta = min(mpmath.mpf(1), m["epsilon"], mpmath.sqrt(level / m["c"]), level / front / (step + feedback)) / 2
    return mpmath.log(front * (step * delta + feedback * delta**3) / level)


@pytest.mark.parametrize(("time", "residual"), [(0.3, 5.0), (8.0, 50.0), (600.0, 6.0)])
def test_the_excess_is_that_of_big_numbers_up_to_its_rounding(time, residual):
    c = constants(time, residual)
    with mpmath.workdps(60):
        exact = float(excess_in_big_numbers(c))
    found = equation_65.excesses([c])["eq65"]
    assert abs(found.value - exact) <= found.error < 1e-8
    assert found.value < 0


def test_the_printed_parenthesis_leaves_the_growth_out_and_the_slip_leaves_a_power_of_delta():
    found = equation_65.excesses([constants()])
    assert found["eq65_printed"].value > 0.5
    assert found["eq65_slip"].value > 10.0


def test_the_largest_over_epsilon_is_taken_with_its_own_error():
    both = [constants(), constants(8.0, 50.0, 0.01)]
    one, two = (equation_65.excesses([c])["eq65_slip"] for c in both)
    found = equation_65.excesses(both)["eq65_slip"]
    assert (found.value, found.error) == max((one.value, one.error), (two.value, two.error))
