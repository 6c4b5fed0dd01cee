"""Theorem 1: what is read of two integrators, of fields with closed solutions and of one that has two solutions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flowcheck.papers.continuous_discrete import theorem_1
from flowcheck.papers.continuous_discrete.theorem_2 import System


@pytest.fixture(scope="module")
def logistic() -> System:
    return System("logistic", lambda t, q: q * (1 - q), np.array([0.2, 0.7]))


def test_readings_of_a_lipschitz_field_are_within_its_limits(logistic: System) -> None:
    found = theorem_1.existence([logistic])
    assert found["theorem1_integrators_gap_max"].value < 1e-9
    assert found["theorem1_restart_gap_max"].value < 1e-9
    # |d q(3) / d q(0)| = e^3 / (1 + q0 (e^3 - 1))^2 stays below e^3
    assert 1e-12 < found["theorem1_near_starts_gap_max"].value < np.exp(3.0) * theorem_1.NEAR


def test_near_starts_grow_as_the_derivative_of_the_flow() -> None:
    start = np.array([0.01])
    found = theorem_1.existence([System("growth", lambda t, q: q, start)])["theorem1_near_starts_gap_max"]
    assert found.value == pytest.approx(np.exp(3.0) * theorem_1.NEAR, abs=3 * found.error)


def test_a_field_that_forgets_the_time_is_seen_by_the_restart() -> None:
    """Started half way at time 0, as a wrong restart would be, the solution is another one."""
    system = System("driven", lambda t, q: torch.cos(t) * torch.ones_like(q), np.array([0.0]))
    times = np.linspace(0.0, system.end, theorem_1.MOMENTS)
    half = theorem_1.MOMENTS // 2
    path = system.integrated(times, 1e-12)
    np.testing.assert_allclose(path[:, 0], np.sin(times), atol=1e-10)
    wrong = system.integrated(times[half:] - times[half], 1e-12, start=path[half], begins=0.0)
    assert np.abs(wrong - path[half:]).max() > 0.1


def test_the_time_at_the_far_norm_is_that_of_the_closed_solution(logistic: System) -> None:
    # x' = x^2 from x0 reaches the norm R at 1 / x0 - 1 / R: of the end's time x0 / R is missing, most from the largest start
    found = theorem_1.existence([logistic])["theorem1_blow_up_gap_max"]
    assert found.value == pytest.approx(max(theorem_1.BLOW_UP_STARTS) / theorem_1.FAR, abs=2 * found.error + 1e-11)


def test_the_field_with_two_solutions_leaves_zero_as_half_the_time_squared(logistic: System) -> None:
    # from x0 > 0 the solution of x' = sqrt(x) is (t / 2 + sqrt(x0))^2, and from 0 the integrator stays
    found = theorem_1.existence([logistic])["theorem1_branching_gap"]
    assert found.value == pytest.approx((theorem_1.BRANCHING_END / 2 + np.sqrt(theorem_1.NEAR)) ** 2, rel=1e-8)
