"""Steps without an upper and without a lower limit."""

import math

import numpy as np
import pytest

from flowcheck.papers.spherical_data import population, remark_3
from flowcheck.papers.spherical_data.descent import population_descent

CIRCLE = population.law("circle")


def test_losses_in_blocks_are_losses():
    path = population_descent(CIRCLE, np.ones(2), np.array([1.0, 2.0]), np.full((2, 1100), 0.5))
    for run in range(2):
        expected = CIRCLE.loss(path.norm[run], path.cosine[run])
        assert remark_3.losses(path, run) == pytest.approx(expected, abs=1e-14)


def test_beyond_the_limit_the_loss_falls_and_the_direction_converges():
    found = remark_3.beyond_the_limit(CIRCLE, 100.0, 200)
    assert found["huge_step_over_smoothness_limit"].value == pytest.approx(100.0 / 16.0)  # E x1² = 1/2
    assert (found["huge_step_loss_increases"].value, found["huge_step_loss_increases"].n) == (0, 200)
    assert found["huge_step_final_gap"].value < 1e-3
    # from norm 3 and angle 0.3, step by step
    w, v, cosine = 3.0 * np.array([math.cos(0.3), math.sin(0.3)]), np.array([1.0, 0.0]), [math.cos(0.3)]
    for _ in range(2):
        w = w - 100.0 * CIRCLE.gradient(w, v)
        cosine.append(w[0] / np.linalg.norm(w))
    assert found["huge_step_cosine_drop"].value == pytest.approx(-np.diff(cosine).min(), abs=1e-12)


def test_the_loss_with_flipped_labels_is_that_of_the_quadrature():
    path, v = population_descent(CIRCLE, np.ones(1), np.ones(1), np.full((1, 3), 0.5)), np.array([0.0, 1.0])
    losses = []
    for along, across in zip(path.along[0], path.across[0], strict=True):
        w, ones = np.array([across, along]), np.ones(1)
        losses.append(0.9 * population.planar_loss(ones, ones, w, v) + 0.1 * population.planar_loss(ones, ones, -w, v))
    assert remark_3.losses(path, 0, 0.8) == pytest.approx(losses, abs=1e-12)


def test_a_loss_that_grows_is_counted(monkeypatch):
    monkeypatch.setattr(remark_3, "losses", lambda path, run, pull=1.0: np.array([3.0, 2.0, 2.5, 1.0, 1.5]))
    assert remark_3.beyond_the_limit(CIRCLE, 100.0, 4)["huge_step_loss_increases"].value == 2


def test_summable_steps_leave_the_run_where_it_is():
    found = remark_3.summable_steps(CIRCLE)
    assert found["summable_runs_without_n0"].value == 1
    assert found["summable_runs_without_n1"].value == 1
    # all steps together are one, and the gradient is at most 2/π
    assert found["summable_along_v"].value == pytest.approx(10 * math.cos(2.4981), abs=2 / math.pi)
    assert found["summable_final_gap"].value > 1.7
