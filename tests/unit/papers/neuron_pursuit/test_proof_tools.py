"""Lemma 17 against closed forms and finite differences, the integrals of Lemma 18 by quadrature."""

import numpy as np
import pytest
from mpmath import mp, mpf, quad

from flowcheck.papers.neuron_pursuit import counterexamples, lemma_17, lemma_18
from flowcheck.papers.neuron_pursuit.lemma_8 import Setting, draw


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("minimum", [*lemma_17.MINIMA, lemma_17.WITHOUT_LIPSCHITZ], ids=lambda minimum: minimum.name)
def test_gradients_are_those_of_finite_differences(rng, minimum):
    for w in lemma_17.points(minimum, rng, 5, minimum.radius):
        step = 1e-6 * np.linalg.norm(w - minimum.at)
        slopes = [(minimum.value(w + step * e) - minimum.value(w - step * e)) / (2 * step) for e in np.eye(len(w))]
        np.testing.assert_allclose(slopes, minimum.gradient(w), rtol=1e-5, atol=1e-9)
    assert minimum.value(minimum.at) == 0


@pytest.mark.parametrize("minimum", lemma_17.MINIMA, ids=lambda minimum: minimum.name)
def test_constants_are_what_they_are_called(rng, minimum):
    some = lemma_17.points(minimum, rng, 200, minimum.radius)
    assert lemma_17.premise(minimum, some).min() >= 1 - 1e-9
    other = lemma_17.points(minimum, rng, 200, minimum.radius)
    for one, two in zip(some, other, strict=True):
        change = np.linalg.norm(minimum.gradient(one) - minimum.gradient(two))
        assert change <= (1 + 1e-9) * minimum.lipschitz * np.linalg.norm(one - two)
    longest = max(minimum.value(w) ** (1 - minimum.exponent) for w in lemma_17.points(minimum, rng, 200, minimum.near()))
    assert longest <= (1 - minimum.exponent) * minimum.mu * minimum.radius / 4


def test_the_path_to_a_round_minimum_is_straight():
    length = lemma_17.path_length(lemma_17.quadratic(3.0, 3.0), np.array([0.3, 0.4]), 1e-10)
    assert length == pytest.approx(0.5, abs=1e-7)
    # to the curve uv = 1 it is longer than the distance to the nearest of its points
    assert lemma_17.path_length(lemma_17.product(), np.array([1.1, 1.1]), 1e-10) == pytest.approx(0.1 * 2**0.5, abs=1e-7)


def test_the_printed_constant_fails_and_the_corrected_one_is_attained(rng):
    found = lemma_17.readings(rng, 40, 2)
    assert found["lemma17_excess_max"].value == pytest.approx(0.0, abs=1e-12)
    assert found["lemma17_excess_printed_max"].value >= 1 - 1e-12
    assert found["lemma17_path_excess_printed_max"].value > 0.9
    assert counterexamples.lemma_17_constant(3.0, 0.3) == pytest.approx((0.9, 0.45))
    left, right = counterexamples.lemma_16_limit(-1.0, 1.0)
    assert left > right


def test_curves_belong_to_the_minima(rng):
    found = lemma_17.curves(rng, 30)
    assert found["lemma17_bound"].shape == found["lemma17_gradient"].shape == (len(lemma_17.MINIMA), 30)
    assert (found["lemma17_gradient"] <= (1 + 1e-9) * found["lemma17_bound"]).all()


@pytest.mark.parametrize(("power", "slope"), [(4, 0.5), (5, -0.5)])
def test_the_closed_forms_are_the_integrals(rng, power, slope):
    instance = draw(rng, Setting(4, power, slope))
    weights = instance.scaled(mpf("0.3"))
    with mp.workdps(30):
        at, found = lemma_18.inputs(instance, weights), lemma_18.integrals(instance, weights)
        s, c = at.kept[1, 0], at.change[1, 0]

        def second(x):
            return power * (power - 1) * max(x, slope * x) ** (power - 2) * (1 if x > 0 else slope) ** 2

        kink = [-s] if 0 < -s < c or c < -s < 0 else []
        a = quad(lambda t: second(s + t) * (c - t), [0, *kink, c])
        assert abs(a - found["a"][1, 0]) < 1e-20 + 1e-15 * abs(a)
        s, c = at.added[0, 1], at.change_added[0, 1]
        kink = [-s] if 0 < -s < c or c < -s < 0 else []
        b = quad(lambda t: instance.slopes(np.array([s + t], dtype=object))[0], [0, *kink, c])
        assert abs(b - found["b"][0, 1]) < 1e-20 + 1e-15 * abs(b)


def test_orders_are_those_of_the_lemma_and_not_without_its_hypotheses(rng):
    found, curves = lemma_18.readings(rng, [1e-7, 1e-8, 1e-9], 1)
    assert all(number.value > -0.1 for name, number in found.items() if name.endswith("excess_min"))
    assert found["lemma18_a_excess_large_c_median"].value == pytest.approx(-2, abs=0.2)
    assert found["lemma18_b_excess_large_c_median"].value == pytest.approx(-1, abs=0.2)
    assert found["lemma18_a_excess_kink_max"].value == pytest.approx(-2, abs=0.2)
    assert curves["lemma18_a"].shape == (len(lemma_18.SETTINGS), 3)
