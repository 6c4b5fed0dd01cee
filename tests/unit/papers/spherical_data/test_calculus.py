"""Identities, growth cap, Lemmas 10 and 11 against what does not share their way of computing."""

import math

import numpy as np
import pytest
import sympy as sp

from flowcheck.papers.spherical_data import growth_cap, identities, lemma_10, lemma_11


@pytest.mark.parametrize("name", ["lemma2", "lemma12", "theorem3_upper", "proposition4"])
def test_an_identity_holds_at_random_numbers_and_its_control_does_not(name):
    left, right, changed = identities.statements()[name]
    rng = np.random.default_rng(0)
    point = {symbol: sp.Float(rng.uniform(0.3, 0.9)) for symbol in (left - right).free_symbols | changed.free_symbols}
    values = [complex(side.subs(point).doit().evalf()).real for side in (left, right, changed)]
    assert values[0] == pytest.approx(values[1], rel=1e-10)
    assert abs(values[0] - values[2]) > 1e-6 * abs(values[0])


def test_what_is_zero_is_proved_and_what_is_not_is_not():
    x = sp.symbols("x", real=True)
    assert identities.is_zero(sp.sin(x) ** 2 + sp.cos(x) ** 2 - 1)
    assert not identities.is_zero(sp.sin(x) ** 2 + sp.cos(x) - 1)


def test_the_growth_cap_is_where_newton_finds_it():
    x = 1.278
    for _ in range(50):  # x = 1 + e^-x is where the derivative vanishes
        x = 1 + math.exp(-x)
    found = growth_cap.enclosed(1e-6)
    low, high = found["growth_cap_lower_end"].value, found["growth_cap_upper_end"].value
    assert low <= x / (1 + math.exp(x)) <= high
    assert high - low < 1e-5
    assert found["growth_cap_exponential_loss"].value == pytest.approx(1 / math.e / 0.3, abs=1e-4)


def test_a_function_that_falls_below_zero_again_breaks_the_pattern():
    t = np.linspace(-1.0, 4.0, 101)
    assert not lemma_10.breaks_pattern(t - 0.5)
    assert not lemma_10.breaks_pattern(-np.ones(5))
    assert lemma_10.breaks_pattern((t - 0.5) * (2.0 - t))


def test_the_closed_form_of_lemma_11_is_met_and_half_the_rate_is_not():
    found = lemma_11.random_rates(np.random.default_rng(1), 5)
    assert found["lemma11_gap_max"].value < 1e-10
    assert found["lemma11_gap_half_rate_min"].value > 1e-3
    assert found["lemma11_cosine_increase_min"].value > 0
