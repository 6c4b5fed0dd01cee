"""Bounds of the paper at points where they are known."""

import math

import pytest

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


def test_reference_values_of_the_figure_s_bounds():
    # Theorem 3 for the start of Figure 1(b): 1 - 2 / ((2t + 1)^(1/pi) / 9 + 1) and F = 4 / (2.4 pi)
    q = -math.log(3.0)
    cosine = 1 - 2 / (21 ** (1 / math.pi) / 9 + 1)
    assert math.tanh(bounds.theorem3_first_phase(10.0, q, 1.0, 1.0, 4) / 2) == pytest.approx(cosine)
    assert bounds.theorem3_upper(1.0, 1.0, 2 * q, 1.0, 4) == pytest.approx(4 / (2.4 * math.pi) * (1.6**2 - 1) + 2 * q)
