"""Bounds of the paper at points where they are known."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from flowcheck.papers.spherical_data import bounds


@pytest.mark.parametrize("depth", [1, 2])
def test_deep_bounds_refuse_shallow_networks(depth):
    for call in (
        lambda: bounds.theorem3_first_phase(1.0, 0.0, 1.0, 1.0, depth),
        lambda: bounds.theorem3_second_phase(1.0, 0.0, 1.0, 1.0, depth),
        lambda: bounds.theorem3_upper(1.0, 1.0, 0.0, 1.0, depth),
        lambda: bounds.lemma8_log_norm_bounds(1.0, 1.0, 1.0, depth),
    ):
        with pytest.raises(ValueError, match="depth > 2"):
            call()


def test_bounds_start_where_the_flow_starts():
    q, r = -1.1, 0.7
    for start in (
        bounds.theorem1_first_phase(0.0, q, r, 1.0),
        bounds.theorem1_second_phase(0.0, q, r, 1.0),
        bounds.theorem3_first_phase(0.0, q, r, 1.0, 4),
        bounds.theorem3_second_phase(0.0, q, r, 1.0, 4),
        bounds.theorem3_upper(0.0, r, 2 * q, 1.0, 4),
        bounds.proposition4_exponent(0.0, q, 1.0),
    ):
        assert start == pytest.approx(2 * q, abs=1e-14)
    assert bounds.theorem1_second_phase_printed(0.0, q, r, 1.0, printed_a2=True, printed_root=False) != pytest.approx(2 * q)


@pytest.mark.parametrize("depth", [3, 4, 7])
@pytest.mark.parametrize(("norm", "c0"), [(0.2, 1.0), (3.0, 1.3)])
def test_bounds_on_the_norm_solve_the_two_comparison_equations_of_their_proof(depth, norm, c0):
    # B.2: |d‖w‖²/dt| / 2 = N ‖w‖^{2-2/N} |g|, with g >= -c0 ‖w‖ and g <= 0.3
    def fall(_, r):
        return -depth * c0 * r ** (2 - 2 / depth)

    def growth(_, r):
        return depth * 0.3 * r ** (1 - 2 / depth)

    times = np.array([0.0, 0.01, 0.5, 4.0])
    found = bounds.lemma8_log_norm_bounds(times, norm, c0, depth)
    for bound, rate in zip(found, (fall, growth), strict=True):
        solved = solve_ivp(rate, (0.0, 4.0), [norm], "LSODA", times, rtol=1e-11, atol=1e-14)
        assert np.exp(bound) == pytest.approx(solved.y[0], rel=1e-7)


def test_reference_values_of_the_figure_s_bounds():
    # Theorem 3 for the start of Figure 1(b): 1 - 2 / ((2t + 1)^(1/pi) / 9 + 1) and F = 4 / (2.4 pi)
    q = -math.log(3.0)
    cosine = 1 - 2 / (21 ** (1 / math.pi) / 9 + 1)
    assert math.tanh(bounds.theorem3_first_phase(10.0, q, 1.0, 1.0, 4) / 2) == pytest.approx(cosine)
    assert bounds.theorem3_upper(1.0, 1.0, 2 * q, 1.0, 4) == pytest.approx(4 / (2.4 * math.pi) * (1.6**2 - 1) + 2 * q)


@pytest.mark.parametrize("depth", [3, 4, 7])
@pytest.mark.parametrize("c0", [0.4, 1.7])
def test_lower_bounds_depend_on_time_through_c0_t_only(depth, c0):
    # Eqs. (4) and (16) have c0 as a factor of the rate, and so do the bounds that integrate them
    q, r, t = -1.1, 0.7, 2.5
    for bound in (
        lambda t, c0: bounds.theorem1_first_phase(t, q, r, c0),
        lambda t, c0: bounds.theorem3_first_phase(t, q, r, c0, depth),
        lambda t, c0: bounds.theorem3_second_phase(t, q, r, c0, depth),
        lambda t, c0: bounds.proposition4_exponent(t, q, c0),
    ):
        assert bound(t, c0) == pytest.approx(bound(c0 * t, 1.0), rel=1e-14)
        assert bound(t, c0) != pytest.approx(bound(t, 1.0), rel=1e-3)


@pytest.mark.parametrize("depth", [3, 4, 7])
def test_the_second_phase_grows_at_the_rate_of_its_equation_with_the_norm_at_its_start(depth):
    # Eq. (16): d artanh cos / dt = c0 / pi |w|^(1 - 2/N), and the norm does not fall after T
    slope = (
        bounds.theorem3_second_phase(3.0, -1.1, 0.7, 1.3, depth) - bounds.theorem3_second_phase(1.0, -1.1, 0.7, 1.3, depth)
    ) / 2
    assert slope == pytest.approx(2 * 1.3 / math.pi * 0.7 ** (1 - 2 / depth), rel=1e-14)
