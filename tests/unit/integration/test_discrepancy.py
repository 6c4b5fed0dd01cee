"""Bounds of the distance between Euler's method and the exact solution, against closed forms and an integrator."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad, solve_ivp

from flowcheck.integration.discrepancy import along_euler, deviation_bound, largest_step, logarithmic_norm

TIMES = np.linspace(0.0, 2.0, 9)


def test_the_bound_solves_its_differential_equation():
    rng = np.random.default_rng(0)
    growth, defect = rng.uniform(-2, 2, 8), rng.uniform(0, 1, (8, 2))

    def rates(t, distance):
        i = min(int(t / 0.25), 7)
        share = t / 0.25 - i
        return growth[i] * distance + (1 - share) * defect[i, 0] + share * defect[i, 1]

    found = deviation_bound(TIMES, growth, defect, 0.3)
    value = 0.3
    for i in range(8):
        value = solve_ivp(rates, (TIMES[i] + 1e-13, TIMES[i + 1] - 1e-13), [value], rtol=1e-11, atol=1e-13).y[0, -1]
        assert found[i + 1] == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize("growth", [0.0, 1e-9, 1e-3, 0.9e-2, 1.1e-2, -3.0])
def test_one_interval_is_the_integral_whatever_its_growth(growth):
    integral = quad(lambda s: np.exp(growth * (1 - s)) * (2 + 3 * s), 0, 1, epsabs=1e-14)[0]
    assert deviation_bound([0, 1], [growth], [[2, 5]], 1.0)[1] == pytest.approx(np.exp(growth) + integral, rel=1e-11)


def test_the_step_is_that_of_equation_7_with_the_infimum_between_the_times_too():
    growth, radius, offset = np.array([1.5, -2.0, 0.5, -0.1, 1.0, 0.0, -1.0, 0.3]), 0.2, 0.01

    def mass(t):
        return sum(growth[i] * np.clip(t - TIMES[i], 0, 0.25) for i in range(8))

    def condition(t):
        stretched = quad(lambda s: np.exp(mass(t) - mass(s)), 0, t, points=[at for at in TIMES if at < t], limit=200)[0]
        return (radius - np.exp(mass(t)) * offset) / (3.0 * 2.0 * stretched)

    exact = min(condition(t) for t in np.linspace(0.01, 2.0, 400))
    found = largest_step(TIMES, growth, 3.0, 2.0, radius, offset)
    assert found <= exact * (1 + 1e-9)  # never more than is admitted
    assert found > 0.7 * exact  # nor much less, with such coarse intervals
    assert largest_step(TIMES, growth, 3.0, 2.0, radius, 1.0) == 0.0


def test_the_logarithmic_norm_is_the_slope_of_the_norm_of_the_exponential():
    matrix = torch.tensor(np.random.default_rng(1).standard_normal((4, 4)))
    h = 1e-6
    slope = (torch.linalg.matrix_norm(torch.linalg.matrix_exp(h * matrix), 2) - 1) / h
    assert logarithmic_norm(matrix).item() == pytest.approx(slope.item(), abs=1e-4)


def test_the_bound_holds_for_a_pendulum_and_is_first_order():
    def rates(t, q):
        return torch.stack([q[1], -torch.sin(q[0]) + torch.cos(t)])

    def solution(times):
        def field(t, q):
            return [q[1], -np.sin(q[0]) + np.cos(t)]

        return solve_ivp(field, (0, 2.1), [1.0, 0.0], "DOP853", times, rtol=1e-12, atol=1e-14).y.T

    found = [along_euler(rates, solution, [1.0, 0.0], eta, round(2 / eta)) for eta in (0.04, 0.02)]
    for one in found:
        assert (one.deviation[1:] <= one.bound[1:] * (1 + 1e-4)).all()
    assert found[0].deviation.max() / found[1].deviation.max() == pytest.approx(2.0, rel=0.1)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="times must be at least two numbers that increase"):
        deviation_bound([0.0, 0.0], [1.0], [[0.0, 0.0]])
    with pytest.raises(ValueError, match="growth is one number for each of 1 intervals"):
        largest_step([0.0, 1.0], [1.0, 2.0], 1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="defect holds two numbers of at least 0"):
        deviation_bound([0.0, 1.0], [1.0], [[-1.0, 0.0]])
    with pytest.raises(ValueError, match="leaves the finite numbers at step"):
        along_euler(lambda t, q: q**3, lambda t: np.ones((len(t), 1)), [10.0], 1.0, 20)


def test_rates_that_write_into_the_state_are_refused():
    with pytest.raises(ValueError, match="rates changes what it is given"):
        along_euler(lambda t, q: q.neg_(), lambda t: np.exp(-t)[:, None], [1.0], 0.1, 3)
