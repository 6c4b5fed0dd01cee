"""Descent with a hypothesis broken, beside the same descent with it whole."""

import numpy as np
import pytest

from flowcheck.papers.spherical_data import broken_descent, lemma_4, lemma_5, proposition_2, theorem_2
from flowcheck.papers.spherical_data.descent import population_descent
from flowcheck.papers.spherical_data.population import TILTED, law

STEPS, PANELS = np.full(20, 0.05), 8


def test_on_the_whole_circle_it_is_descent_on_the_population_loss():
    start = np.array([0.6, -0.8])
    found = broken_descent.descent(start, np.array([0.0, 1.0]), STEPS, PANELS)
    whole = population_descent(law("circle"), np.ones(1), np.array([np.pi - np.arcsin(0.6)]), STEPS[None])
    assert found.along == pytest.approx(whole.along, abs=1e-10)
    assert np.abs(found.across) == pytest.approx(np.abs(whole.across), abs=1e-10)


def test_on_the_ellipse_the_cosine_falls():
    path = broken_descent.stretched(3.0 * TILTED, STEPS, PANELS)
    assert path.cosine[0, -1] < path.cosine[0, 0]


def test_all_controls_are_broken_and_known():
    found = broken_descent.measure(np.random.default_rng(0))
    assert found["theorem2_excess_stretched"].value < -1
    assert found["theorem2_sharp_gap_flipped"].value == pytest.approx(0.4, abs=1e-3)  # 0.8 of 2
    assert found["lemma4_excess_flipped"].value == pytest.approx(-0.2, abs=0.01)
    assert found["lemma5_excess_flipped"].value == pytest.approx(-0.2, abs=0.01)
    assert found["descent_progress_flipped"].value < -0.01
    assert found["descent_late_gap_flipped"].value > 0.9
    assert found["one_step_mismatches_stretched"].value > 3
    assert found["huge_step_loss_increases_flipped"].value > 3


def test_the_same_comparisons_hold_with_clean_labels():
    norm, angle = (np.array([size]) for size in theorem_2.SHARP_START)
    short = population_descent(law("circle"), norm, angle, np.full((1, broken_descent.STEPS), broken_descent.SHORT))
    assert lemma_5.against_bound(short, lemma_5.condition(short).min(axis=1)).value[0] > 0
    assert lemma_4.against_bound(population_descent(law("circle"), norm, np.pi - angle, short.step_sizes)).value[0] > 0
    long = population_descent(law("circle"), np.array([6.0]), np.array([0.1]), np.full((1, 2000), broken_descent.LONG))
    assert proposition_2.late_descent_gap(long)[0] < 0.05
