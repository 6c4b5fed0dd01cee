"""Lemma 5.4: minima of sampled values against eigenvalues, a split unit that fails, a valley in closed form."""

import numpy as np
import pytest

from flowcheck.data.synthetic import unit_vectors
from flowcheck.measures.table import Table
from flowcheck.papers.deep_homogeneous import lemma_5_4
from flowcheck.papers.deep_homogeneous.power_saddles import RADII, stable_saddle, strict_saddle


def directions(count, size=3, seed=1):
    return unit_vectors(np.random.default_rng(seed), count, size).numpy()


@pytest.fixture(scope="module")
def minimum():
    return stable_saddle(3, directions(300), 0.1, np.random.default_rng(0))


def test_the_search_finds_the_minimum_of_a_quadratic_form():
    form, few = np.diag([3.0, -1.0, 2.0]), directions(100)

    def values(u):
        return ((u @ form) * u).sum(axis=-1)

    assert values(few).min() > -0.999
    assert lemma_5_4.lowest(values, few) == pytest.approx(-1.0, abs=1e-6)


def test_at_a_minimum_all_three_statements_hold_in_the_ball(minimum):
    saddle, gamma, rates = minimum
    found = lemma_5_4.readings_of(Table.of([lemma_5_4.ball(saddle, gamma, rates, directions(300, seed=2))]))
    assert found["restricted_gradient_max"].value < 1e-12
    assert found["loss_excess_min"].value > 10 * found["loss_excess_min"].error
    assert found["inward_min"].value > 5 * found["inward_min"].error
    assert found["hessian_eigenvalue_min"].value == pytest.approx(np.linalg.eigvalsh(saddle.hessian)[0])
    gap = found["inward_eigenvalue_gap_max"]
    assert gap.value < 1e-4  # of the order of the radius, 1e-6
    assert gap.error < 1e-10


def test_the_excess_is_the_rise_of_the_loss_over_the_square_of_the_radius(minimum):
    saddle, _, rates = minimum
    few, y = directions(5, seed=3), saddle.residual + saddle.fitted.outputs(saddle.weights)
    rise = [
        (((y - saddle.fitted.outputs(saddle.weights + r * few)) ** 2).sum(-1) - (saddle.residual**2).sum()) / (2 * r**2)
        for r in 0.5 * np.geomspace(1e-3, 1.0, 13)
    ]
    assert lemma_5_4.ball(saddle, 0.5, rates, few)["excess"].value == pytest.approx(np.min(rise), rel=1e-6)


def test_more_directions_stay_within_the_error_of_the_smallest_rate(minimum):
    saddle, gamma, rates = minimum
    number = lemma_5_4.ball(saddle, gamma, rates, directions(300, seed=4))["inward"]
    dense = min(saddle.inward(float(r), directions(5000, seed=5)).min() for r in RADII[gamma >= RADII])
    assert number.value - number.error <= dense


def test_around_a_split_unit_some_rates_are_negative_at_every_small_radius():
    split = strict_saddle(3, np.random.default_rng(0))
    found = lemma_5_4.split(split, directions(300, 6))
    assert found["inward_split_max"].value < -10 * found["inward_split_max"].error
    assert found["inward_split_max"].n == (RADII <= 0.1).sum()
    assert found["split_inward"].shape == RADII.shape


def test_the_valley_falls_by_a_quarter_of_the_square_of_the_product():
    found = lemma_5_4.valley()
    # as x goes to 0 the step is (x, -x): xy / r^2 goes to -1/2, and the rate over r^2 to -1/16
    assert found["valley_inward"][0] == pytest.approx(-1 / 16, rel=1e-3)
    assert found["inward_valley_max"].value < 0
    assert found["inward_valley_max"].error < 1e-8


def test_identities_are_proved_for_the_valley_and_not_for_a_definite_minimum():
    found = lemma_5_4.symbolic_failures()
    assert found["symbolic_failures"].value == 0
    assert found["symbolic_failures_definite"].value == 2
