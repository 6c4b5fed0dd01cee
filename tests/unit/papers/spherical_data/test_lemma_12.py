"""The norm and the cosine after one step."""

from dataclasses import replace

import numpy as np
import pytest

from flowcheck.papers.spherical_data import lemma_12, population

RNG = np.random.default_rng(5)


def drawn(dimension):
    v, w = (x / np.linalg.norm(x) for x in RNG.standard_normal((2, dimension)))
    return 1.7 * w, v


@pytest.mark.parametrize("name", ["circle", "sphere_10", "gaussian_5", "two_shells_4"])
@pytest.mark.parametrize("eta", [0.1, 3.0])
def test_both_identities_hold_for_spherically_symmetric_laws(name, eta):
    law = population.law(name)
    assert lemma_12.residuals(law, *drawn(law.dimension), eta) == pytest.approx((0.0, 0.0), abs=1e-12)


def test_neither_holds_with_another_constant():
    law = population.law("sphere_3")
    longer, turn = lemma_12.residuals(replace(law, c0=2 * law.c0), *drawn(3), 3.0)
    assert longer > 1e-2
    assert turn > 1e-2


def test_residuals_are_those_of_the_closed_form_gradient():
    law, eta = population.law("sphere_3"), 2.0
    w, v = drawn(3)
    after = w - eta * law.gradient(w, v)
    cosine, moved = w @ v / np.linalg.norm(w), after @ v / np.linalg.norm(after)
    sine_squared, turn = 1 - cosine**2, law.c0 * eta / np.pi
    norm = np.linalg.norm(after)
    projection = w @ after / np.linalg.norm(w)
    assert norm**2 == pytest.approx(projection**2 + turn**2 * sine_squared, rel=1e-12)
    assert moved - cosine == pytest.approx((turn - turn**2 * cosine / (norm + projection)) * sine_squared / norm, rel=1e-10)


def test_both_fail_on_an_ellipse_and_hold_on_the_circle(monkeypatch):
    w, v = drawn(2)
    assert min(lemma_12.stretched_residuals(w, v, 2.0)) > 1e-2
    monkeypatch.setattr(lemma_12, "STRETCH", np.eye(2))
    assert max(lemma_12.stretched_residuals(w, v, 2.0)) < 1e-12
